"""Find the events at which the wall clock was behind, for the report of a package.  Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from archiver import clock
from archiver.model import Event
from archiver.store.events.event_kinds import UNREADABLE, Action

_UNITS = ((86400, "d", "天"), (3600, "h", "小时"), (60, "min", "分钟"), (1, "s", "秒"))


class ShownMark(NamedTuple):
    """The time by which a wall clock was behind, in both languages of the report."""

    english: str
    chinese: str


def find_clock_marks(events: Iterable[Event]) -> dict[int | str, ShownMark]:
    """Return the marks of all events at which the wall clock was behind.

    The keys are the numbers of these events and, for captures, the tags of the versions as well.  ``events`` is
    the whole journal, oldest first.
    """
    marks: dict[int | str, ShownMark] = {}
    previous_at = None
    for event in events:
        mark = clock.mark_wall_clock(event.at, previous_at, event.clock["time"])
        if mark is not None and event.action != UNREADABLE:
            marks[event.seq] = _format_duration(mark.seconds)
            if event.action == Action.CAPTURE:
                marks[event.object] = marks[event.seq]
        previous_at = event.at
    return marks


def _format_duration(seconds: int) -> ShownMark:
    """Return a duration in its two largest units, for example 90,061 seconds as ``1 d 1 h``."""
    parts: list[tuple[int, str, str]] = []
    for unit_seconds, english, chinese in _UNITS:
        count, seconds = divmod(seconds, unit_seconds)
        if count or parts:
            parts.append((count, english, chinese))
    largest_parts = [part for part in parts[:2] if part[0]]
    return ShownMark(
        " ".join(f"{count} {english}" for count, english, _ in largest_parts),
        " ".join(f"{count} {chinese}" for count, _, chinese in largest_parts),
    )
