"""How ``run --once`` ends: 0 when every finished file is in, 9 when one was left out, 8 without a usable archive."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from archiver.store import lock
from tests.daemon.test_faults import Volume
from tests.support.site import COMMAND, Site

#: Root reads everything; without these capabilities it is refused as anybody else is.
WITHOUT_OVERRIDE = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-dac_override,-dac_read_search"]  # fmt: skip


def once(site: Site, *before: object) -> subprocess.CompletedProcess[str]:
    command = [*map(str, before), COMMAND, "--config", site.config, "run", "--once", "--settle", "0.05"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.mark.needs("root", "setpriv")
@pytest.mark.parametrize("locked", ["f/s/a", "f/s", "f", ""])
def test_what_cannot_be_read_is_named_and_ends_with_9(site: Site, locked: str) -> None:
    site.write("f/s/a", "1")
    site.write("g/s/b", "1")
    (site.watch / locked).chmod(0)
    done = once(site, *WITHOUT_OVERRIDE)
    assert done.returncode == 9, done.stdout + done.stderr
    assert f"Not archived: {locked or site.watch}" in done.stderr
    assert "All changes are archived" not in done.stdout
    assert site.tags() == (["g/s/v1"] if locked else [])
    (site.watch / locked).chmod(0o755)
    assert once(site, *WITHOUT_OVERRIDE).returncode == 0
    assert sorted(site.tags()) == ["f/s/v1", "g/s/v1"]


@pytest.mark.needs("strace")
def test_a_read_error_ends_with_9_and_is_forgotten_with_its_file(site: Site) -> None:
    bad = site.write("f/s/bad", "1")
    site.write("f/s/good", "1")
    inject = ["-e", "trace=readv", "-e", "inject=readv:error=EIO:when=1+"]
    done = once(site, "strace", "-qq", "-f", "-o", os.devnull, "-P", bad, *inject)
    assert done.returncode == 9, done.stdout + done.stderr
    assert "1 path could not be captured" in done.stderr
    bad.unlink()
    site.catch_up()
    assert site.json("status")["skipped"] == []


def test_what_is_no_file_or_ignored_does_not_count(site: Site) -> None:
    site.write("f/s/a", "1")
    site.write("f/s/~$a.docx", "Office's own")
    (site.watch / "f/s/link").symlink_to("a")
    (site.watch / "f/s/broken").symlink_to("nowhere")
    os.mkfifo(site.watch / "f/s/fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(site.watch / "f/s/socket"))
    assert "All changes are archived" in site.catch_up().stdout
    assert {each["path"] for each in site.json("status")["skipped"]} == {
        *("f/s/~$a.docx", "f/s/link", "f/s/broken", "f/s/fifo", "f/s/socket")
    }


def test_a_file_that_is_still_written_to_is_not_finished(site: Site) -> None:
    site.set("watch", "maximum_delay_seconds", 2)
    site.write("f/s/done", "1")
    with open(site.write("f/s/copy", b""), "ab") as stream:
        stream.write(b"half")
        stream.flush()
        done = site.catch_up()
    assert "Not archived yet: f/s/copy: is still open for writing" in done.stderr
    assert "All changes are archived" not in done.stdout
    assert [m["path"] for m in site.json("show", "f/s/v1")["materials"]] == ["done"]


@pytest.mark.needs("root", "loop device")
def test_a_full_disk_ends_it_at_once(bare_site: Site) -> None:
    """Once more, because a git may die by chance; but not for the maximum delay of five minutes."""
    volume = Volume(bare_site.archive)
    try:
        site = bare_site.init()
        (site.archive / "ballast").write_bytes(b"x" * (10 << 20))
        site.write("f/s/big", os.urandom(15 << 20))
        started = time.monotonic()
        done = once(site)
        assert done.returncode == 8, done.stdout + done.stderr
        assert "Free up space" in done.stderr
        assert time.monotonic() - started < 60
        (site.archive / "ballast").unlink()
        site.catch_up()
    finally:
        volume.end()


def without_spool(archive: Path) -> None:
    shutil.rmtree(archive / "spool")


def with_a_file_as_spool(archive: Path) -> None:
    without_spool(archive)
    (archive / "spool").write_text("no folder")


def without_object_folders(archive: Path) -> None:
    (archive / "archive.git/lfs/objects").rename(archive / "moved")
    (archive / "archive.git/lfs/objects").write_text("no folder")


@pytest.mark.parametrize("spoil", [without_spool, with_a_file_as_spool, without_object_folders])
def test_an_archive_that_takes_nothing_ends_with_8(site: Site, spoil: Callable[[Path], None]) -> None:
    site.write("f/s/a", "1")
    spoil(site.archive)
    done = once(site)
    assert done.returncode == 8, done.stdout + done.stderr
    assert "folder of the archive is missing or not writable" in site.run("status", "--check", code=9).stderr


def test_a_writer_that_holds_the_archive_is_busy_and_no_failure(site: Site) -> None:
    site.write("f/s/a", "1")
    with lock.hold_lock(site.archive / "lock", 5):
        assert "is locked by" in site.run("run", "--once", "--settle", "0.05", "--wait", "0.1", code=6).stderr
    site.catch_up()
