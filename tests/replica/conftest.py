"""A server, buckets, and sites that replicate into them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from archiver.config.bucket_access import BucketAccess
from archiver.replica.bucket_settings import settings_from_url
from archiver.replica.s3 import S3Bucket
from tests.replica.ceph import Ceph
from tests.replica.seaweed import Seaweed
from tests.replica.server import ACCESS, SECRET, Server, free_base
from tests.support.site import Site


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--ceph", action="store_true", help="Ceph's gateway in the place of SeaweedFS.")


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server that keeps the buckets; ``make test-ceph`` makes it another one."""
    make = Ceph if request.config.getoption("--ceph", default=False) else Seaweed
    running = make(tmp_path_factory.mktemp("s3"), free_base(_worker()))
    try:
        yield running.start()
    finally:
        running.close()


def _worker() -> int:
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


@pytest.fixture
def open_server(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose storage lies open to its administrator."""
    if not isinstance(server, Seaweed):
        yield server
        return
    running = Seaweed(tmp_path_factory.mktemp("open"), free_base(20 + _worker()), guarded=False)
    try:
        yield running.start()
    finally:
        running.close()


@pytest.fixture
def url(server: Server) -> str:
    """A bucket with object lock, and a prefix in it."""
    return f"s3://{server.bucket(f'b{uuid.uuid4().hex[:20]}')}/档案"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return write_keys(tmp_path / "bucket-keys", ACCESS, SECRET)


def write_keys(path: Path, access: str, secret: str) -> Path:
    path.write_text(f"[default]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\n")
    path.chmod(0o600)
    return path


def give_keys(site: Site, keys: Path) -> None:
    # Without a grace period, each sync sends everything; test_grace_period.py has one.
    site.configure(replica={"credentials": keys, "grace_hours": 0})


@pytest.fixture
def plain(site: Site, keys: Path) -> Site:
    """A site with some materials and the keys, and no replica yet."""
    give_keys(site, keys)
    site.write("推荐/首次/自评估 报告", "first draft")
    site.write("推荐/首次/附件/扫描件", b"scan" * 1000)
    site.write("推荐/首次/空", b"")
    site.catch_up()
    return site


@pytest.fixture
def replicated(plain: Site, server: Server, url: str) -> Site:
    """The same, replicated."""
    plain.run("replica", "init", "--url", url, "--endpoint", server.endpoint)
    plain.run("replica", "sync")
    return plain


@pytest.fixture
def bucket_of(server: Server, keys: Path) -> Callable[[str], S3Bucket]:
    def make(url: str) -> S3Bucket:
        return S3Bucket(settings_from_url(url, BucketAccess(endpoint=server.endpoint, credentials_file=keys)))

    return make
