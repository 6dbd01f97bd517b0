"""archiver beside its peers and the plain limit, all in the same run.

    python benchmarks/bench.py [--full] [--folder DIR] [--to FILE]

Installs the peers (as root, from Debian), makes the corpora, runs everything and writes a page with its
picture.  The full run needs 90 GB and about an hour; the quick one 4 minutes.  The ratios are added to
``benchmarks/history.csv``.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import history
import page
import peers
import scaling
import service
import works
from measure import Result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="the sizes that docs/benchmarks.md reports")
    parser.add_argument("--folder", type=Path, help="where there is room; else the temporary folder")
    parser.add_argument("--to", type=Path, default=Path("build/benchmarks.md"), help="the page")
    parser.add_argument("--only", choices=["scaling", "service", *works.WORKS], help="one part of it")
    options = parser.parse_args()
    scale = works.FULL if options.full else works.QUICK
    peers.install()
    options.to.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="archiver-bench-", dir=options.folder))
    try:
        peers.environment(folder / "home")
        results, rows = [], [scaling.startup()]
        if options.only in (None, "scaling"):
            with works.room(folder, "scaling", scale) as place:
                rows += scaling.rows(place, scale.materials)
        if options.only in (None, "service"):
            with works.room(folder, "service", scale) as place:
                rows += service.rows(place, scale.submissions, scale.limited_files, scale.idle_seconds)
        sys.stdout.write(page.figures(rows))
        for name, work in works.WORKS.items():
            for result in work(folder, scale) if options.only in (None, name) else ():
                if not scale.has_goals:
                    result.goals = {}
                results.append(result)
                rows += memory(result)
                sys.stdout.write(f"{page.table(result)}\n")
                sys.stdout.flush()
        mode = "bench-full" if options.full else "bench"
        page.write(options.to, mode, results, rows)
        grown = history.note(mode, history.ratios_of(results))
        for line in grown:
            sys.stdout.write(f"more than 10 % slower than at the last measured commit: {line}\n")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def memory(result: Result) -> list[scaling.Row]:
    """What the largest of our processes took."""
    peak = max(run.peak_mb for run in result.runs[result.ours])
    return [(f"memory: {result.title}", f"{peak:.0f} MB", "150 MB", peak <= 150)]


if __name__ == "__main__":
    main()
