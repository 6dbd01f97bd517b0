"""The off-site copy beside plain parallel boto3, against the same SeaweedFS on loopback.

    python benchmarks/replica.py [--rounds 3] [--files 4000] [--bytes 1700000000] [--known 100000]

First replication against an upload of the same files, rebuild against a download of them, and a sync with
nothing to do over many objects that are known to be there.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import corpus
import synthetic
from installed import COMMAND
from measure import Run, run

from archiver import clock
from archiver.config.loader import load_config
from archiver.replica import object_names
from archiver.replica.bucket_settings import read_replica_settings
from archiver.replica.known_objects import ReplicatedObject, open_state
from archiver.store.archive import Archive
from archiver.store.index import overview
from tests.replica.seaweed import Seaweed
from tests.replica.server import ACCESS, SECRET, free_base

_THREADS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, default=4000)
    parser.add_argument("--bytes", type=int, default=1_700_000_000)
    parser.add_argument("--known", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="archiver-bench-", dir=options.folder))
    server = Seaweed(folder / "weed", free_base(45)).start()
    try:
        site = Site(folder, server)
        corpus.mixed(site.watch / "备案", options.files, options.bytes)
        site.call("run --once --settle 0")
        compare(site, options.rounds)
        nothing_to_do(folder, server, options.known)
    finally:
        server.close()
        shutil.rmtree(folder)


class Site:
    """An archive that is replicated into a new bucket in each round."""

    def __init__(self, folder: Path, server: Seaweed) -> None:
        self.folder, self.server = folder, server
        self.watch, self.config, self.keys = folder / "watched", folder / "archiver.toml", folder / "bucket-keys"
        self.watch.mkdir()
        self.keys.write_text(f"[default]\naws_access_key_id={ACCESS}\naws_secret_access_key={SECRET}\n")
        self.keys.chmod(0o600)
        self.call(f"init --archive {folder}/archive --watch {self.watch}")
        self.config.write_text(
            self.config.read_text() + f'[replica]\ngrace_hours = 0\ncredentials = "{self.keys}"\n'
        )

    def line(self, words: str) -> str:
        return f"{COMMAND} -q --config {self.config} {words}"

    def call(self, words: str) -> Run:
        return run(self.line(words))


def compare(site: Site, rounds: int) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in ("sync", "upload", "rebuild", "download")}
    peak = 0.0
    for number in range(rounds):
        name = site.server.bucket(f"bench{number}")
        url = f"s3://{name}/x"
        site.call(f"replica init --url {url} --endpoint {site.server.endpoint}")
        taken = site.call("replica sync")
        seconds["sync"].append(taken.seconds)
        peak = max(peak, taken.peak_mb)
        plain = site.server.bucket(f"plain{number}")
        files = [path for path in (site.folder / "archive/archive.git/lfs").rglob("*") if path.is_file()]
        seconds["upload"].append(each(files, partial(upload, site.server, plain)))
        back = site.folder / f"back{number}"
        words = (
            f"replica restore --url {url} --endpoint {site.server.endpoint} --credentials {site.keys} --to {back}"
        )
        taken = site.call(words)
        seconds["rebuild"].append(taken.seconds)
        peak = max(peak, taken.peak_mb)
        target = site.folder / f"down{number}"
        target.mkdir()
        started = time.perf_counter()
        each(files, partial(download, site.server, plain, target))
        subprocess.run(["sync"], check=True)
        seconds["download"].append(time.perf_counter() - started)
        for done in (back, target):
            shutil.rmtree(done)
    for ours, theirs in (("sync", "upload"), ("rebuild", "download")):
        rates = [b / a for a, b in zip(seconds[ours], seconds[theirs], strict=True)]
        medians = [statistics.median(seconds[name]) for name in (ours, theirs)]
        print(
            f"{ours}: {medians[0]:.1f} s, plain parallel {theirs}: {medians[1]:.1f} s, rate {medians[1] / medians[0]:.2f} of it "
            f"(rounds {min(rates):.2f} to {max(rates):.2f}; goal 0.8)"
        )
    print(f"largest process {peak:.0f} MB (goal 200)")


def each(files: list[Path], work: Callable[[Path], object]) -> float:
    started = time.perf_counter()
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(work, files))
    return time.perf_counter() - started


_CLIENTS: dict[str, object] = {}


def client(server: Seaweed) -> object:
    return _CLIENTS.setdefault(server.endpoint, server.client())


def upload(server: Seaweed, bucket: str, path: Path) -> None:
    client(server).upload_file(os.fspath(path), bucket, path.name)  # type: ignore[attr-defined]


def download(server: Seaweed, bucket: str, to: Path, path: Path) -> None:
    client(server).download_file(bucket, path.name, os.fspath(to / path.name))  # type: ignore[attr-defined]


def nothing_to_do(folder: Path, server: Seaweed, count: int) -> None:
    """What is known to be there is entered by hand: the bucket is not asked about it."""
    place = folder / "known"
    (place / "watched").mkdir(parents=True)
    archive = synthetic.make(place / "archive", count, count // 100, count // 10)
    archive.close()
    config = place / "archiver.toml"
    config.write_text(
        f'[archive]\npath = "{place}/archive"\n[watch]\npath = "{place}/watched"\n[replica]\ngrace_hours = 0\ncredentials = "{folder}/bucket-keys"\n'
    )
    line = f"{COMMAND} -q --config {config}"
    run(f"{line} reindex")
    run(f"{line} replica init --url s3://{server.bucket('known')}/x --endpoint {server.endpoint}")
    archive = Archive(place / "archive")
    settings = read_replica_settings(archive, load_config(config))
    assert settings is not None
    state = open_state(archive, settings)
    contents = {sha: size for _, sha, size, _, _ in overview.content_intervals(archive.index)}
    far = clock.read_clocks().wall + timedelta(days=4 * 365)
    state.record_objects(
        (object_names.content_key(sha), ReplicatedObject("1", size, far, has_legal_hold=False))
        for sha, size in contents.items()
    )
    state.mark_bucket_listed()
    state.close()
    archive.close()
    run(f"{line} replica sync")
    taken = [run(f"{line} replica sync") for _ in range(3)]
    median = statistics.median(each.seconds for each in taken)
    peak = max(each.peak_mb for each in taken)
    print(f"sync with nothing to do, {len(contents):,} objects: {median:.2f} s (goal 10), {peak:.0f} MB")


if __name__ == "__main__":
    main()
