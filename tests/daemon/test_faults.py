"""What can go wrong around the daemon: disks, permissions, programs, clocks.  Nothing is lost."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from archiver import clock
from archiver.store import lock
from tests.support import faketime
from tests.support.site import COMMAND, Site, wait_until


def finish(daemon: subprocess.Popen[str]) -> str:
    daemon.terminate()
    out, _ = daemon.communicate(timeout=20)
    assert daemon.returncode == 0, out
    assert "Traceback" not in out
    return out


class Volume:
    """A small filesystem of its own in a file."""

    def __init__(self, point: Path, *options: str) -> None:
        self.point = point
        point.mkdir(parents=True)
        image = point.with_suffix(".img")
        with open(image, "wb") as stream:
            stream.truncate(24 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m0", *options, image], check=True)
        subprocess.run(["mount", "-o", "loop", image, point], check=True)
        (point / "lost+found").rmdir()

    def end(self) -> None:
        subprocess.run(["umount", "-l", self.point], check=True)


@pytest.fixture
def small(bare_site: Site) -> Iterator[Site]:
    volume = Volume(bare_site.archive)
    yield bare_site.init()
    volume.end()


@pytest.mark.needs("root", "loop device")
def test_a_full_disk_loses_nothing_and_heals_by_itself(small: Site) -> None:
    site = small
    site.set("watch", "maximum_delay_seconds", 3)
    ballast = site.archive / "ballast"
    ballast.write_bytes(b"x" * (10 << 20))
    site.write("f/s/a", "1")
    daemon = site.start("--settle", "0.2")
    wait_until(lambda: site.tags() == ["f/s/v1"])
    site.write("f/s/big", os.urandom(15 << 20))
    wait_until(lambda: "attempts: " in str(site.json("status")["pending"]), 30)
    assert site.json("status")["last_problem"] is not None
    assert site.tags() == ["f/s/v1"]
    ballast.unlink()
    wait_until(lambda: site.tags() == ["f/s/v2", "f/s/v1"], 40)
    assert "Free up space" in finish(daemon)
    site.verified()
    # The newest head stays there: it is how a crash between signature and move would be known.
    assert os.listdir(site.archive / "spool") == ["signing"]


@pytest.mark.needs("root", "loop device")
def test_a_disk_that_is_full_to_the_last_byte_and_inode(bare_site: Site) -> None:
    """Not even the database and the lock's text can be written; then there is room again."""
    volume = Volume(bare_site.archive, "-N", "400")
    try:
        site = bare_site.init()
        site.set("watch", "maximum_delay_seconds", 3)
        site.write("f/s/a", "1")
        daemon = site.start("--settle", "0.2")
        wait_until(lambda: site.tags() == ["f/s/v1"])
        fillers = []
        try:
            for number in range(500):
                fillers.append(site.archive / f"filler{number}")
                fillers[-1].write_bytes(b"")
        except OSError:
            fillers.pop()
        with open(fillers[0], "wb", buffering=0) as stream:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while True:
                        stream.write(b"x" * size)
                except OSError:
                    continue
        site.write("f/s/a", "2")
        site.write("f/s/b", "2")
        time.sleep(6)
        assert daemon.poll() is None
        # Said without a byte on that disk.
        assert "the service cannot write to the archive" in site.json("status")["problems"]
        for filler in fillers:
            filler.unlink()
        wait_until(lambda: len(site.tags()) == 2, 60)
        finish(daemon)
        site.catch_up()
        site.verified()
        assert {m["path"] for m in site.json("show", site.tags()[0])["materials"]} == {"a", "b"}
    finally:
        volume.end()


