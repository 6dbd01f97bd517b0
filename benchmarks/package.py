"""The inspection package and restore against copying, bagit, restic and borg, of the same corpus.

    python benchmarks/package.py [--rounds 5] [--folder DIR]

4,000 files, 1.7 GB.  Every tool runs in turn in every round, into a new place.  Needs 60 GB, restic,
borgbackup, and the bagit library beside this Python.
"""

from __future__ import annotations

import resource
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from capture import COMMAND, timed
from verify import main


def compare(folder: Path, rounds: int) -> None:
    config = folder / "archiver/archiver.toml"
    source = folder / "source"
    bagit = Path(sys.executable).parent / "bagit.py"

    def copied(to: Path) -> list[str]:
        return ["bash", "-c", f"cp -r '{source}' '{to}'; sync"]

    def ours(*arguments: str) -> list[str]:
        return ["bash", "-c", f"'{COMMAND}' -q --config '{config}' {' '.join(arguments)}; sync"]

    tools: dict[str, Callable[[Path], list[str]]] = {
        "cp -r; sync": copied,
        "archiver audit; sync": lambda to: ours("audit", "--to", f"'{to}'"),
        "cp -r; bagit.py; sync": lambda to: [
            *(
                "bash",
                "-c",
                f"cp -r '{source}' '{to}'; '{sys.executable}' '{bagit}' --quiet --sha256 --processes 2 '{to}'; sync",
            )
        ],
        "archiver restore; sync": lambda to: ours("restore", "备案", "--at", "2999-01-01", "--to", f"'{to}'"),
        "restic restore; sync": lambda to: ["bash", "-c", f"restic -q restore latest --target '{to}'; sync"],
        "borg extract; sync": lambda to: [
            "bash",
            "-c",
            f"mkdir '{to}'; cd '{to}'; borg extract '{folder}/borg::x'; sync",
        ],
    }
    seconds: dict[str, list[float]] = {name: [] for name in tools}
    # The first round warms the page cache for all of them.
    for number in range(rounds + 1):
        for name, command in tools.items():
            target = folder / f"{number}-{name.split(';')[0].replace(' ', '-')}"
            taken = timed(*command(target))
            if number:
                seconds[name].append(taken)
    for name, values in seconds.items():
        print(f"  {name:24} median {statistics.median(values):5.2f} s  ({min(values):.2f} to {max(values):.2f})")
    for ours, theirs in (
        ("archiver audit; sync", "cp -r; sync"),
        ("archiver audit; sync", "cp -r; bagit.py; sync"),
        ("archiver restore; sync", "cp -r; sync"),
        ("archiver restore; sync", "restic restore; sync"),
        ("archiver restore; sync", "borg extract; sync"),
    ):
        ratios = [a / b for a, b in zip(seconds[ours], seconds[theirs], strict=True)]
        medians = statistics.median(seconds[ours]) / statistics.median(seconds[theirs])
        print(f"  {ours} / {theirs}: {medians:.2f} of medians (per round {min(ratios):.2f} to {max(ratios):.2f})")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000
    print(f"  largest process of all: {peak:.0f} MB")


if __name__ == "__main__":
    main(compare, __doc__.splitlines()[0])
