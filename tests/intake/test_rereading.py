"""Filesystems without a ctime: files are read again, because a change may not show in their state."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from archiver import clock
from archiver.intake.folder.mounts import Mount, find_filesystem_without_ctime
from archiver.intake.snapshot import FOLDER, Snapshot
from archiver.intake.timing import rereading
from archiver.intake.timing.rereading import RereadSchedule
from archiver.store.content.source import StatData
from tests.support.site import Site, wait_until
from tests.support.volumes import sh

#: 2026-03-02, in nanoseconds.
_MTIME_NS = 1_772_409_600 * 10**9


def mount_with_rclone(source: Path, point: Path) -> None:
    sh("rclone", "mount", "--daemon", "--dir-cache-time", "0", "--vfs-cache-mode", "off", source, point)


def mount_with_sshfs(source: Path, point: Path) -> None:
    """A real sshfs and a real SFTP server, without a network between them."""
    command = point.parent / "ssh"
    command.write_text("#!/bin/sh\nexec /usr/lib/openssh/sftp-server\n")
    command.chmod(0o755)
    sh("sshfs", "-o", f"ssh_command={command},dir_cache=no", f"x:{source}", point)


@pytest.fixture(
    params=[
        pytest.param(mount_with_rclone, marks=pytest.mark.needs("root", "rclone"), id="rclone"),
        pytest.param(mount_with_sshfs, marks=pytest.mark.needs("root", "sshfs"), id="sshfs"),
    ]
)
def remote(request: pytest.FixtureRequest, bare_site: Site) -> Iterator[Path]:
    """The folder behind the watched folder of ``bare_site``, as the server has it."""
    source = bare_site.root / "server"
    source.mkdir()
    mount: Callable[[Path, Path], None] = request.param
    mount(source, bare_site.watch)
    wait_until(lambda: os.path.ismount(bare_site.watch))
    yield source
    subprocess.run(["umount", "-l", bare_site.watch], check=True)


def write_without_trace(path: Path, data: str) -> None:
    """Change a file as a program does that copies the times as well: size and mtime are those of before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(data)
    os.utime(path, ns=(_MTIME_NS, _MTIME_NS))


def points(site: Site, name: str, code: int = 0) -> list[tuple[str, str]]:
    return [(point["code"], point["path"]) for point in site.json("check", name, code=code)["open_points"]]


def test_a_change_without_a_trace_is_found_before_somebody_signs(bare_site: Site, remote: Path) -> None:
    site = bare_site
    site.init()
    write_without_trace(remote / "f/s/a", "one")
    write_without_trace(remote / "f/s/b", "one")
    write_without_trace(remote / "g/s/c", "one")
    site.catch_up()
    assert ("check.not-captured", "a") not in points(site, "f/s")
    write_without_trace(remote / "f/s/a", "two")
    write_without_trace(remote / "g/s/c", "two")
    site.catch_up()
    assert sorted(site.tags()) == ["f/s/v1", "g/s/v1"]
    not_captured = [point for point in points(site, "f/s") if point[0] == "check.not-captured"]
    assert not_captured == [("check.not-captured", "a")]
    site.run("submit", "f/s", "--on", clock.today(ZoneInfo("Asia/Shanghai")))
    assert sorted(site.tags()) == ["f/s/v1", "f/s/v2", "g/s/v1"]
    site.run("restore", "f/s/v2", "--to", site.root / "out")
    assert {path.name: path.read_text() for path in (site.root / "out").iterdir()} == {"a": "two", "b": "one"}
    assert ("check.not-captured", "a") not in points(site, "f/s")
    # Nor would a client of a share tell who has a file open.
    assert ("check.writers-unknown", "") in points(site, "f/s")
    [missing] = site.json("status")["missing_abilities"]
    assert missing["code"] == "ability.change-time"
    assert missing["reason"] not in site.json("status")["problems"]


def test_a_change_without_a_trace_is_found_on_schedule(bare_site: Site, remote: Path) -> None:
    site = bare_site
    site.init()
    site.set("watch", "reread_days", 0.00001)
    for name in "abc":
        write_without_trace(remote / "f/s" / name, "one")
    site.catch_up()
    write_without_trace(remote / "f/s/b", "two")
    site.set("watch", "poll_seconds", 0.5)
    daemon = site.start("--settle", "0.1")
    try:
        wait_until(lambda: site.tags() == ["f/s/v2", "f/s/v1"])
    finally:
        daemon.terminate()
        daemon.communicate(timeout=30)
    # What was read again, and is the same, gave no version and is not pending.
    assert site.tags() == ["f/s/v2", "f/s/v1"]
    site.verified()


