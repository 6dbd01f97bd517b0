"""Parse days typed by people.  Pure."""

from __future__ import annotations

from datetime import date

from archiver.errors import UsageError

#: Years outside these bounds are typing errors.  A deadline counted from a year near 9999, the last that ``date``
#: can hold, would raise OverflowError.
_FIRST_YEAR, _LAST_YEAR = 2000, 9000
#: Characters of an invalid text that a message quotes.
_MAX_QUOTED_LENGTH = 100


def parse_iso_day(text: str) -> date:
    """Parse a day written as YYYY-MM-DD.

    Python also reads 20260501 and the week date 2026-W18-5.  This function refuses them: several forms of one day
    would be recorded as different texts, and a mistyped number could be taken for a day.

    Raises ValueError for any other text.
    """
    day = date.fromisoformat(text)
    if day.isoformat() != text:
        raise ValueError(f"not YYYY-MM-DD: {text}")
    return day


def parse_day(text: str) -> date:
    """Parse a day written as YYYY-MM-DD, in a year from _FIRST_YEAR to _LAST_YEAR.

    Raises UsageError for any other text or year.
    """
    try:
        day = parse_iso_day(text)
    except ValueError:
        # Refused below, with the same message as a day in an impossible year.
        day = None
    if day is None or not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise UsageError(
            "{text} is not a valid date such as 2026-05-01. Nothing was changed.", text=text[:_MAX_QUOTED_LENGTH]
        )
    return day
