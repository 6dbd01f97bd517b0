"""Filesystems without a ctime: files are read again, because a change may not show in their state."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from archiver import clock
from archiver.errors import LimitReached
from archiver.intake.content_comparison import ContentComparison, compare_contents
from archiver.intake.folder.access import DirectAccess
from archiver.intake.folder.change_times import ChangeTimes
from archiver.intake.folder.mounts import Mount
from archiver.intake.snapshot import Snapshot
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
    # With auto_cache, the kernel keeps the bytes of a file whose size and mtime are the same.
    sh("sshfs", "-o", f"ssh_command={command},dir_cache=no,auto_cache", f"x:{source}", point)


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
    for name in "abc":
        write_without_trace(remote / "f/s" / name, "one")
    site.catch_up()
    write_without_trace(remote / "f/s/b", "two")
    with closing(Snapshot(site.archive / "state.db")) as snapshot:
        snapshot.set_meta("rereading", json.dumps(["2026-01-01T00:00:00.000000Z", None]))
    site.set("watch", "poll_seconds", 0.5)
    daemon = site.start("--settle", "0.1")
    try:
        wait_until(lambda: site.tags() == ["f/s/v2", "f/s/v1"])
    finally:
        daemon.terminate()
        daemon.communicate(timeout=30)
    # What was read again, and is the same, gave no version.
    assert site.tags() == ["f/s/v2", "f/s/v1"]
    site.verified()


@pytest.mark.parametrize(
    ("mounted", "found", "paths_without"),
    [
        ({b"/": "ext4", b"/srv": "xfs"}, "", []),
        ({b"/": "ext4", b"/srv": "nfs4"}, "", []),
        ({b"/": "ext4", b"/srv": "fuse.sshfs"}, "fuse.sshfs", [b"a", b"in/x", b"inner"]),
        # Only what is on the stick.
        ({b"/": "ext4", b"/srv/w/in": "vfat"}, "vfat", [b"in/x"]),
        ({b"/": "vfat", b"/srv/w": "ext4", b"/srv/other": "exfat"}, "", []),
        ({b"/srv/w": "exfat", b"/srv/w/in": "ext4"}, "exfat", [b"a", b"inner"]),
        ({}, "", []),
    ],
)
def test_what_is_not_known_to_have_a_ctime_is_read_again(
    monkeypatch: pytest.MonkeyPatch, mounted: dict[bytes, str], found: str, paths_without: list[bytes]
) -> None:
    table = [Mount(point, filesystem) for point, filesystem in mounted.items()]
    monkeypatch.setattr("archiver.intake.folder.mounts.read_mounts", lambda: table)
    change_times = ChangeTimes(b"/srv/w")
    assert change_times.filesystem_without_ctime == found
    assert [path for path in (b"a", b"in/x", b"inner") if not change_times.are_stored(path)] == paths_without


# --- comparing bytes


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_each_file_has_one_outcome(tmp_path: Path) -> None:
    for name, data in (("same", b"1"), ("other", b"2"), ("empty", b"")):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("same")
    names = (b"same", b"other", b"empty", b"gone", b"folder", b"link", b"same/below")
    comparison = compare_contents(DirectAccess(tmp_path), dict.fromkeys(names, digest_of(b"1")))
    assert comparison.same.keys() == {b"same"}
    assert comparison.different.keys() == {b"other", b"empty"}
    # A link is another error than that of a file that is gone, and is found by the scan as well.
    assert {item.path for item in comparison.unreadable} <= {b"link"}


def test_a_file_that_cannot_be_read_is_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"1")

    def fail(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("archiver.store.content.source.FileSource.readinto", fail)
    comparison = compare_contents(DirectAccess(tmp_path), {b"a": digest_of(b"1")})
    assert not comparison.same
    assert not comparison.different
    assert [(item.path, item.value) for item in comparison.unreadable] == [(b"a", "Input/output error")]


def test_a_file_that_changes_behind_the_reader_is_different(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"1")
    monkeypatch.setattr("archiver.store.content.source.FileSource.is_unchanged", lambda _: False)
    comparison = compare_contents(DirectAccess(tmp_path), {b"a": digest_of(b"1")})
    assert comparison.different.keys() == {b"a"}


def test_a_limit_says_nothing_about_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"1")

    def fail(*_: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("archiver.store.content.source.FileSource.readinto", fail)
    with pytest.raises(LimitReached, match="open no more files"):
        compare_contents(DirectAccess(tmp_path), {b"a": digest_of(b"1")})


def test_a_scan_after_the_comparison_has_the_last_word(snapshot: Snapshot) -> None:
    old, new, unknown = StatData(1, 1, 1, 1), StatData(2, 2, 2, 2), StatData.unknown()
    snapshot.record({b"read again": unknown, b"changed since": unknown, b"gone since": unknown, b"known": old})
    comparison = ContentComparison(
        same={b"read again": old, b"changed since": old, b"known": old, b"not in state.db": old},
        different={b"without a trace": old, b"gone since": old},
        unreadable=[],
    )
    found_by_scan = {
        b"read again": old,
        b"changed since": new,
        b"gone since": None,
        b"known": new,
        b"not in state.db": old,
    }
    assert comparison.correct(found_by_scan, snapshot) == {
        b"changed since": new,
        b"gone since": None,
        b"known": new,
        b"without a trace": old,
    }
