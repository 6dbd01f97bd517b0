"""Parse days typed by people.  Pure."""

from __future__ import annotations

from datetime import date

from archiver.errors import UsageError

#: A typing error such as 20260 must not put a deadline beyond the calendar's end.
_FIRST_YEAR, _LAST_YEAR = 2000, 9000


def parse_day(text: str) -> date:
    """Return a day typed such as 2026-05-01; raises UsageError for anything else."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        # Refused below, with the same sentence as a year that cannot be meant.
        day = None
    if day is None or not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise UsageError("{text} is not a day such as 2026-05-01. Nothing was changed.", text=text[:100])
    return day
