"""The picture of a filing's life: where each mark of the timeline stands.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

WIDTH, LABEL, ROW, TOP = 960, 190, 30, 34
_RIGHT = 24
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120)
_MOST_TICKS = 9


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened: its kind, when, and what a reader sees when pointing at it."""

    kind: str
    at: datetime
    title: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """A mark on the picture; ``width`` is more than 0 for what lasts."""

    kind: str
    x: float
    width: float
    title: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the picture."""

    label: str
    y: int
    marks: tuple[Placed, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """Everything to draw."""

    rows: tuple[Row, ...]
    ticks: tuple[tuple[float, str], ...]
    height: int


def timeline(rows: Sequence[tuple[str, Sequence[Mark]]], end: datetime) -> Timeline:
    """Place the marks of each labelled row between the first mark and ``end``.

    Versions that would fall on the same pixel are drawn once.
    """
    times = [mark.at for _, marks in rows for mark in marks]
    start = min(times, default=end)
    last = max([end, *times])
    span = max(last - start, timedelta(days=1))
    start -= span * 0.02
    span *= 1.04

    def x(moment: datetime) -> float:
        return round(LABEL + (WIDTH - LABEL - _RIGHT) * ((moment - start) / span), 1)

    placed = tuple(
        Row(label, TOP + ROW * number, _placed(marks, x, last)) for number, (label, marks) in enumerate(rows)
    )
    ticks = tuple((x(moment), text) for moment, text in _ticks(start, start + span))
    return Timeline(placed, ticks, TOP + ROW * len(rows) + 8)


def _placed(marks: Sequence[Mark], x: Callable[[datetime], float], last: datetime) -> tuple[Placed, ...]:
    found: dict[tuple[str, int], Placed] = {}
    for mark in marks:
        left = x(mark.at)
        width = round(x(mark.until or last) - left, 1) if mark.kind == "hold" else 0.0
        found.setdefault((mark.kind, round(left)), Placed(mark.kind, left, width, mark.title))
    return tuple(found.values())


def _ticks(start: datetime, end: datetime) -> list[tuple[datetime, str]]:
    """The first days of months, so many that they can be read; days where there is less than a month."""
    for step in _MONTHS:
        found = []
        year, month = start.year, start.month
        while (moment := datetime(year, month, 1, tzinfo=UTC)) < end:
            if moment >= start and (year * 12 + month - 1) % step == 0:
                found.append((moment, f"{year}" if step >= 12 else f"{year}-{month:02}"))
            year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        if len(found) <= _MOST_TICKS:
            return found or [(start + (end - start) / 2, f"{start:%Y-%m-%d}")]
    return []
