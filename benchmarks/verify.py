"""A full verify against ``restic check --read-data`` and ``borg check --verify-data``, of the same corpus.

    python benchmarks/verify.py [--rounds 5] [--folder DIR]

4,000 files, 1.7 GB.  Every tool runs in turn in every round, from the page cache.  Needs 8 GB, restic and borgbackup.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from capture import COMMAND, archive, borg, timed
from corpus import mixed


def main(compare: Callable[[Path, int], None], description: str) -> None:
    """Make the corpus and every tool's store of it, and ``compare`` them in so many rounds."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="archiver-bench-", dir=options.folder))
    os.environ |= {
        "BORG_BASE_DIR": os.fspath(folder / "borg-home"),
        "RESTIC_PASSWORD": "benchmark",
        "RESTIC_CACHE_DIR": os.fspath(folder / "restic-cache"),
        "RESTIC_REPOSITORY": os.fspath(folder / "restic"),
    }
    try:
        prepare(folder)
        compare(folder, options.rounds)
    finally:
        shutil.rmtree(folder)


def prepare(folder: Path) -> None:
    source = folder / "source"
    # One filing, so that one restore brings everything back.
    mixed(source / "备案")
    archive(source, folder / "archiver")
    borg(source, folder / "borg")
    for arguments in (["init"], ["backup", os.fspath(source)]):
        subprocess.run(["restic", "-q", *arguments], check=True, stdout=subprocess.DEVNULL)
    os.sync()


def compare(folder: Path, rounds: int) -> None:
    config = folder / "archiver/archiver.toml"
    tools = {
        "archiver verify": [COMMAND, "-q", "--config", config, "verify"],
        "restic check --read-data": ["restic", "-q", "check", "--read-data"],
        "borg check --verify-data": ["borg", "check", "--verify-data", folder / "borg"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in tools}
    # The first round warms the page cache for all of them.
    for number in range(rounds + 1):
        for name, command in tools.items():
            taken = timed(*command)
            if number:
                seconds[name].append(taken)
    ours = seconds["archiver verify"]
    for name, values in seconds.items():
        ratios = [a / b for a, b in zip(ours, values, strict=True)]
        spread = f"{min(values):.2f} to {max(values):.2f}"
        print(f"  {name:26} median {statistics.median(values):5.2f} s  ({spread})", end="")
        print(
            f"  archiver / it: {statistics.median(ours) / statistics.median(values):.2f}"
            f"  (per round {min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main(compare, __doc__.splitlines()[0])
