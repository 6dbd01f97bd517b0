"""Count working days in China; no other module imports chinese_calendar and holidays.

Published years, with their make-up days, come from chinese_calendar (the notices of the State Council).  For a
year that is not published yet, holidays are guessed and make-up days unknown: a date is provisional then, and
changes when a release of chinese_calendar knows the year.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Any

_DAY = timedelta(days=1)
_SATURDAY = 5
#: The libraries know nothing beyond these years.
_FIRST_YEAR, _LAST_YEAR = 2000, 2100


@dataclass(frozen=True, slots=True)
class CalendarDay:
    """A date counted in working days, exact or provisional."""

    on: date  # of a provisional date the earlier candidate
    provisional: bool = False  # a year on the way to it is not published yet
    latest: date | None = None  # of a provisional date the other candidate


def add_working_days(start: date, count: int) -> CalendarDay:
    """Return the working day ``count`` working days after ``start``; ``start`` itself does not count.

    In a year without a published calendar, the earlier of two guesses is returned, so that nobody is late.
    """
    if count <= 0 or start.year > _LAST_YEAR:
        return CalendarDay(start)
    if (published_day := _step(start, count, _is_published_workday)) is not None:
        return CalendarDay(published_day)
    guessed_day = _step(start, count, _is_guessed_workday)
    weekday_count_day = _step(start, count, _is_weekday_or_published_workday)
    assert guessed_day is not None
    assert weekday_count_day is not None
    while not _is_guessed_workday(weekday_count_day):
        weekday_count_day -= _DAY
    # Stepping back over a holiday must not lead before the first day that counts.
    earlier_day = max(min(guessed_day, weekday_count_day), _first_working_day(start))
    return CalendarDay(earlier_day, provisional=True, latest=max(guessed_day, earlier_day))


def is_working_day(day: date) -> bool:
    """Return True for a working day; a guess in a year without a published calendar."""
    return _is_guessed_workday(day)


def count_working_days(start: date, end: date) -> int:
    """Count the working days after ``start`` up to and including ``end``; negative if ``end`` is earlier."""
    if end < start:
        return -count_working_days(end, start)
    days = (start + _DAY * offset for offset in range(1, (end - start).days + 1))
    return sum(1 for day in days if _is_guessed_workday(day))


def _step(start: date, count: int, is_workday: Callable[[date], bool | None]) -> date | None:
    """Step over ``count`` working days; return None at a day of which ``is_workday`` knows nothing."""
    day = start
    while count:
        day += _DAY
        is_counted = is_workday(day)
        if is_counted is None:
            return None
        count -= is_counted
    return day


def _first_working_day(start: date) -> date:
    day = start + _DAY
    while not _is_guessed_workday(day):
        day += _DAY
    return day


@cache
def _is_published_workday(day: date) -> bool | None:
    """Return True for a working day by the published calendar; None in a year without one."""
    import chinese_calendar

    try:
        return bool(chinese_calendar.is_workday(day))
    except NotImplementedError:
        # How chinese_calendar says that the year is not published.
        return None


@cache
def _is_guessed_workday(day: date) -> bool:
    is_published_workday = _is_published_workday(day)
    if is_published_workday is not None:
        return is_published_workday
    return day.weekday() < _SATURDAY and day not in _holidays(day.year)


def _is_weekday_or_published_workday(day: date) -> bool:
    is_published_workday = _is_published_workday(day)
    return day.weekday() < _SATURDAY if is_published_workday is None else is_published_workday


@cache
def _holidays(year: int) -> Any:
    import holidays

    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        return {}
    return holidays.country_holidays("CN", years=[year])