@pytest.mark.needs("root", "loop device")
def test_an_archive_that_becomes_read_only_is_told_and_waited_for(small: Site) -> None:
    site = small
    site.set("watch", "maximum_delay_seconds", 3)
    site.write("f/s/a", "1")
    site.catch_up()
    subprocess.run(["mount", "-o", "remount,ro", site.archive], check=True)
    assert "mounted read-only" in site.run("status", "--check", code=9).stderr
    site.run("run", "--once", code=8)
    subprocess.run(["mount", "-o", "remount,rw", site.archive], check=True)
    daemon = site.start("--settle", "0.2")
    wait_until(lambda: site.json("status")["daemon"])
    # A writer is open, so the kernel refuses to remount: shut the filesystem down, as after an I/O error.
    code = "import fcntl,os,struct,sys; fcntl.ioctl(os.open(sys.argv[1], 0), 0x8004587d, struct.pack('I', 2))"
    subprocess.run([sys.executable, "-c", code, site.archive], check=True)
    site.write("f/s/a", "2")
    time.sleep(4)
    assert daemon.poll() is None
    daemon.send_signal(signal.SIGTERM)
    out, _ = daemon.communicate(timeout=20)
    assert "Traceback" not in out
    # Not lazily: the next mount would find the same filesystem, and that it is shut down.
    wait_until(lambda: subprocess.run(["umount", site.archive]).returncode == 0)
    subprocess.run(["mount", "-o", "loop", site.archive.with_suffix(".img"), site.archive], check=True)
    site.catch_up()
    assert site.tags() == ["f/s/v2", "f/s/v1"]
    site.verified()