# --- the schedule, without files


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """The wall time, in a list of one member."""
    times = [datetime(2026, 11, 1, tzinfo=UTC)]
    real_clocks = clock.read_clocks()
    monkeypatch.setattr(clock, "read_clocks", lambda: real_clocks._replace(wall=times[0]))
    return times


def take_forgotten(snapshot: Snapshot) -> list[bytes]:
    """The files without a state, which are known again afterwards, as after a capture."""
    paths = sorted(path for path, state in snapshot.file_entries() if state == StatData.unknown())
    snapshot.record(dict.fromkeys(paths, StatData(1, 1, 1, 1)))
    return paths


def fill(snapshot: Snapshot) -> list[bytes]:
    paths = [b"a/1", b"a/2", b"a/b/1", b"a-b/1", b"c", "模型/\udcff".encode("utf-8", "surrogateescape")]
    snapshot.record({**dict.fromkeys(paths, StatData(1, 1, 1, 1)), b"empty": FOLDER})
    return sorted(paths)


def test_each_file_is_read_once_in_a_period(
    snapshot: Snapshot, now: list[datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rereading, "_MAX_FILES", 2)
    paths = fill(snapshot)
    for _ in range(3):
        # Those of a new database were read just now.
        for hours in (0, 1, 166):
            now[0] += timedelta(hours=hours)
            RereadSchedule(snapshot, 7).forget_next_files()
            assert take_forgotten(snapshot) == []
        now[0] += timedelta(hours=2)
        forgotten: list[bytes] = []
        for _ in range(4):
            # As after a restart of the service.
            RereadSchedule(snapshot, 7).forget_next_files()
            batch = take_forgotten(snapshot)
            assert len(batch) <= 2
            forgotten += batch
        assert sorted(forgotten) == paths


def test_large_files_are_read_one_by_one(
    snapshot: Snapshot, now: list[datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rereading, "_MAX_BYTES", 0)
    fill(snapshot)
    schedule = RereadSchedule(snapshot, 7)
    schedule.forget_next_files()
    now[0] += timedelta(days=8)
    schedule.forget_next_files()
    assert len(take_forgotten(snapshot)) == 1


def test_a_clock_that_was_set_back_does_not_put_it_off(snapshot: Snapshot, now: list[datetime]) -> None:
    paths = fill(snapshot)
    schedule = RereadSchedule(snapshot, 7)
    schedule.forget_next_files()
    now[0] -= timedelta(days=3000)
    schedule.forget_next_files()
    assert take_forgotten(snapshot) == paths


def test_without_a_period_nothing_is_read_again(snapshot: Snapshot, now: list[datetime]) -> None:
    fill(snapshot)
    schedule = RereadSchedule(snapshot, 0)
    for _ in range(3):
        now[0] += timedelta(days=1000)
        schedule.forget_next_files()
        assert take_forgotten(snapshot) == []


@pytest.mark.parametrize(
    ("mounted", "found"),
    [
        ({b"/": "ext4", b"/srv": "xfs"}, ""),
        ({b"/": "ext4", b"/srv": "nfs4"}, ""),
        ({b"/": "ext4", b"/srv": "fuse.sshfs"}, "fuse.sshfs"),
        ({b"/": "ext4", b"/srv/w/in": "vfat"}, "vfat"),
        ({b"/": "vfat", b"/srv/w": "ext4", b"/srv/other": "exfat"}, ""),
        ({}, ""),
    ],
)
def test_what_is_not_known_to_have_a_ctime_is_read_again(
    monkeypatch: pytest.MonkeyPatch, mounted: dict[bytes, str], found: str
) -> None:
    table = [Mount(point, filesystem) for point, filesystem in mounted.items()]
    monkeypatch.setattr("archiver.intake.folder.mounts.read_mounts", lambda: table)
    assert find_filesystem_without_ctime(Path("/srv/w")) == found
