"""The daemon on a real folder: the main job as the issue describes it."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

import pytest

from archiver.config.loader import load_config
from archiver.daemon import upkeep
from archiver.daemon.capture_loop import Daemon
from archiver.errors import Busy
from archiver.intake.folder.access import DirectAccess
from archiver.store import lock
from archiver.store.content.source import StatData
from tests.support.site import SAMPLES, Site, tree, wait_until


def submissions(root: Path) -> list[str]:
    return sorted(f"{p.parent.name}/{p.name}" for p in root.glob("*/*") if p.is_dir())


def test_the_samples_give_one_version_per_submission(site: Site, daemon: subprocess.Popen[str]) -> None:
    for filing in SAMPLES.iterdir():
        shutil.copytree(filing, site.watch / filing.name)
    names = submissions(SAMPLES)
    assert len(names) == 4
    wait_until(lambda: len(site.tags()) >= 4)
    time.sleep(1)
    assert sorted(site.tags()) == [f"{name}/v1" for name in names]
    name = names[0]
    victim = sorted(p for p in (site.watch / name).iterdir())[0]
    original = victim.read_bytes()
    victim.write_bytes(original + b"\n%edited")
    wait_until(lambda: f"{name}/v2" in site.tags())
    victim.unlink()
    wait_until(lambda: f"{name}/v3" in site.tags())
    assert victim.name not in [m["path"] for m in site.json("show", f"{name}/v3")["materials"]]
    for tag, expected in ((f"{name}/v1", original), (f"{name}/v2", original + b"\n%edited")):
        site.run("restore", tag, "--to", site.root / "back" / tag)
        assert (site.root / "back" / tag / victim.name).read_bytes() == expected
    site.verified()


def test_moves_between_submissions_make_a_version_of_each(site: Site, daemon: subprocess.Popen[str]) -> None:
    site.write("f/a/d/x", "1")
    site.write("f/b/y", "2")
    wait_until(lambda: len(site.tags()) == 2)
    os.rename(site.watch / "f/a/d", site.watch / "f/b/d")
    wait_until(lambda: {"f/a/v2", "f/b/v2"} <= set(site.tags()))
    assert [m["path"] for m in site.json("show", "f/b/v2")["materials"]] == ["d/x", "y"]
    assert site.json("show", "f/a/v2")["materials"] == []
    os.rename(site.watch / "f/b", site.watch / "f/c")
    wait_until(lambda: {"f/b/v3", "f/c/v1"} <= set(site.tags()))
    site.verified()


def test_an_office_save_is_one_version(site: Site, daemon: subprocess.Popen[str]) -> None:
    """Write a temporary file, move the old one away, move the new one in, delete the old one."""
    site.write("f/s/报告.docx", "one")
    wait_until(lambda: site.tags() == ["f/s/v1"])
    site.write("f/s/~$报告.docx", "lock")
    site.write("f/s/A1B2.tmp", "two")
    os.rename(site.watch / "f/s/报告.docx", site.watch / "f/s/old.tmp")
    os.rename(site.watch / "f/s/A1B2.tmp", site.watch / "f/s/报告.docx")
    (site.watch / "f/s/old.tmp").unlink()
    wait_until(lambda: "f/s/v2" in site.tags())
    assert [(c["op"], c["path"]) for c in site.json("diff", "f/s/v1", "f/s/v2")] == [("modify", "报告.docx")]
    assert {s["path"] for s in site.json("status")["skipped"]} == set()


def test_a_vanishing_watched_folder_is_waited_for(site: Site, daemon: subprocess.Popen[str]) -> None:
    site.write("f/s/a", "1")
    wait_until(lambda: site.tags() == ["f/s/v1"])
    os.rename(site.watch, site.root / "away")
    wait_until(lambda: site.json("status")["watching"] == "missing")
    assert "missing" in site.run("status", "--check", code=9).stderr
    site.watch.mkdir()
    time.sleep(2)
    assert site.tags() == ["f/s/v1"], "an empty mount point is not a deletion of everything"
    site.watch.rmdir()
    os.rename(site.root / "away", site.watch)
    wait_until(lambda: site.json("status")["watching"].startswith("watched"))
    site.write("f/s/a", "2")
    wait_until(lambda: site.tags() == ["f/s/v2", "f/s/v1"])
    log = site.git("log", "--format=%s", "journal").stdout
    assert "watch-lost" in log
    site.verified()


def test_a_file_that_grows_for_ever_stays_pending_and_keeps_nobody_back(site: Site) -> None:
    site.set("watch", "maximum_delay_seconds", 2)
    daemon = site.start("--settle", "0.5")
    site.write("f/s/quiet", "1")
    target = site.write("f/s/grows", b"x" * 30_000_000)
    stop = threading.Event()

    def grow() -> None:
        with open(target, "ab", buffering=0) as stream:
            while not stop.is_set():
                stream.write(b"y" * 1000)
                time.sleep(0.001)

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        wait_until(site.tags)
        time.sleep(3)
        pending = {item["path"]: item for item in site.json("status")["pending"]}
        assert "attempts: " in pending["f/s/grows"]["reason"]
        assert [m["path"] for m in site.json("show", "f/s/v1")["materials"]] == ["quiet"]
    finally:
        stop.set()
        thread.join()
    wait_until(lambda: "grows" in [m["path"] for m in site.json("show", site.tags()[0])["materials"]])
    daemon.terminate()
    assert daemon.wait(timeout=20) == 0
    assert daemon.stdout is not None
    daemon.stdout.close()
    site.verified()


def test_a_second_daemon_is_refused_with_the_first_ones_pid(site: Site, daemon: subprocess.Popen[str]) -> None:
    assert str(daemon.pid) in site.run("run", code=6).stderr
    # Everything is in, whoever archived it; and what the daemon does not take in within the time is told.
    assert str(daemon.pid) in site.run("run", "--once").stdout
    daemon.send_signal(signal.SIGSTOP)
    site.write("f/s/a", "waits")
    assert str(daemon.pid) in site.run("run", "--once", "--wait", "0.5", code=6).stderr
    daemon.send_signal(signal.SIGCONT)


def test_commands_work_beside_a_busy_daemon(site: Site, daemon: subprocess.Popen[str]) -> None:
    for number in range(5):
        site.write(f"f/s{number}/a", str(number))
    wait_until(lambda: len(site.tags()) == 5)
    for number in range(5):
        site.write(f"f/s{number}/a", f"again {number}")
        site.run("submit", f"f/s{number}", "--version", 1, "--on", "2026-03-01")
    wait_until(lambda: len(site.tags()) == 10)
    assert sum(bool(v["submitted"]) for v in site.json("log")) == 5
    site.verified()


def test_a_scan_finds_what_events_did_not_tell(site: Site) -> None:
    """Deaf: no event arrives, and still everything is archived."""
    site.set("watch", "scan_minutes", 0.02)
    deaf = "import archiver.intake.folder.watcher as w; w.Watcher.on_any_event = lambda *a: None; "
    code = f"{deaf}from archiver.cli.main import run; run()"
    daemon = subprocess.Popen(
        [sys.executable, "-c", code, "--config", site.config, "run", "--settle", "0.2"], stdout=subprocess.DEVNULL
    )
    site.write("f/s/a", "1")
    wait_until(lambda: site.tags() == ["f/s/v1"])
    site.write("f/s/a", "2")
    wait_until(lambda: site.tags() == ["f/s/v2", "f/s/v1"])
    daemon.terminate()
    assert daemon.wait(timeout=20) == 0


@pytest.mark.parametrize("suffix", ["", "/"])
def test_empty_folders_and_times_come_back(site: Site, suffix: str) -> None:
    site.write("f/s/d/a", "1")
    (site.watch / "f/s/空/深").mkdir(parents=True)
    os.utime(site.watch / "f/s/d/a", ns=(10**18, 10**18 + 123))
    site.catch_up()
    site.run("restore", f"f/s/v1{suffix}", "--to", site.root / "back")
    assert tree(site.root / "back") == tree(site.watch / "f/s")
    (site.watch / "f/s/空/深").rmdir()
    (site.watch / "f/s/空").rmdir()
    os.utime(site.watch / "f/s/d/a")
    site.catch_up()
    assert site.json("show", "f/s/v2")["folders"] == []
    os.utime(site.watch / "f/s/d/a")
    site.catch_up()
    assert len(site.tags()) == 2, "a changed mtime alone makes no version"


def test_verify_beside_a_writing_daemon_finds_nothing(site: Site, daemon: subprocess.Popen[str]) -> None:
    stop = threading.Event()

    def work() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            site.write(f"f/s{number // 10 % 7}/a{number % 5}", f"content {number}")
            time.sleep(0.02)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        wait_until(site.tags)
        # Twelve times at least, and until the daemon has written much meanwhile, however quick verify is.
        for _ in range(12):
            site.verified()
        wait_until(lambda: site.verified() and len(site.tags()) > 7)
    finally:
        stop.set()
        thread.join()


def test_verify_takes_the_locks_of_a_transaction_for_no_refs(site: Site) -> None:
    """A daemon holds them for a moment, with the ids of what it is about to make."""
    site.write("f/s/a", "1")
    site.catch_up()
    for ref in ("heads/filings/f/s", "heads/filings/f/t", "tags/f/s/v2"):
        (site.repository / "refs" / f"{ref}.lock").write_text("1" * 40 + "\n")
    site.verified()


@pytest.mark.needs("root", "mount")
def test_readers_need_no_write_access(site: Site) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    subprocess.run(["mount", "--bind", site.archive, site.archive], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", site.archive], check=True)
    try:
        for command in (["status"], ["log"], ["show", "f/s/v1"], ["explain", "f/s/v1"], ["verify"]):
            site.run(*command)
        out = site.run("restore", "f/s/v1", "--to", site.root / "back")
        assert "was not recorded in the journal" in out.stderr
        assert (site.root / "back/a").read_text() == "1"
        site.write("f/s/a", "2")
        assert "Nothing was changed" in site.run("restore", "f/s/v1", "--to", site.watch, code=2).stderr
        assert "No archived data was lost" in site.run("run", "--once", code=8).stderr
        site.run("submit", "f/s", "--on", "2026-01-01", "--version", 1, code=8)
        site.run("dispose", "plan", code=4)
    finally:
        subprocess.run(["umount", "-l", site.archive], check=True)
    site.catch_up()
    assert site.tags() == ["f/s/v2", "f/s/v1"]
    site.verified()


@pytest.mark.needs("root", "mount")
def test_a_full_archive_disk_loses_nothing_and_goes_on(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", disk], check=True)
    try:
        site = Site(tmp_path / "site")
        site.archive = disk / "archive"
        site.repository = site.archive / "archive.git"
        site.init()
        site.write("f/s/small", "1")
        site.catch_up()
        site.write("f/s/large", os.urandom(20_000_000))
        site.write("f/t/other", "2")
        daemon = site.start("--settle", "0.1")
        wait_until(lambda: "f/t/v1" in site.tags())
        time.sleep(1)
        assert daemon.poll() is None
        assert [p["path"] for p in site.json("status")["pending"]] == ["f/s/large"]
        subprocess.run(["mount", "-o", "remount,size=60m", disk], check=True)
        wait_until(lambda: "f/s/v2" in site.tags())
        daemon.terminate()
        out, _ = daemon.communicate(timeout=20)
        assert daemon.returncode == 0
        assert "No space left" in out
        site.verified()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_second_write_within_one_tick_of_the_clock_is_not_missed(site: Site) -> None:
    """Same size, same times: the kernel's file times cannot tell the two states apart."""
    from archiver.intake.capture import Capturer

    target = site.write("f/s/a", "one")
    finish = Capturer.finish_all
    written = []

    def finish_then_write(self: Capturer, *arguments: object) -> object:
        outcome = finish(self, *arguments)  # type: ignore[arg-type]
        if not written:
            status = target.stat()
            target.write_text("two")
            os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
            written.append(status)
            # The stat data of this test have whole seconds.
            patch.setattr("archiver.store.content.spool._COARSE_TICK_NS", 0)
        return outcome

    archive = site.open()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Capturer, "finish_all", finish_then_write)
            # ctime cannot be set: pretend that the kernel's clock did not tick.
            patch.setattr("archiver.intake.scan.StatData.from_stat_result", lambda s: _without_ctime(s))
            patch.setattr("archiver.store.content.source.StatData.from_stat_result", lambda s: _without_ctime(s))
            patch.setattr("archiver.store.content.spool._COARSE_TICK_NS", 10**20)
            Daemon(archive, load_config(site.config), lambda *_, **__: None, 0.0).run_once()
    finally:
        archive.close()
    assert len(site.tags()) == 2


