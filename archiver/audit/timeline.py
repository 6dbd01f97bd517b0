"""Lay out the timeline of a filing: the place of each mark on the picture, in pixels.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

#: Pixels: width of the picture and of its labels, height of a row, room for the ticks above.
PICTURE_WIDTH, LABEL_WIDTH, ROW_HEIGHT, _TICKS_HEIGHT = 960, 190, 30, 34
_RIGHT_MARGIN, _BOTTOM_MARGIN = 24, 8
#: Free time at both ends, so that no mark lies on the edge.
_MARGIN_SHARE = 0.02
#: Distances between ticks that people read at once.
_TICK_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120)
#: More labels than this run into each other at this width.
_MAX_TICKS = 9


@dataclass(frozen=True, slots=True)
class TimelineMark:
    """An event in the life of a filing, or a hold with its duration."""

    kind: str  # also its class in the style sheet; only a "hold" lasts
    at: datetime
    title: str  # shown to a reader who points at it
    until: datetime | None = None  # the end of a hold; None: it still lasts


@dataclass(frozen=True, slots=True)
class PlacedMark:
    """A mark on the picture; ``width`` is 0 for all but holds."""

    kind: str
    x: float
    width: float
    title: str


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """A line of the picture."""

    label: str
    y: int
    marks: tuple[PlacedMark, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """The whole picture; a tick is a place and a label."""

    rows: tuple[TimelineRow, ...]
    ticks: tuple[tuple[float, str], ...]
    height: int


def lay_out_timeline(
    labelled_marks: Sequence[tuple[str, Sequence[TimelineMark]]], newest_time: datetime
) -> Timeline:
    """Place the marks of each labelled row between the first mark and the later of ``newest_time`` and the last.

    Marks of one kind that would fall on the same pixel are drawn once.
    """
    mark_times = [mark.at for _, marks in labelled_marks for mark in marks]
    first_time = min(mark_times, default=newest_time)
    last_time = max([newest_time, *mark_times])
    # A filing of one day is drawn as a day wide: no division by zero.
    shown_duration = max(last_time - first_time, timedelta(days=1))
    first_time -= shown_duration * _MARGIN_SHARE
    shown_duration *= 1 + 2 * _MARGIN_SHARE

    def x_of(time: datetime) -> float:
        return round(
            LABEL_WIDTH + (PICTURE_WIDTH - LABEL_WIDTH - _RIGHT_MARGIN) * ((time - first_time) / shown_duration), 1
        )

    rows = tuple(
        TimelineRow(label, _TICKS_HEIGHT + ROW_HEIGHT * number, _place_marks(marks, x_of, last_time))
        for number, (label, marks) in enumerate(labelled_marks)
    )
    ticks = tuple((x_of(time), label) for time, label in _tick_times(first_time, first_time + shown_duration))
    return Timeline(rows, ticks, _TICKS_HEIGHT + ROW_HEIGHT * len(rows) + _BOTTOM_MARGIN)


def _place_marks(
    marks: Sequence[TimelineMark], x_of: Callable[[datetime], float], last_time: datetime
) -> tuple[PlacedMark, ...]:
    mark_by_pixel: dict[tuple[str, int], PlacedMark] = {}
    for mark in marks:
        left_edge = x_of(mark.at)
        mark_width = round(x_of(mark.until or last_time) - left_edge, 1) if mark.kind == "hold" else 0.0
        mark_by_pixel.setdefault(
            (mark.kind, round(left_edge)), PlacedMark(mark.kind, left_edge, mark_width, mark.title)
        )
    return tuple(mark_by_pixel.values())


def _tick_times(first_time: datetime, last_time: datetime) -> list[tuple[datetime, str]]:
    """Return first days of months with their labels, as close together as can be read.

    Less than a month gets one tick in the middle, with its day.
    """
    for month_step in _TICK_MONTHS:
        tick_times = []
        year, month = first_time.year, first_time.month
        while (month_begin := datetime(year, month, 1, tzinfo=UTC)) < last_time:
            if month_begin >= first_time and (year * 12 + month - 1) % month_step == 0:
                tick_times.append((month_begin, f"{year}" if month_step >= 12 else f"{year}-{month:02}"))
            year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        if len(tick_times) <= _MAX_TICKS:
            return tick_times or [(first_time + (last_time - first_time) / 2, f"{first_time:%Y-%m-%d}")]
    return []
