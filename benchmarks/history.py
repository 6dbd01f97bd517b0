"""The ratios of each measured commit, kept in ``history.csv``, and what has become slower since the one before."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from measure import Result

_PATH = Path(__file__).parent / "history.csv"
_FIELDS = ("date", "commit", "mode", "work", "tool", "ratio")
#: Two runs of the same program differ by about as much.
_GROWTH = 1.1


class Ratio(NamedTuple):
    """Our time to that of a tool at the same work, of medians."""

    work: str
    tool: str
    ratio: float


def ratios_of(results: Iterable[Result]) -> list[Ratio]:
    """Return the ratios of every work; the sizes, which the titles name, are those of the mode."""
    return [
        Ratio(result.title, tool, round(result.ratio(tool), 3))
        for result in results
        for tool in result.runs
        if tool != result.ours
    ]


def note(mode: str, ratios: list[Ratio]) -> list[str]:
    """Add the ratios of the present commit; return a line for each that grew by more than a tenth.

    They are compared with the commit measured last, in the same mode.
    """
    rows = _read()
    commit = _commit()
    earlier = [row for row in rows if row["mode"] == mode and row["commit"] != commit]
    last = {
        (row["work"], row["tool"]): float(row["ratio"])
        for row in earlier
        if row["commit"] == earlier[-1]["commit"]
    }
    grown = [
        f"{each.work} / {each.tool}: {last[each.work, each.tool]:.2f} -> {each.ratio:.2f}"
        for each in ratios
        if (each.work, each.tool) in last and each.ratio > _GROWTH * last[each.work, each.tool]
    ]
    kept = [row for row in rows if (row["mode"], row["commit"]) != (mode, commit)]
    today = datetime.now(UTC).date().isoformat()
    new = [
        dict(zip(_FIELDS, (today, commit, mode, each.work, each.tool, f"{each.ratio:g}"), strict=True))
        for each in ratios
    ]
    with open(_PATH, "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, _FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows([*kept, *new])
    return grown


def _read() -> list[dict[str, str]]:
    """Return the rows of the file, oldest first."""
    if not _PATH.exists():
        return []
    with open(_PATH, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _commit() -> str:
    """Return the commit that is checked out, with a mark if files differ from it."""
    git = ["git", "-C", str(Path(__file__).parent)]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], check=True, capture_output=True, text=True)
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "../archiver"], check=False)
    return commit.stdout.strip() + ("+" if changed.returncode else "")
