"""Events get lost in every way there is; the archive stays complete, and the loss is named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from archiver.intake.folder.probe_schedule import ARRIVAL_SECONDS, PERIOD_SECONDS, ProbeSchedule
from archiver.intake.folder.watcher import Watcher
from tests.support.exchange import exchange
from tests.support.site import Site, wait_until


def start(site: Site, patch: str, *wrapper: str) -> subprocess.Popen[str]:
    """The daemon with something in it broken on purpose."""
    code = f"{patch}\nfrom archiver.cli.main import run\nrun()"
    command = [*wrapper, sys.executable, "-c", code, "--config", os.fspath(site.config), "run", "--settle", "0.2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_until(lambda: site.json("status")["watching"].startswith("watched"))
    return process


def end(process: subprocess.Popen[str]) -> str:
    process.terminate()
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0, out
    return out


def _latest(site: Site, submission: str) -> set[str]:
    """The files of the last version: on a busy machine the files become two versions, not one."""
    versions = [tag for tag in site.tags() if tag.startswith(f"{submission}/v")]
    last = max(versions, key=lambda tag: int(tag.rpartition("/v")[2]))
    return {each["path"] for each in site.json("show", last)["materials"]}


def test_an_overflow_of_the_queue_loses_nothing(site: Site) -> None:
    """The kernel drops events while nobody reads them; the next scan is 15 minutes away."""
    site.write("f/s/first", "1")
    daemon = start(site, "")
    wait_until(lambda: site.tags() == ["f/s/v1"])
    daemon.send_signal(signal.SIGSTOP)
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for number in range(limit):
        site.write("f/s/drop", str(number))
    site.write("f/s/last", "1")
    site.write("f/new/deep/er", "1")
    daemon.send_signal(signal.SIGCONT)
    wait_until(lambda: "f/new/v1" in site.tags() and _latest(site, "f/s") == {"first", "drop", "last"}, 60)
    assert "were lost" in end(daemon)
    site.verified()


@pytest.mark.needs("root", "user namespace")
@pytest.mark.parametrize("granted", [8, 20], ids=["a few watched", "a few not"])
def test_folders_that_cannot_be_watched_are_named_and_scanned(site: Site, tmp_path: Path, granted: int) -> None:
    site.set("watch", "poll_seconds", 0.5)
    for number in range(20):
        site.write(f"f/s/d{number:02d}/a", "1")
    limit = tmp_path / "limit"
    limit.write_text(f"{granted}\n")
    patch = f"import archiver.intake.folder.watcher as f\nfrom pathlib import Path\nf._WATCH_LIMIT_FILE = Path({os.fspath(limit)!r})"
    own = "/proc/sys/user/max_inotify_watches"
    wrapper = ["unshare", "-Ur", "sh", "-c", f'echo {granted} > {own}; exec "$@"', "sh"]
    daemon = start(site, patch, *wrapper)
    wait_until(
        lambda: site.json("status")["watching"] == ("watched partly by kernel notifications, otherwise by scans")
    )
    status = site.json("status")
    assert "max_user_watches" in status["watching_reason"]
    assert "the kernel does not report some changes" in site.run("status", "--check", code=9).stderr
    wait_until(lambda: site.tags() == ["f/s/v1"])
    for number in range(20):
        site.write(f"f/s/d{number:02d}/a", "2")
    wait_until(lambda: sum(v["modified"] for v in site.json("log")) == 20)
    # The admin raises the limit: events come from everywhere again.
    enter = ["nsenter", "-t", str(daemon.pid), "-U", "--preserve-credentials", "sh", "-c", f"echo 500 > {own}"]
    subprocess.run(enter, check=True)
    limit.write_text("500\n")
    wait_until(lambda: site.json("status")["watching"] == "watched by kernel notifications and scans")
    out = end(daemon)
    assert "sysctl -w fs.inotify.max_user_watches=" in out
    assert "f/s/d" in out


def test_no_watch_at_all_is_told_and_polled(site: Site) -> None:
    site.set("watch", "poll_seconds", 0.5)
    patch = (
        "import archiver.intake.folder.watcher as w\n"
        "def start(self): raise OSError(24, 'inotify instance limit reached')\n"
        "w.Watcher.start = start"
    )
    daemon = start(site, patch)
    assert site.json("status")["watching"] == "watched by scans only"
    assert "instance limit" in site.json("status")["watching_reason"]
    site.write("f/s/a", "1")
    wait_until(lambda: site.tags() == ["f/s/v1"])
    assert "max_user_instances" in end(daemon)


def test_a_refused_watch_is_asked_for_again(site: Site) -> None:
    site.set("watch", "poll_seconds", 0.5)
    patch = (
        "import archiver.intake.folder.watcher as w, archiver.daemon.watched_folder as d\n"
        "real_start, left = w.Watcher.start, [1, 2, 3]\n"
        "def start(self):\n"
        "    if left:\n"
        "        left.pop()\n"
        "        raise OSError(11, 'no thread')\n"
        "    real_start(self)\n"
        "w.Watcher.start = start\n"
        "d._FIRST_ATTEMPT_SECONDS = 0.2"
    )
    daemon = start(site, patch)
    wait_until(lambda: site.json("status")["watching"] == "watched by kernel notifications and scans")
    site.write("f/s/a", "1")
    wait_until(lambda: site.tags() == ["f/s/v1"])
    # Told once, and not at each attempt.
    assert end(daemon).count("TasksMax") == 1


@pytest.mark.filterwarnings("ignore:Callback with id")
@pytest.mark.needs("processes")
def test_a_watch_ends_after_folders_were_exchanged_many_times(tmp_path: Path) -> None:
    """watchdog loses count of its watches then, and must neither fail nor leave its threads behind."""
    (tmp_path / "w/a/x").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "other")
    for _ in range(3):
        threads_before = set(threading.enumerate())
        watcher = Watcher(tmp_path / "w", None)
        watcher.start()
        for _ in range(400):
            exchange(tmp_path / "w/a", tmp_path / "link")
        wait_until(watcher.take_hints)
        watcher.stop()
        wait_until(lambda: {*threading.enumerate()} <= threads_before)  # noqa: B023


@pytest.mark.needs("processes")
@pytest.mark.parametrize("failure", ["probe folder", "no instance", "no thread"])
def test_a_refused_watch_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    watched, probe = tmp_path / "w", tmp_path / "p"
    watched.mkdir()
    if failure == "no instance":
        monkeypatch.setattr(
            "watchdog.observers.inotify_c.InotifyFD._create_inotify_fd",
            lambda *_: (_ for _ in ()).throw(OSError(24, "inotify instance limit reached")),
        )
    elif failure == "no thread":
        monkeypatch.setattr(
            threading.Thread, "start", lambda *_: (_ for _ in ()).throw(RuntimeError("can't start new thread"))
        )
    threads_before, files_before = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        # The folder for the probe is missing in the first case.
        watcher = Watcher(watched, probe if failure == "probe folder" else None)
        with pytest.raises(OSError, match=r"No such file|instance limit|new thread"):
            watcher.start()
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == (threads_before, files_before)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.needs("processes")
def test_the_end_of_the_reading_thread_is_noticed(tmp_path: Path) -> None:
    """An exchange of two folders, and the deletion of both."""
    for name in "ab":
        (tmp_path / "w" / name).mkdir(parents=True)
    watcher = Watcher(tmp_path / "w", None)
    watcher.start()
    try:
        exchange(tmp_path / "w/a", tmp_path / "w/b")
        wait_until(watcher.take_hints)
        for name in "ab":
            (tmp_path / "w" / name).rmdir()
        wait_until(watcher.take_loss_reason)
    finally:
        watcher.stop()


DEAF = "import archiver.intake.folder.watcher as w\nw.Watcher.on_any_event = lambda *_: None\n"


def test_a_canary_that_is_not_heard_makes_the_watch_anew(site: Site) -> None:
    site.set("watch", "poll_seconds", 0.5)
    patch = (
        f"{DEAF}w._ProbeHandler.on_any_event = lambda *_: None\n"
        "import archiver.intake.folder.probe_schedule as c\nc.ARRIVAL_SECONDS = 0.5"
    )
    daemon = start(site, patch)
    wait_until(lambda: site.json("status")["watching_reason"] == "no kernel notifications arrive")
    site.write("f/s/a", "1")
    wait_until(lambda: site.tags() == ["f/s/v1"])
    assert len(site.events("watch-deaf")) == 1
    assert "delivers no kernel notifications" in end(daemon)
    site.verified()


def test_a_scan_that_finds_what_no_event_told_makes_the_watch_anew(site: Site) -> None:
    """The canary sings, and still the folder is deaf."""
    site.set("watch", "scan_minutes", 0.02)
    # Below zero, so that it does not matter how shortly before the scan the file was written.
    daemon = start(site, f"{DEAF}import archiver.daemon.watching.missed_events as d\nd._EVENT_DELAY_SECONDS = -5")
    time.sleep(2)
    site.write("f/s/a", "1")
    wait_until(lambda: site.tags() == ["f/s/v1"])
    wait_until(lambda: site.events("watch-deaf"))
    details = site.events("watch-deaf")[0]["details"]
    assert details == {"path": "f/s/a", "missed": 1}
    end(daemon)


def test_a_healthy_watch_raises_no_alarm(site: Site) -> None:
    site.set("watch", "scan_minutes", 0.01)
    patch = "import archiver.daemon.watching.missed_events as d\nd._EVENT_DELAY_SECONDS = 0.3\nimport archiver.intake.folder.probe_schedule as c\nc.PERIOD_SECONDS = 0.2"
    daemon = start(site, patch)
    for number in range(20):
        site.write(f"f/s/d{number}/a", str(number))
        time.sleep(0.1)
    wait_until(lambda: site.json("status")["pending"] == [] and site.tags())
    assert site.events("watch-deaf") == []
    assert site.json("status")["watching"] == "watched by kernel notifications and scans"
    end(daemon)


def test_the_canary_beats_listens_and_gives_up_ever_more_slowly() -> None:
    probes = ProbeSchedule()
    assert probes.is_probe_due(0)
    probes.note_probe_sent(0)
    assert not probes.is_probe_due(1)
    assert not probes.register_missed_probe(True, 1)
    assert not probes.is_watch_stalled
    assert not probes.is_probe_due(1 + PERIOD_SECONDS - 0.1)
    now, pauses = 1 + PERIOD_SECONDS, []
    for _ in range(10):
        assert probes.is_probe_due(now)
        probes.note_probe_sent(now)
        assert not probes.register_missed_probe(False, now + ARRIVAL_SECONDS - 0.1)
        assert probes.register_missed_probe(False, now + ARRIVAL_SECONDS)
        assert not probes.register_missed_probe(False, now + ARRIVAL_SECONDS)
        assert probes.is_watch_stalled
        pauses.append(probes.next_probe_at - now)
        now = probes.next_probe_at
    assert pauses == sorted(pauses)
    assert pauses[-1] == pauses[-2]
    probes.note_probe_sent(now)
    assert not probes.register_missed_probe(True, now)
    assert not probes.is_watch_stalled
