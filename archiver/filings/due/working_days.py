"""Working days in China; the only module that imports chinese_calendar and holidays.

Published years, with their make-up days, come from chinese_calendar (the notices of the State Council).
For a year that is not published yet, holidays are guessed and make-up days unknown: the date is
provisional, and is another one as soon as a release of chinese_calendar knows the year.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Any

_DAY = timedelta(days=1)
_SATURDAY = 5
#: Beyond these nobody knows, and nobody asks.
_FIRST_YEAR, _LAST_YEAR = 2000, 2100


@dataclass(frozen=True, slots=True)
class CalendarDay:
    """A date that was counted; ``provisional`` while a year on the way to it is not published.

    ``latest`` is then the other candidate; the earlier one is ``on``.
    """

    on: date
    provisional: bool = False
    latest: date | None = None


def after(start: date, count: int) -> CalendarDay:
    """The working day that is ``count`` working days after ``start``, which is not counted itself."""
    if count <= 0 or start.year > _LAST_YEAR:
        return CalendarDay(start)
    if (published := _step(start, count, _published)) is not None:
        return CalendarDay(published)
    guessed = _step(start, count, _guessed)
    by_weekends = _step(start, count, _weekday_or_published)
    assert guessed is not None
    assert by_weekends is not None
    while not _guessed(by_weekends):
        by_weekends -= _DAY
    # Stepping back over a holiday must not lead before the first day that counts.
    earlier = max(min(guessed, by_weekends), _first_working_day(start))
    return CalendarDay(earlier, provisional=True, latest=max(guessed, earlier))


def is_working_day(day: date) -> bool:
    """Whether people work then, as far as is known."""
    return _guessed(day)


def between(start: date, end: date) -> int:
    """How many working days lie after ``start``, up to and with ``end``; negative where it is before."""
    if end < start:
        return -between(end, start)
    days = (start + _DAY * n for n in range(1, (end - start).days + 1))
    return sum(1 for day in days if _guessed(day))


def _step(start: date, count: int, works: Callable[[date], bool | None]) -> date | None:
    day = start
    while count:
        day += _DAY
        known = works(day)
        if known is None:
            return None
        count -= known
    return day


def _first_working_day(start: date) -> date:
    day = start + _DAY
    while not _guessed(day):
        day += _DAY
    return day


@cache
def _published(day: date) -> bool | None:
    """None for a year that chinese_calendar does not know."""
    import chinese_calendar

    try:
        return bool(chinese_calendar.is_workday(day))
    except NotImplementedError:
        return None


@cache
def _guessed(day: date) -> bool:
    known = _published(day)
    return (day.weekday() < _SATURDAY and day not in _holidays(day.year)) if known is None else known


def _weekday_or_published(day: date) -> bool:
    known = _published(day)
    return day.weekday() < _SATURDAY if known is None else known


@cache
def _holidays(year: int) -> Any:
    import holidays

    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        return {}
    return holidays.country_holidays("CN", years=[year])