def _without_ctime(status: os.stat_result) -> StatData:
    return StatData(status.st_size, status.st_mtime_ns, 0, status.st_ino)


def test_a_longer_period_once_accepted_stays(site: Site) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    site.set("retention", "years", 10)
    assert "waits for acceptance" in site.catch_up().stdout
    site.run("retention", "accept")
    site.set("retention", "years", 3)
    site.catch_up()
    version = site.json("log")[0]
    assert int(version["keep_until"][:4]) - int(version["captured_at"][:4]) in (10, 11)
    site.run("reindex")
    assert site.json("log")[0]["keep_until"] == version["keep_until"]
    site.verified()


@pytest.fixture
def closed_accesses(monkeypatch: pytest.MonkeyPatch) -> list[DirectAccess]:
    """Each access to a folder that was closed: one that reads a network mount ends its children then."""
    closed: list[DirectAccess] = []
    monkeypatch.setattr(DirectAccess, "close", lambda access: closed.append(access))
    return closed


def open_states() -> int:
    """Count the descriptors of ``state.db``. The one that lists them all is closed again when it is looked at."""
    paths = [Path(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
    return sum(path.readlink().name == "state.db" for path in paths if path.is_symlink())


def test_a_daemon_that_cannot_be_made_leaves_nothing_open(
    site: Site, closed_accesses: list[DirectAccess], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> NoReturn:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(upkeep, "apply_sensitive_patterns", fail)
    archive = site.open()
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error") as raised:
        Daemon(archive, load_config(site.config), lambda *_, **__: None)
    # The traceback, which the service reports, refers to the daemon and all that it opened.
    assert raised.tb is not None
    assert open_states() == 0
    assert len(closed_accesses) == 1
    archive.close()


def test_a_daemon_that_finds_another_one_is_closed(site: Site, closed_accesses: list[DirectAccess]) -> None:
    archive = site.open()
    daemon = Daemon(archive, load_config(site.config), lambda *_, **__: None)
    with lock.hold_lock(site.archive / "daemon.lock", 0), pytest.raises(Busy):
        daemon.run()
    daemon.close()
    assert open_states() == 0
    assert len(closed_accesses) == 1
    archive.close()


def test_children_end_even_if_the_state_cannot_be_written(site: Site, closed_accesses: list[DirectAccess]) -> None:
    site.write("f/s/a", "1")
    archive = site.open()
    daemon = Daemon(archive, load_config(site.config), lambda *_, **__: None, 0.0)
    # As on a filesystem that has become read-only.
    daemon._snapshot._database.execute("pragma query_only = on")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        daemon.run_once()
    assert open_states() == 0
    assert len(closed_accesses) == 1
    archive.close()
