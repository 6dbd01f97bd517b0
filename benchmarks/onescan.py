"""One look of a running daemon at a folder in which nothing has changed.

    python benchmarks/onescan.py CONFIG [--times 7]

Prints the median of seconds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

from archiver.config.loader import load_config
from archiver.intake.exclusion.ignore_rules import IgnoreRules
from archiver.intake.folder.access import DirectAccess
from archiver.intake.scan import Scanner
from archiver.intake.snapshot import Snapshot


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--times", type=int, default=7)
    options = parser.parse_args()
    config = load_config(options.config)
    snapshot = Snapshot(config.archive / "state.db", read_only=True)
    scanner = Scanner(DirectAccess(config.watch), IgnoreRules.with_litter(config.ignore))
    seconds = []
    for _ in range(options.times):
        started = time.perf_counter()
        found = scanner.scan(snapshot)
        seconds.append(time.perf_counter() - started)
        assert not found.changed
    sys.stdout.write(f"{statistics.median(seconds):.4f}\n")


if __name__ == "__main__":
    main()
