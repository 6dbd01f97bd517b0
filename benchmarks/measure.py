"""Running tools in turns, and what each run cost."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Run:
    """One run of a command: wall and CPU seconds of it and its children, MB of its largest process."""

    seconds: float
    cpu: float
    peak_mb: float


@dataclass(frozen=True)
class Tool:
    """``command`` makes a shell line for a round; ``prepare`` does before it what is not measured."""

    command: Callable[[int], str]
    prepare: Callable[[int], None] = lambda _: None


@dataclass
class Result:
    """What one work took with each tool; goals are ratios of ours to a tool's."""

    title: str
    runs: dict[str, list[Run]]
    goals: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def ours(self) -> str:
        """The name of our own row: the first."""
        return next(iter(self.runs))

    def seconds(self, name: str) -> list[float]:
        """Wall seconds of each round."""
        return [run.seconds for run in self.runs[name]]

    def ratios(self, name: str) -> list[float]:
        """Ours to this tool's, round by round."""
        return [a / b for a, b in zip(self.seconds(self.ours), self.seconds(name), strict=False)]

    def ratio(self, name: str) -> float:
        """Ours to this tool's, of medians."""
        return statistics.median(self.seconds(self.ours)) / statistics.median(self.seconds(name))


def run(command: str) -> Run:
    """Run a shell line; ends the program where it fails."""
    started = time.perf_counter()
    silent = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1)]
    pid = os.posix_spawn("/bin/bash", ["bash", "-c", command], os.environ, file_actions=silent)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - started
    if status:
        raise SystemExit(f"failed: {command}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000)


def in_turns(tools: Mapping[str, Tool], rounds: int, warm: int = 0) -> dict[str, list[Run]]:
    """Every tool once in every round; ``warm`` rounds before that count nothing."""
    runs: dict[str, list[Run]] = {name: [] for name in tools}
    for number in range(-warm, rounds):
        for name, tool in tools.items():
            tool.prepare(number)
            os.sync()
            taken = run(tool.command(number))
            if number >= 0:
                runs[name].append(taken)
    return runs


_HOLDING = "import mmap, sys; m = mmap.mmap(-1, int(sys.argv[1])); [m.write(b'1' + bytes(4095)) for _ in range(len(m) // 4096)]; print(flush=True); input()"


@contextmanager
def memory_held(left_bytes: int) -> Iterator[None]:
    """Leave so much memory to the tools, all of it used before.

    A virtual machine fetches each page that was never touched from its host, at up to four times the price of
    a copy; which tool pays would be chance.
    """
    figures = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    size = int(figures["MemAvailable"].split()[0]) * 1024 - left_bytes
    if size <= 0:
        yield
        return
    words = [sys.executable, "-c", _HOLDING, str(size)]
    holder = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        yield
    finally:
        holder.kill()
        holder.wait()
