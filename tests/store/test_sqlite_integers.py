"""Times and inode numbers that a filesystem can deliver and SQLite's 64 bits cannot hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from archiver.intake.snapshot import FOLDER, Snapshot
from archiver.store.content.source import StatData
from archiver.store.sqlite import from_stored_integer, to_stored_integer
from tests.support.site import Site, tree

SECOND = 10**9
#: 2400, 2486 (xfs), the last second of tmpfs and btrfs, just past 64 bits; before 1901 and before all 64 bits.
MTIMES = [13569465600 * SECOND, 16299260424 * SECOND + 1, ((1 << 63) - 1) * SECOND, 1 << 63, (1 << 63) - 1]
MTIMES += [-1, -2208988800 * SECOND, -(1 << 63), -(1 << 63) - 1, -(1 << 62) * SECOND]


@pytest.mark.parametrize("value", [0, -1, *MTIMES, (1 << 64) - 1])
def test_every_integer_comes_back(tmp_path: Path, value: int) -> None:
    with closing(Snapshot(tmp_path / "state.db")) as snapshot:
        states = {b"f/a": StatData(1, value, value, abs(value) % (1 << 64)), b"f/b": FOLDER}
        snapshot.record(states)
        assert snapshot.folder_entries(b"f") == {b"a": states[b"f/a"], b"b": FOLDER}
        assert snapshot.archived_state(b"f/a") == states[b"f/a"]
    assert from_stored_integer(to_stored_integer(value)) == value


@pytest.fixture
def wide_site(tmp_path: Path) -> Iterator[Site]:
    """On a filesystem whose times have 64 bits for the seconds alone."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", tmp_path], check=True)
    yield Site(tmp_path / "site").init()
    subprocess.run(["umount", "-l", tmp_path], check=True)


@pytest.mark.needs("root")
def test_every_time_is_archived_restored_and_exported(wide_site: Site) -> None:
    site = wide_site
    for number, mtime in enumerate(MTIMES):
        os.utime(site.write(f"f/s/{number}", f"{number}"), ns=(0, mtime))
    kept = {path: mtime for path, (_, mtime) in tree(site.watch / "f/s").items()}
    # The kernel may round what it cannot hold; what it delivers is what counts.
    assert max(kept.values()) >= 1 << 63
    assert min(kept.values()) < -(1 << 63)
    for _ in range(2):
        site.catch_up()
    assert site.tags() == ["f/s/v1"]
    shown = site.json("show", "f/s/v1")["materials"]
    assert {m["path"].encode(): m["mtime_ns"] for m in shown} == kept
    site.run("submit", "f/s", "--on", "2026-11-25")
    site.run("restore", "f/s/v1", "--to", site.root / "out")
    assert {path: mtime for path, (_, mtime) in tree(site.root / "out").items()} == kept
    site.run("audit", "--to", site.root / "package", "--reason", "inspection")
    subprocess.run([sys.executable, "-I", "-S", site.root / "package/verify.py"], check=True)
    rows = (site.root / "package/data/versions/f/s/v1.jsonl").read_text().splitlines()
    assert {json.loads(row)["path"].encode(): json.loads(row)["mtime_ns"] for row in rows} == kept
    site.run("reindex")
    assert site.json("show", "f/s/v1")["materials"] == shown
    site.verified()


@pytest.mark.needs("root")
def test_a_filesystem_that_cannot_hold_a_time_takes_the_bytes(
    wide_site: Site, tmp_path_factory: pytest.TempPathFactory
) -> None:
    os.utime(wide_site.write("f/s/a", "1"), ns=(0, max(MTIMES)))
    wide_site.catch_up()
    target = tmp_path_factory.mktemp("narrow") / "out"
    wide_site.run("restore", "f/s/v1", "--to", target)
    assert (target / "a").read_text() == "1"


INODES = """
import archiver.store.content.source as source
def of(status, given=source.StatData.from_stat_result):
    return given(status)._replace(inode=status.st_ino + (1 << 64) - (1 << 32))
source.StatData.from_stat_result = of
from archiver.cli.main import run
run()
"""


def test_inode_numbers_without_a_sign_are_archived_once(site: Site) -> None:
    # No filesystem that CI can mount has such numbers; rclone's are a hash of the path.
    site.write("f/s/a", "1")
    command = [sys.executable, "-c", INODES, "--config", site.config, "run", "--once", "--settle", "0"]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert site.tags() == ["f/s/v1"]
    with closing(Snapshot(site.archive / "state.db")) as snapshot:
        state = snapshot.archived_state(b"f/s/a")
    assert isinstance(state, StatData)
    assert state.inode >= 1 << 63
