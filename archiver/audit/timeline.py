"""Lay out the timeline of a filing: compute the position of each mark on the picture, in pixels.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

#: In pixels: the width of the picture and of the labels on the left, the height of a row and of the ticks above.
PICTURE_WIDTH, LABEL_WIDTH, ROW_HEIGHT, _TICKS_HEIGHT = 960, 190, 30, 34
_RIGHT_MARGIN, _BOTTOM_MARGIN = 24, 8
#: The part of the duration that is added at each end of the time axis, so that no mark lies on the edge.
_MARGIN_SHARE = 0.02
#: Possible distances between two ticks, which people recognize at a glance.
_TICK_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120)
#: With more ticks their labels would overlap.
_MAX_TICKS = 9


@dataclass(frozen=True, slots=True)
class TimelineMark:
    """An event in the life of a filing, or a hold with its duration."""

    kind: str  # also a part of the mark's CSS class; only a "hold" has a duration
    time: datetime
    title: str  # shown when a reader points at the mark
    end_time: datetime | None = None  # the end of a hold; None if the hold is still in force


class MarkRow(NamedTuple):
    """The marks of one row, in any order."""

    label: str
    marks: Sequence[TimelineMark]


class Tick(NamedTuple):
    """A labelled point of the time axis."""

    x: float
    label: str


@dataclass(frozen=True, slots=True)
class PlacedMark:
    """A mark on the picture."""

    kind: str
    x: float  # of the left edge
    width: float  # 0 for all but holds
    title: str


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """A row of the picture."""

    label: str
    y: int  # of the upper edge
    marks: tuple[PlacedMark, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """The whole picture, PICTURE_WIDTH wide."""

    rows: tuple[TimelineRow, ...]
    ticks: tuple[Tick, ...]
    height: int


def lay_out_timeline(mark_rows: Sequence[MarkRow], newest_time: datetime) -> Timeline:
    """Compute the picture of ``mark_rows``, with the rows in the same order.

    The time axis begins shortly before the first mark, and ends shortly after ``newest_time`` or the last mark,
    whichever is later.  If several marks of one kind fall on the same pixel of a row, only the first is drawn.
    """
    mark_times = [mark.time for _, marks in mark_rows for mark in marks]
    first_time = min(mark_times, default=newest_time)
    last_time = max([newest_time, *mark_times])
    # At least one day is shown, so that a single mark does not cause a division by zero.
    shown_duration = max(last_time - first_time, timedelta(days=1))
    first_time -= shown_duration * _MARGIN_SHARE
    shown_duration *= 1 + 2 * _MARGIN_SHARE

    def compute_x(time: datetime) -> float:
        """Return the distance of ``time`` from the left edge of the picture, to a tenth of a pixel."""
        axis_width = PICTURE_WIDTH - LABEL_WIDTH - _RIGHT_MARGIN
        return round(LABEL_WIDTH + axis_width * ((time - first_time) / shown_duration), 1)

    rows = tuple(
        TimelineRow(
            label=row_label,
            y=_TICKS_HEIGHT + ROW_HEIGHT * row_index,
            marks=_place_marks(row_marks, compute_x, last_time),
        )
        for row_index, (row_label, row_marks) in enumerate(mark_rows)
    )
    ticks = tuple(
        Tick(compute_x(tick_time.time), tick_time.label)
        for tick_time in _choose_tick_times(first_time, first_time + shown_duration)
    )
    picture_height = _TICKS_HEIGHT + ROW_HEIGHT * len(rows) + _BOTTOM_MARGIN
    return Timeline(rows, ticks, picture_height)


def _place_marks(
    marks: Sequence[TimelineMark], compute_x: Callable[[datetime], float], last_time: datetime
) -> tuple[PlacedMark, ...]:
    """Return the marks of a row with their positions; a hold that is in force is drawn until ``last_time``."""
    mark_by_pixel: dict[tuple[str, int], PlacedMark] = {}
    for mark in marks:
        left_x = compute_x(mark.time)
        mark_width = round(compute_x(mark.end_time or last_time) - left_x, 1) if mark.kind == "hold" else 0.0
        mark_by_pixel.setdefault((mark.kind, round(left_x)), PlacedMark(mark.kind, left_x, mark_width, mark.title))
    return tuple(mark_by_pixel.values())


class _TickTime(NamedTuple):
    """The time and the label of a tick whose position is not computed yet."""

    time: datetime
    label: str


def _choose_tick_times(first_time: datetime, last_time: datetime) -> list[_TickTime]:
    """Return ticks on first days of months, at the smallest step that gives at most _MAX_TICKS ticks.

    The steps are those of _TICK_MONTHS.  If no month begins between the two times, return one tick in the middle,
    labelled with the day of ``first_time``.  If even the largest step gives too many ticks, return none.
    """
    for month_step in _TICK_MONTHS:
        tick_times: list[_TickTime] = []
        year, month = first_time.year, first_time.month
        while (month_start := datetime(year, month, 1, tzinfo=UTC)) < last_time:
            if month_start >= first_time and (year * 12 + month - 1) % month_step == 0:
                tick_label = f"{year}" if month_step >= 12 else f"{year}-{month:02}"
                tick_times.append(_TickTime(month_start, tick_label))
            year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        if len(tick_times) <= _MAX_TICKS:
            middle_time = first_time + (last_time - first_time) / 2
            return tick_times or [_TickTime(middle_time, f"{first_time:%Y-%m-%d}")]
    return []
