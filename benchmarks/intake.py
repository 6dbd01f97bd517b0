"""The daemon's figures: a drop of 100,000 files with overflow, latency, scan, idle, restart.

    python benchmarks/intake.py [--files 100000] [--folder DIR]

Needs root: ``fs.inotify.max_queued_events`` is lowered for the drop and restored.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from installed import COMMAND

QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
QUIET = 1.0


class Site:
    """A watched folder and its archive, driven through the installed command."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.watch, self.archive, self.config = root / "watched", root / "archive", root / "archiver.toml"
        self.watch.mkdir(parents=True)
        self.call("init", "--archive", self.archive, "--watch", self.watch)

    def call(self, *arguments: object) -> str:
        command = [*map(str, (COMMAND, "--config", self.config, *arguments))]
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd=self.root).stdout

    def status(self) -> dict[str, object]:
        report: dict[str, object] = json.loads(self.call("status", "--json"))
        return report

    def has_scanned_since(self, scan: object) -> bool:
        report = self.status()
        return bool(report["daemon"]) and report["last_scan"] != scan

    def start(self) -> subprocess.Popen[bytes]:
        command = [str(COMMAND), "--config", str(self.config), "run", "--settle", str(QUIET)]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def archived(self) -> int:
        """Files of the newest versions."""
        log = json.loads(self.call("log", "--json"))
        return sum({f"{v['filing']}/{v['submission']}": v["files"] for v in reversed(log)}.values())

    def tag(self, name: str) -> bool:
        return (self.archive / "archive.git/refs/tags" / name).exists()


def until(condition: Callable[[], object], seconds: float = 900, pause: float = 0.1) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("it did not happen in time")
        time.sleep(pause)


def proc(pid: int, key: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    raise KeyError(key)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def make_tar(path: Path, files: int) -> None:
    source = path.with_suffix("")
    for number in range(files):
        folder = source / f"算法{number % 4}" / f"首次{number % 3}" / f"材料{number % 500}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"文件{number:06d}.txt").write_bytes(b"%d\n" % number * 20)
    with tarfile.open(path, "w") as tar:
        tar.add(source, arcname=".")
    shutil.rmtree(source)


def drop(site: Site, tar: Path, files: int) -> subprocess.Popen[bytes]:
    before = QUEUE.read_text()
    QUEUE.write_text("1024")
    try:
        daemon = site.start()
        until(lambda: site.status()["watching"] == "watched by events and scans")
        started = time.monotonic()
        subprocess.run(["tar", "xf", tar, "-C", site.watch], check=True)
        untarred = time.monotonic() - started
        until(lambda: site.archived() >= files, pause=0.5)
        done = time.monotonic() - started
    finally:
        QUEUE.write_text(before)
    log = json.loads(site.call("log", "--json"))
    kept = sum(version["added"] for version in log)
    newest = site.archived()
    print(
        f"drop of {files} files at a queue of 1,024 events: untar {untarred:.1f} s, all archived after {done:.1f} s"
    )
    print(f"  archived {newest} of {files}, twice {kept - newest}, versions {len(log)}")
    print(f"  peak memory of the daemon {proc(daemon.pid, 'VmHWM') / 1024:.0f} MB")
    return daemon


def latency(site: Site, rounds: int = 30) -> None:
    target = site.watch / "单独" / "首次"
    target.mkdir(parents=True)
    waits = []
    for number in range(rounds):
        (target / "材料.txt").write_text(f"{number}")
        written = time.monotonic()
        until(partial(site.tag, f"单独/首次/v{number + 1}"), pause=0.002)
        waits.append((time.monotonic() - written - QUIET) * 1000)
    print(
        f"last write to durable tag: quiet period + {statistics.median(waits):.0f} ms ({max(waits):.0f} at most)"
    )


def idle(daemon: subprocess.Popen[bytes], seconds: int = 30) -> None:
    time.sleep(3)
    used = cpu_seconds(daemon.pid)
    time.sleep(seconds)
    used = cpu_seconds(daemon.pid) - used
    print(f"idle: {100 * used / seconds:.2f} % of one core, {proc(daemon.pid, 'VmRSS') / 1024:.0f} MB")


def restart(site: Site, daemon: subprocess.Popen[bytes], rounds: int = 5) -> subprocess.Popen[bytes]:
    waits = []
    for number in range(rounds):
        (site.watch / "单独" / "首次" / "中断.txt").write_text(f"{number}")
        time.sleep(QUIET + 0.02)
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()
        started = time.monotonic()
        daemon = site.start()
        scan = site.status()["last_scan"]
        until(partial(site.has_scanned_since, scan), pause=0.02)
        waits.append(time.monotonic() - started)
    print(
        f"kill -9 to healthy (running and everything compared): {statistics.median(waits):.2f} s, {max(waits):.2f} at most"
    )
    return daemon


def scan(site: Site, rounds: int = 7) -> None:
    from archiver.config.loader import load_config
    from archiver.intake.exclusion.ignore_rules import IgnoreRules
    from archiver.intake.folder.access import DirectAccess
    from archiver.intake.scan import Scanner
    from archiver.intake.snapshot import Snapshot

    config = load_config(site.config)
    snapshot = Snapshot(site.archive / "state.db", read_only=True)
    scanner = Scanner(DirectAccess(config.watch), IgnoreRules.with_litter(config.ignore))
    ours, theirs = [], []
    for _ in range(rounds):
        started = time.perf_counter()
        found = scanner.scan(snapshot)
        ours.append(time.perf_counter() - started)
        assert not found.changed
        started = time.perf_counter()
        subprocess.run(["find", site.watch, "-printf", "%s %T@\n"], stdout=subprocess.DEVNULL, check=True)
        theirs.append(time.perf_counter() - started)
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(
        f"scan without a change: {statistics.median(ours):.3f} s, find {statistics.median(theirs):.3f} s, ratio {ratio:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="archiver-bench-", dir=options.folder))
    try:
        make_tar(folder / "drop.tar", options.files)
        site = Site(folder / "site")
        daemon = drop(site, folder / "drop.tar", options.files)
        latency(site)
        idle(daemon)
        daemon = restart(site, daemon)
        daemon.terminate()
        print(f"SIGTERM to the end: exit code {daemon.wait(timeout=10)}")
        site.call("run", "--once", "--settle", "0")
        scan(site)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
