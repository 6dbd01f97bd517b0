"""Describe durations for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from archiver.errors import LazyMessage

if TYPE_CHECKING:
    from archiver.clock import WallClockMark

_UNITS = (
    (86400, LazyMessage.define("{count} days", singular="{count} day")),
    (3600, LazyMessage.define("{count} hours", singular="{count} hour")),
    (60, LazyMessage.define("{count} minutes", singular="{count} minute")),
)


def describe_duration(seconds: float) -> LazyMessage:
    """Describe a duration in days, hours and minutes, or in seconds if it is shorter than a minute.

    A unit with the count 0 is left out, except for seconds.  The remainder below a whole minute, or below a whole
    second, is dropped.
    """
    remaining_seconds = int(seconds)
    if remaining_seconds < 60:
        seconds_message = LazyMessage.define("{count} seconds", singular="{count} second")
        return seconds_message.with_fields(count=remaining_seconds)
    parts = []
    for unit_seconds, unit in _UNITS:
        count, remaining_seconds = divmod(remaining_seconds, unit_seconds)
        if count:
            parts.append(unit.with_fields(count=count))
    description = parts[0]
    for part in parts[1:]:
        description = LazyMessage("{longer} {shorter}", longer=description, shorter=part)
    return description


def describe_clock_mark(mark: WallClockMark) -> Iterator[LazyMessage]:
    """Yield a sentence for each lag in ``mark``: behind the previous event, and behind the compliance clock."""
    if mark.behind_previous_event:
        yield LazyMessage(
            "The system clock was {size} behind the previous journal event.",
            size=describe_duration(mark.behind_previous_event),
        )
    if mark.behind_compliance_clock:
        yield LazyMessage(
            "The system clock was {size} behind the compliance clock.",
            size=describe_duration(mark.behind_compliance_clock),
        )
