"""Figures of a service besides its speed: housekeeping, its end, little memory, and idleness."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import corpus
from installed import COMMAND
from measure import run
from scaling import Row

#: The moments after the start of a first capture at which it is stopped.
_STOPPED_AFTER_SECONDS = (0.7, 1.2, 1.8, 2.5, 3.5, 5.0)
_MEMORY_LIMIT_BYTES = 128 << 20
_MEMORY_GROUP = "archiver-bench"


def rows(folder: Path, submissions: int, small_files: int, idle_seconds: float) -> list[Row]:
    """The figures, with their goals: of so many submissions, and of a submission of so many small files."""
    return [
        _maintain(folder / "maintain", submissions),
        _stop(folder / "stop", small_files // 2),
        _limited_memory(folder / "memory", small_files),
        _idle(folder / "idle", idle_seconds),
    ]


def _site(folder: Path, fill: Callable[[Path], None]) -> list[str]:
    """Make a watched folder, which ``fill`` fills, and a new archive; return the beginning of a command line."""
    (folder / "watched").mkdir(parents=True)
    fill(folder / "watched")
    command = [str(COMMAND), "-q", "--config", str(folder / "archiver.toml")]
    init = [*command, "init", "--archive", str(folder / "archive"), "--watch", str(folder / "watched")]
    subprocess.run(init, check=True, stdout=subprocess.DEVNULL)
    return command


def _maintain(folder: Path, submissions: int) -> Row:
    """Housekeeping after the objects were written to files of their own, as earlier releases did."""
    command = _site(folder, lambda watched: corpus.submissions(watched, submissions, 10, 1_000))
    subprocess.run([*command, "run", "--once", "--settle", "0"], check=True)
    repository = folder / "archive/archive.git"
    for pack in list(repository.glob("objects/pack/*.pack")):
        pack.with_suffix(".idx").unlink()
        moved = pack.rename(folder / pack.name)
        with open(moved, "rb") as stream:
            git = ["git", f"--git-dir={repository}", "-c", "safe.directory=*", "unpack-objects", "-q"]
            subprocess.run(git, stdin=stream, check=True)
    count = sum(1 for path in repository.glob("objects/??/*"))
    os.sync()
    seconds = run(f"{' '.join(command)} maintain").seconds
    return f"`maintain`, {count:,} loose objects", f"{seconds:.1f} s", "2 s", seconds <= 2


def _stop(folder: Path, files: int) -> Row:
    """SIGTERM at several moments of a first capture; the slowest answer counts."""
    command = _site(folder, lambda watched: corpus.small(watched, files))
    answers = []
    for after in _STOPPED_AFTER_SECONDS:
        process = subprocess.Popen([*command, "run", "--settle", "0"], stdout=subprocess.DEVNULL)
        time.sleep(after)
        started = time.perf_counter()
        process.send_signal(signal.SIGTERM)
        if process.wait(timeout=60):
            raise SystemExit("the service did not end well")
        answers.append(time.perf_counter() - started)
    slowest = max(answers)
    return f"SIGTERM amid {files:,} small files", f"{slowest:.1f} s at most", "2 s", slowest <= 2


def _limited_memory(folder: Path, files: int) -> Row:
    """A first capture with little memory; the page cache counts, but the kernel takes that back."""
    what = f"first capture of {files:,} small files with {_MEMORY_LIMIT_BYTES >> 20} MB"
    command = _site(folder, lambda watched: corpus.small(watched, files))
    with _memory_group() as processes_file:
        if processes_file is None:
            return what, "not measured: no memory group can be made here", "completed", False
        enter = f"echo $$ > {processes_file} && exec {' '.join(command)} run --once --settle 0"
        done = subprocess.run(["sh", "-c", enter], check=False, stdout=subprocess.DEVNULL)
    return what, "completed" if done.returncode == 0 else "failed", "completed", done.returncode == 0


@contextmanager
def _memory_group() -> Iterator[Path | None]:
    """Make a control group with little memory; yield the file that takes its processes, None if impossible."""
    for parent, limit in (
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
        (Path("/sys/fs/cgroup"), "memory.max"),
    ):
        group = parent / _MEMORY_GROUP
        try:
            group.mkdir()
            (group / limit).write_text(str(_MEMORY_LIMIT_BYTES))
        except OSError:
            continue
        try:
            yield group / "cgroup.procs"
        finally:
            group.rmdir()
        return
    yield None


def _idle(folder: Path, seconds: float) -> Row:
    """How many files of an archive change while nothing happens; scans as often as a setting allows."""
    command = _site(folder, lambda watched: corpus.submissions(watched, 5, 2, 1_000))
    config = folder / "archiver.toml"
    config.write_text(config.read_text("utf-8").replace("scan_minutes = 15", "scan_minutes = 0.1"), "utf-8")
    process = subprocess.Popen([*command, "run", "--settle", "0.2"], stdout=subprocess.DEVNULL)
    time.sleep(15)
    before = _states(folder / "archive")
    time.sleep(seconds)
    changed = sum(before.get(path) != state for path, state in _states(folder / "archive").items())
    process.terminate()
    process.wait(timeout=60)
    return f"files of the archive written in {seconds:.0f} idle seconds", f"{changed}", "0", changed == 0


def _states(folder: Path) -> dict[Path, tuple[int, int]]:
    """Return size and time of each file."""
    return {path: (path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}