@pytest.mark.needs("root", "setpriv")
def test_permission_lost_and_regained(site: Site) -> None:
    """A folder that cannot be read any more is named; it is no deletion."""
    for name in ("a", "sub/b"):
        site.write(f"f/s/{name}", "1")
    drop = [
        "setpriv",
        "--bounding-set",
        "-dac_override,-dac_read_search",
        "--inh-caps",
        "-dac_override,-dac_read_search",
    ]
    daemon = subprocess.Popen(
        [*drop, COMMAND, "--config", site.config, "run", "--settle", "0.2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_until(lambda: site.tags() == ["f/s/v1"])
    site.set("watch", "scan_minutes", 0.02)
    daemon.send_signal(signal.SIGHUP)
    (site.watch / "f/s/sub").chmod(0)
    site.write("f/s/a", "2")
    wait_until(lambda: site.tags() == ["f/s/v2", "f/s/v1"])
    wait_until(lambda: "f/s/sub" in {s["path"] for s in site.json("status")["skipped"]})
    assert {m["path"] for m in site.json("show", "f/s/v2")["materials"]} == {"a", "sub/b"}
    assert "1 path cannot be read" in site.run("status", "--check", code=9).stderr
    (site.watch / "f/s/sub").chmod(0o755)
    site.write("f/s/sub/b", "2")
    wait_until(lambda: len(site.tags()) == 3)
    wait_until(lambda: site.json("status")["skipped"] == [])
    finish(daemon)


@pytest.mark.needs("strace")
def test_a_read_error_is_named_and_tried_again(site: Site) -> None:
    site.set("watch", "scan_minutes", 0.02)
    bad = site.write("f/s/bad", "1")
    site.write("f/s/good", "1")
    command = [
        "strace",
        "-qq",
        "-f",
        "-o",
        os.devnull,
        "-P",
        bad,
        "-e",
        "trace=readv",
        "-e",
        "inject=readv:error=EIO:when=1..2",
    ]
    daemon = subprocess.Popen(
        [*command, COMMAND, "--config", site.config, "run", "--settle", "0.2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_until(lambda: site.tags())
    wait_until(lambda: len(site.tags()) == 2, 40)
    assert [m["path"] for m in site.json("show", "f/s/v1")["materials"]] == ["good"]
    assert [m["path"] for m in site.json("show", "f/s/v2")["materials"]] == ["bad", "good"]
    assert site.json("status")["skipped"] == []
    os.kill(int(site.json("status")["daemon"].split()[0]), signal.SIGTERM)
    out, _ = daemon.communicate(timeout=20)
    assert "Not archived: f/s/bad" in out


GIT = """\
#!/bin/sh
case "$*" in
*{command}*) [ -e {armed} ] && rm {armed} && {act} ;;
esac
exec {git} "$@"
"""


@pytest.mark.parametrize("command", ["update-ref", "cat-file"])
@pytest.mark.parametrize("act", ["exec sleep 1000", "kill -9 $$", "exit 1"])
def test_a_git_that_hangs_or_dies(site: Site, tmp_path: Path, command: str, act: str) -> None:
    site.set("watch", "maximum_delay_seconds", 3)
    armed = tmp_path / "armed"
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(GIT.format(command=command, armed=armed, act=act, git=shutil.which("git")))
    wrapper.chmod(0o755)
    code = "import archiver.store.git.commands as c; c._PATIENCE_SECONDS = 2; from archiver.cli.main import run; run()"
    daemon = subprocess.Popen(
        [sys.executable, "-c", code, "--config", site.config, "run", "--settle", "0.2"],
        env={**os.environ, "PATH": f"{wrapper.parent}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    site.write("f/s/a", "1")
    wait_until(lambda: site.tags() == ["f/s/v1"])
    armed.touch()
    site.write("f/s/a", "2")
    if command == "cat-file":
        subprocess.run(["pkill", "-P", str(daemon.pid), "-f", "cat-file"], check=True)
    wait_until(lambda: site.tags() == ["f/s/v2", "f/s/v1"], 40)
    assert not armed.exists()
    finish(daemon)
    site.verified()


def test_a_file_that_is_open_for_writing_is_waited_for(site: Site) -> None:
    """A copy over SMB stalls for longer than the quiet period, and then goes on."""
    daemon = site.start("--settle", "0.2")
    wait_until(lambda: site.json("status")["daemon"])
    target = site.write("f/s/copy", b"")
    site.write("f/s/other", "1")
    with open(target, "ab") as stream:
        stream.write(b"half")
        stream.flush()
        wait_until(lambda: "still open for writing" in str(site.json("status")["pending"]))
        assert [m["path"] for v in site.tags() for m in site.json("show", v)["materials"]] == ["other"]
        stream.write(b" and half")
    wait_until(lambda: len(site.tags()) == 2, 5)
    sizes = {m["path"]: m["size"] for m in site.json("show", "f/s/v2")["materials"]}
    assert sizes == {"copy": 13, "other": 1}
    finish(daemon)


def test_a_file_that_is_never_closed_is_captured_at_the_maximum_delay(site: Site) -> None:
    site.set("watch", "maximum_delay_seconds", 2)
    daemon = site.start("--settle", "0.2")
    wait_until(lambda: site.json("status")["daemon"])
    with open(site.write("f/s/log", b""), "ab") as stream:
        stream.write(b"line")
        stream.flush()
        started = time.monotonic()
        wait_until(site.tags)
        assert time.monotonic() - started > 1
    finish(daemon)


def test_a_git_that_always_dies_does_not_make_the_journal_look_empty(site: Site, tmp_path: Path) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\ncase "$*" in *cat-file*) exit 1 ;; esac\nexec {shutil.which("git")} "$@"\n')
    wrapper.chmod(0o755)
    site.write("f/s/a", "2")
    env = {"PATH": f"{wrapper.parent}:{os.environ['PATH']}"}
    assert "without an answer" in site.run("run", "--once", "--settle", "0", code=8, env=env).stderr
    assert site.tags() == ["f/s/v1"]


def test_the_wall_clock_may_jump_while_it_runs(site: Site, tmp_path: Path) -> None:
    shift = tmp_path / "shift"
    shift.write_text("+0d")
    daemon = subprocess.Popen(
        [COMMAND, "--config", site.config, "run", "--settle", "0.2"],
        env=faketime.by_file(shift),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    for number, jump in enumerate(["+0d", "+4000d", "-4000d", "+1d", "-1d"], 1):
        shift.write_text(jump)
        site.write("f/s/a", str(number))
        wait_until(lambda count=number: len(site.tags()) == count)
    years = {version["captured_at"][:4] for version in site.json("log")}
    assert len(years) >= 3, "the clock did not jump at all"
    finish(daemon)
    assert site.json("status")["clock"]["lag_seconds"] < 60
    site.verified()


def test_drafts_are_gathered_and_submit_captures_first(site: Site) -> None:
    site.configure(filings={"草稿": {"min_version_interval_minutes": 30}})
    site.set("watch", "settle_seconds", 0.3)
    daemon = site.start()
    site.write("草稿/s/a", "1")
    site.write("定稿/s/a", "1")
    wait_until(lambda: len(site.tags()) == 2)
    for number in range(3):
        site.write("草稿/s/a", f"save {number}")
        site.write("定稿/s/a", f"save {number}")
        time.sleep(1)
    wait_until(lambda: "定稿/s/v4" in site.tags())
    assert "草稿/s/v2" not in site.tags()
    # The list of what is pending follows the tag a moment later.
    wait_until(lambda: [item["path"] for item in site.json("status")["pending"]] == ["草稿/s/a"])
    pending = site.json("status")["pending"]
    assert "every 30 min" in pending[0]["reason"]
    site.run("submit", "草稿/s", "--on", clock.today(ZoneInfo("Asia/Shanghai")))
    newest = site.json("log", "草稿/s")[0]
    assert newest["tag"] == "草稿/s/v2"
    assert newest["submitted"]
    assert site.json("show", "草稿/s/v2")["materials"][0]["size"] == len("save 2")
    wait_until(lambda: site.json("status")["pending"] == [])
    assert "草稿/s/v3" not in site.tags()
    finish(daemon)
    site.verified()


def test_a_share_that_is_not_mounted_is_no_deletion(site: Site) -> None:
    """Something lies in the folder under the mount point: still not the watched folder."""
    site.write("f/s/a", "1")
    site.catch_up()
    # As a transaction, a connection commits; it does not close.
    with closing(sqlite3.connect(site.archive / "state.db")) as state, state:
        state.execute("update meta set value = ? where key = 'root_mount'", (os.fspath(site.watch),))
    site.watch.rename(site.root / "unmounted")
    site.write("lost+found/a", "of the filesystem below")
    assert "no filesystem is mounted at" in site.run("run", "--once", code=8).stderr
    assert site.tags() == ["f/s/v1"]


@pytest.mark.needs("root", "mount")
@pytest.mark.parametrize("folder", ["spool", "archive.git/lfs/objects"])
def test_status_is_red_as_soon_as_the_archive_takes_nothing(site: Site, folder: str) -> None:
    """A full filesystem of its own: nothing that `status` sees by itself, only the daemon meets the error."""
    site.write("f/s/a", "1")
    daemon = site.start("--settle", "0.2")
    wait_until(lambda: site.tags() == ["f/s/v1"])
    wait_until(lambda: site.json("status")["problems"] == [])
    place = site.archive / folder
    place.rename(site.archive / "aside")
    place.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=1,mode=700", "tmpfs", place], check=True)
    try:
        site.write("f/s/a", "2")
        wait_until(lambda: "the service cannot write to the archive" in site.json("status")["problems"], 5)
        wait_until(lambda: "1 change could not be captured" in site.run("status", "--check", code=9).stderr)
        assert "Cannot write to the archive disk" in str(site.json("status")["last_problem"])
    finally:
        subprocess.run(["umount", "-l", place], check=True)
    place.rmdir()
    (site.archive / "aside").rename(place)
    wait_until(lambda: site.tags() == ["f/s/v2", "f/s/v1"], 40)
    wait_until(lambda: site.json("status")["problems"] == [])
    finish(daemon)
    site.verified()


def test_a_writer_that_holds_the_archive_for_a_while_is_no_alarm(site: Site) -> None:
    site.write("f/s/a", "1")
    daemon = site.start("--settle", "0.2", "--wait", "0.1")
    wait_until(lambda: site.tags() == ["f/s/v1"])
    with lock.hold_lock(site.archive / "lock", 5):
        site.write("f/s/a", "2")
        wait_until(lambda: "another process" in str(site.json("status")["pending"]))
        assert site.json("status")["problems"] == []
    wait_until(lambda: site.tags() == ["f/s/v2", "f/s/v1"], 40)
    finish(daemon)
