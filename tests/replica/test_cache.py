"""Content that outgrows the disk: what only the bucket has is read, exported, verified and restored as before."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from archiver.replica.recovery import bring
from tests.conftest import Site, tree
from tests.replica.conftest import give_keys
from tests.replica.server import Server


@pytest.fixture
def outgrown(site: Site, keys: Path, server: Server, url: str) -> Site:
    """A site whose content may live in the bucket alone, and whose disk may hold none of it."""
    give_keys(site, keys, '[store]\nlocal = "cache"\ncache_gb = 0\n')
    site.write("推荐/首次/一", os.urandom(50_000))
    site.write("推荐/首次/二", os.urandom(60_000))
    site.catch_up()
    site.run("replica", "init", "--url", url, "--endpoint", server.endpoint)
    site.run("replica", "sync")
    return site


def lying(site: Site) -> int:
    return sum(1 for path in (site.repository / "lfs").rglob("*") if path.is_file())


def test_what_the_bucket_holds_leaves_and_comes_back(outgrown: Site) -> None:
    site = outgrown
    before = {path: data for path, (data, _) in tree(site.watch / "推荐/首次").items()}
    assert lying(site) == 0
    report = site.verified()
    assert "2 contents lie in the replica only" in str(report["notes"])
    assert site.json("verify", "--replica-sample", "100")["ok"]
    site.run("restore", "推荐/首次/v1", "--to", site.root / "out")
    assert {path: data for path, (data, _) in tree(site.root / "out").items()} == before
    assert lying(site) == 2
    assert not site.json("verify")["notes"]


def test_with_a_new_state_it_is_remembered_where_content_lies(outgrown: Site) -> None:
    (outgrown.archive / "replica.db").unlink()
    outgrown.run("replica", "sync")
    assert "2 contents lie in the replica only" in str(outgrown.verified()["notes"])
    outgrown.run("restore", "推荐/首次/v1", "--to", outgrown.root / "out")


def test_an_export_brings_what_it_needs(outgrown: Site) -> None:
    outgrown.run("audit", "--to", outgrown.root / "package")
    assert lying(outgrown) == 2


def test_new_versions_need_nothing_back(outgrown: Site) -> None:
    (outgrown.watch / "推荐/首次/一").rename(outgrown.watch / "推荐/首次/三")
    outgrown.write("推荐/首次/四", "new")
    outgrown.catch_up()
    assert outgrown.json("log")[0]["files"] == 3
    assert lying(outgrown) == 1
    outgrown.run("submit", "推荐/首次", "--on", "2026-01-01")
    outgrown.verified()


def test_nothing_leaves_that_the_bucket_does_not_hold(outgrown: Site, server: Server, url: str) -> None:
    outgrown.write("推荐/首次/五", "not there yet")
    outgrown.catch_up()
    assert lying(outgrown) == 1
    # Somebody hides and overwrites it there: what the bucket has first is asked for by its version.
    client, name = server.client(), url.split("/")[2]
    for each in client.list_objects_v2(Bucket=name, Prefix="档案/objects/")["Contents"]:
        client.put_object(Bucket=name, Key=each["Key"], Body=b"rubbish")
        client.delete_object(Bucket=name, Key=each["Key"])
    outgrown.run("restore", "推荐/首次/v1", "--to", outgrown.root / "out")


def test_gone_there_too_it_is_said(outgrown: Site) -> None:
    archive = outgrown.open()

    class Empty:
        def versions(self, prefix: str, after: str = "") -> list[object]:
            return []

    assert not bring(Empty(), archive, "0" * 64)  # type: ignore[arg-type]
    archive.close()
    outgrown.config.write_text(
        outgrown.config.read_text("utf-8").replace(
            "\n[replica]\n", '\n[replica]\nendpoint = "http://127.0.0.1:9"\n'
        ),
        "utf-8",
    )
    done = outgrown.run("restore", "推荐/首次/v1", "--to", outgrown.root / "out", code=8)
    assert "cannot be reached" in done.stderr


def test_a_git_server_gets_what_is_here(outgrown: Site, tmp_path: Path) -> None:
    """All of it brought back at once would fill the disk."""
    mirror = tmp_path / "mirror.git"
    subprocess.run(["git", "init", "-q", "--bare", mirror], check=True)
    before = lying(outgrown)
    done = outgrown.run("replica", "git-push", "--lfs", mirror).stdout
    assert f"It has {before} contents." in done
    assert "In the bucket alone, and not sent:" in done
    assert lying(outgrown) == before


def test_without_a_lock_nothing_leaves(site: Site, keys: Path, server: Server) -> None:
    name = server.bucket("unlocked-cache", lock=False)
    give_keys(site, keys, '[store]\nlocal = "cache"\ncache_gb = 0\n')
    site.write("推荐/首次/一", "x")
    site.catch_up()
    site.run("replica", "init", "--url", f"s3://{name}/x", "--endpoint", server.endpoint, "--no-lock")
    site.run("replica", "sync")
    assert lying(site) == 1
