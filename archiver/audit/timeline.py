"""Lay out the timeline of a filing: the place of each mark on the picture, in pixels.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

#: Pixels: width of the picture and of its labels, height of a row, room for the ticks above.
WIDTH, LABEL, ROW, TOP = 960, 190, 30, 34
_RIGHT_MARGIN, _BOTTOM_MARGIN = 24, 8
#: Free time at both ends, so that no mark lies on the edge.
_MARGIN_SHARE = 0.02
#: Distances between ticks that people read at once.
_TICK_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120)
#: More labels than this run into each other at this width.
_MAX_TICKS = 9


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened, or lasted."""

    kind: str  # also its class in the style sheet; only a "hold" lasts
    at: datetime
    title: str  # shown to a reader who points at it
    until: datetime | None = None  # the end of a hold; None: it still lasts


@dataclass(frozen=True, slots=True)
class PlacedMark:
    """A mark on the picture; ``width`` is 0 unless it lasts."""

    kind: str
    x: float
    width: float
    title: str


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """One line of the picture."""

    label: str
    y: int
    marks: tuple[PlacedMark, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """Everything to draw; a tick is a place and its label."""

    rows: tuple[TimelineRow, ...]
    ticks: tuple[tuple[float, str], ...]
    height: int


def lay_out_timeline(labelled_marks: Sequence[tuple[str, Sequence[Mark]]], end: datetime) -> Timeline:
    """Place the marks of each labelled row between the first mark and ``end``, or the last mark if that is later.

    Marks of one kind that would fall on the same pixel are drawn once.
    """
    times = [mark.at for _, marks in labelled_marks for mark in marks]
    start = min(times, default=end)
    last_time = max([end, *times])
    # A filing of one day is drawn as a day wide: no division by zero.
    duration = max(last_time - start, timedelta(days=1))
    start -= duration * _MARGIN_SHARE
    duration *= 1 + 2 * _MARGIN_SHARE

    def x_of(time: datetime) -> float:
        return round(LABEL + (WIDTH - LABEL - _RIGHT_MARGIN) * ((time - start) / duration), 1)

    rows = tuple(
        TimelineRow(label, TOP + ROW * number, _place_marks(marks, x_of, last_time))
        for number, (label, marks) in enumerate(labelled_marks)
    )
    ticks = tuple((x_of(time), label) for time, label in _tick_times(start, start + duration))
    return Timeline(rows, ticks, TOP + ROW * len(rows) + _BOTTOM_MARGIN)


def _place_marks(
    marks: Sequence[Mark], x_of: Callable[[datetime], float], last_time: datetime
) -> tuple[PlacedMark, ...]:
    mark_by_pixel: dict[tuple[str, int], PlacedMark] = {}
    for mark in marks:
        left = x_of(mark.at)
        width = round(x_of(mark.until or last_time) - left, 1) if mark.kind == "hold" else 0.0
        mark_by_pixel.setdefault((mark.kind, round(left)), PlacedMark(mark.kind, left, width, mark.title))
    return tuple(mark_by_pixel.values())


def _tick_times(start: datetime, end: datetime) -> list[tuple[datetime, str]]:
    """Return first days of months with their labels, as close together as can be read.

    Less than a month gets one tick in the middle, with its day.
    """
    for months in _TICK_MONTHS:
        ticks = []
        year, month = start.year, start.month
        while (month_begin := datetime(year, month, 1, tzinfo=UTC)) < end:
            if month_begin >= start and (year * 12 + month - 1) % months == 0:
                ticks.append((month_begin, f"{year}" if months >= 12 else f"{year}-{month:02}"))
            year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        if len(ticks) <= _MAX_TICKS:
            return ticks or [(start + (end - start) / 2, f"{start:%Y-%m-%d}")]
    return []
