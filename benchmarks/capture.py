"""First capture against ``cp -r; sync`` and borg, memory of a large file, start-up time.

    python benchmarks/capture.py [--rounds 5] [--folder DIR]

Every tool runs in turn in every round, each into a new place, and nothing is
deleted in between: on many disks the discards of a deletion slow the next run.
Needs 25 GB, and borg (Debian: borgbackup) for its column.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from corpus import mixed

COMMAND = Path(sys.executable).parent / "archiver"
GB = 1_000_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="archiver-bench-", dir=options.folder))
    os.environ["BORG_BASE_DIR"] = os.fspath(folder / "borg-home")
    try:
        startup()
        large(folder)
        bulk(folder, options.rounds)
    finally:
        shutil.rmtree(folder)


def bulk(folder: Path, rounds: int) -> None:
    source = folder / "source"
    mixed(source)
    os.sync()
    files = [path for path in source.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    print(f"\nfirst capture of {len(files)} files, {size / GB:.2f} GB, {rounds} interleaved rounds")
    tools: dict[str, Callable[[Path, Path], float]] = {"cp -r; sync": copy, "archiver": archive}
    if shutil.which("borg"):
        tools["borg -e none"] = borg
    seconds: dict[str, list[float]] = {name: [] for name in tools}
    for number in range(rounds):
        for name, tool in tools.items():
            seconds[name].append(tool(source, folder / f"{number}-{name.split()[0]}"))
    for name, values in seconds.items():
        print(f"  {name:14} median {statistics.median(values):5.2f} s  ({min(values):.2f} to {max(values):.2f})")
    for name in tools:
        if name != "archiver":
            ratios = [ours / theirs for ours, theirs in zip(seconds["archiver"], seconds[name], strict=True)]
            medians = statistics.median(seconds["archiver"]) / statistics.median(seconds[name])
            spread = f"per round {min(ratios):.2f} to {max(ratios):.2f}"
            print(f"  archiver / {name}: {medians:.2f} of medians; {spread}")


def timed(*command: str | Path) -> float:
    start = time.perf_counter()
    subprocess.run([*map(os.fspath, command)], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def copy(source: Path, target: Path) -> float:
    return timed("bash", "-c", f"cp -r '{source}' '{target}'; sync")


def archive(source: Path, target: Path) -> float:
    target.mkdir()
    config = target / "archiver.toml"
    subprocess.run(
        [COMMAND, "-q", "--config", config, "init", "--archive", target / "a", "--watch", source], check=True
    )
    return timed(COMMAND, "-q", "--config", config, "run", "--once", "--settle", "0")


def borg(source: Path, target: Path) -> float:
    subprocess.run(["borg", "init", "-e", "none", target], check=True, stderr=subprocess.DEVNULL)
    return timed("borg", "create", f"{target}::x", source)


def large(folder: Path) -> None:
    """Peak memory for one file of 2 GB: archived, restored, verified."""
    source = folder / "large"
    (source / "f/s").mkdir(parents=True)
    with open("/dev/urandom", "rb") as noise, open(source / "f/s/large.bin", "wb") as stream:
        for _ in range(2000):
            stream.write(noise.read(1_000_000))
    config = folder / "large.toml"
    subprocess.run(
        [COMMAND, "-q", "--config", config, "init", "--archive", folder / "la", "--watch", source], check=True
    )
    print("peak memory with one file of 2 GB")
    for arguments in (
        ["run", "--once", "--settle", "0"],
        ["restore", "f/s/v1", "--to", os.fspath(folder / "back")],
        ["verify"],
    ):
        command = [os.fspath(COMMAND), "-q", "--config", os.fspath(config), *arguments]
        pid = os.posix_spawn(command[0], command, os.environ)
        _, status, usage = os.wait4(pid, 0)
        if status:
            raise SystemExit(f"{arguments} failed")
        print(f"  {arguments[0]:8} {usage.ru_maxrss / 1000:.0f} MB")


def startup() -> None:
    """``archiver --help`` beside ``python -c pass``."""
    medians = []
    for command in ([sys.executable, "-c", "pass"], [os.fspath(COMMAND), "--help"]):
        medians.append(statistics.median(timed(*command) for _ in range(21)))
    print(f"start-up: python -c pass {medians[0] * 1000:.0f} ms, archiver --help {medians[1] * 1000:.0f} ms,")
    print(f"  {(medians[1] - medians[0]) * 1000:.0f} ms more")


if __name__ == "__main__":
    main()
