"""What the size of an archive costs: a small synthetic archive beside a large one."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

import synthetic
from installed import COMMAND, PYTHON
from measure import Run, run

Row = tuple[str, str, str, bool]
_HERE = Path(__file__).parent
_QUERIES = ("status", "log 算法00000", "explain 算法00000/报送03/v5", "deadlines")


def rows(folder: Path, materials: int) -> list[Row]:
    """The figures, with their goals."""
    little, great = _site(folder, "little", 1000), _site(folder, "great", materials)
    reindexed = run(f"{COMMAND} -q --config {great} reindex")
    run(f"{COMMAND} -q --config {little} reindex")
    name = f"{materials:,} materials"
    found: list[Row] = [
        (f"`reindex`, {name}", f"{reindexed.seconds:.0f} s", "180 s", reindexed.seconds <= 180),
        (
            "its memory (git's mapped packs counted in)",
            f"{reindexed.peak_mb:.0f} MB",
            "300 MB",
            reindexed.peak_mb <= 300,
        ),
    ]
    for query in _QUERIES:
        taken = 1000 * _median([run(f"{COMMAND} --config {great} {query}") for _ in range(7)])
        found.append((f"`{query}`, {name}", f"{taken:.0f} ms", "300 ms", taken <= 300))
    (wall, cpu), (wall_there, cpu_there) = _change(little.parent / "archive"), _change(great.parent / "archive")
    met = cpu_there <= 1.3 * cpu
    found.append(
        (
            f"CPU of one changed file, 1,000 against {name}",
            f"{cpu:.0f} and {cpu_there:.0f} ms: {cpu_there / cpu:.2f} x",
            "1.3 x",
            met,
        )
    )
    found.append(
        (
            f"the same in wall time, with all syncs: {wall:.0f} and {wall_there:.0f} ms",
            f"{cpu_there:.0f} ms CPU",
            "60 ms CPU",
            cpu_there < 60,
        )
    )
    return found


def startup() -> Row:
    """``archiver --help`` beside a Python that does nothing."""
    bare = _median([run(f"{PYTHON} -c pass") for _ in range(21)])
    ours = _median([run(f"{COMMAND} --help") for _ in range(21)])
    return (
        "start-up: `--help` beside `python -c pass`",
        f"{1000 * (ours - bare):.0f} ms more",
        "100 ms",
        ours - bare <= 0.1,
    )


def _site(folder: Path, name: str, materials: int) -> Path:
    place = folder / name
    (place / "watched").mkdir(parents=True)
    submissions = max(materials // 100, 10)
    synthetic.make(place / "archive", materials, submissions, submissions * 10).close()
    config = place / "archiver.toml"
    config.write_text(f'[archive]\npath = "{place}/archive"\n[watch]\npath = "{place}/watched"\n')
    return config


def _median(runs: list[Run]) -> float:
    return statistics.median(each.seconds for each in runs)


def _change(archive: Path) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, _HERE / "onechange.py", archive], check=True, capture_output=True, text=True
    )
    wall, cpu = map(float, done.stdout.split())
    return wall, cpu
