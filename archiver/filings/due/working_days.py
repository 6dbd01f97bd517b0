"""Count working days in China.  No other module imports chinese_calendar and holidays.

The State Council publishes the holidays of each year, and the weekend days on which people work in exchange.  The
library chinese_calendar has the published years.  For a later year, holidays are guessed, and the worked weekend
days are unknown.  A date in such a year is provisional: it may change when a newer release of chinese_calendar has
the year.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from functools import cache
from typing import Any, NamedTuple

_DAY = timedelta(days=1)
#: Saturday, as a number of ``date.weekday()``.
_SATURDAY = 5
#: The years for which holidays are guessed.  The library ``holidays`` has none for other years.
_FIRST_YEAR, _LAST_YEAR = 2000, 2100


class CalendarDay(NamedTuple):
    """A date counted in working days, exact or provisional."""

    earliest: date  # the earlier candidate of a provisional date
    is_provisional: bool = False  # True if a year in the counted period is not published yet
    latest: date | None = None  # the later candidate of a provisional date; None for an exact date


def add_working_days(start: date, count: int) -> CalendarDay:
    """Return the working day that is ``count`` working days after ``start``; ``start`` itself does not count.

    If a year in the period has no published calendar, the day is counted twice: once with guessed holidays, and
    once as if every weekday of such a year were a working day.  ``CalendarDay.earliest`` is the earlier result, so
    that nobody is late.

    Returns ``start`` itself if ``count`` is zero or less.
    """
    if count <= 0:
        return CalendarDay(start)
    if (published_day := _find_nth_working_day(start, count, _is_published_working_day)) is not None:
        return CalendarDay(published_day)
    guessed_day = _find_nth_working_day(start, count, _is_guessed_working_day)
    unguessed_day = _find_nth_working_day(start, count, _is_weekday_or_published_working_day)
    # For the type checker: neither function ever returns None for a day, so both searches succeed.
    assert guessed_day is not None
    assert unguessed_day is not None
    # The result may be a holiday: step back to a day on which people work.
    while not _is_guessed_working_day(unguessed_day):
        unguessed_day -= _DAY
    # Stepping back must not lead to a day before the first working day of the period.
    earlier_day = max(min(guessed_day, unguessed_day), _find_first_working_day(start))
    return CalendarDay(earlier_day, is_provisional=True, latest=max(guessed_day, earlier_day))


def is_working_day(day: date) -> bool:
    """Return True if ``day`` is a working day.  In a year without a published calendar, the result is a guess."""
    return _is_guessed_working_day(day)


def count_working_days(start: date, end: date) -> int:
    """Return the number of working days after ``start``, up to and including ``end``.

    If ``end`` is before ``start``, the result is ``-count_working_days(end, start)``.
    """
    if end < start:
        return -count_working_days(end, start)
    days = (start + _DAY * offset for offset in range(1, (end - start).days + 1))
    return sum(1 for day in days if _is_guessed_working_day(day))


def _find_nth_working_day(start: date, count: int, is_counted: Callable[[date], bool | None]) -> date | None:
    """Return the day that is ``count`` working days after ``start``.

    ``is_counted`` returns True for a working day.  If it returns None for a day in between, which means that the
    day is unknown, the result is None.
    """
    day = start
    remaining_count = count
    while remaining_count:
        day += _DAY
        is_working = is_counted(day)
        if is_working is None:
            return None
        if is_working:
            remaining_count -= 1
    return day


def _find_first_working_day(start: date) -> date:
    """Return the first working day after ``start``, guessed in a year without a published calendar."""
    day = start + _DAY
    while not _is_guessed_working_day(day):
        day += _DAY
    return day


@cache
def _is_published_working_day(day: date) -> bool | None:
    """Return True if ``day`` is a working day by the published calendar; None in a year without one."""
    # Imported here, because most commands count no working days, and start sooner without the library.
    import chinese_calendar

    try:
        return bool(chinese_calendar.is_workday(day))
    except NotImplementedError:
        # chinese_calendar raises this for a year that is not published.
        return None


@cache
def _is_guessed_working_day(day: date) -> bool:
    """Return True if ``day`` is a working day by the published calendar.

    In a year without a published calendar, a weekday counts as a working day unless it is a guessed holiday.
    """
    is_published_working_day = _is_published_working_day(day)
    if is_published_working_day is not None:
        return is_published_working_day
    return day.weekday() < _SATURDAY and day not in _guess_holidays(day.year)


def _is_weekday_or_published_working_day(day: date) -> bool:
    """Return True if ``day`` is a working day by the published calendar or, in a year without one, a weekday."""
    is_published_working_day = _is_published_working_day(day)
    return day.weekday() < _SATURDAY if is_published_working_day is None else is_published_working_day


@cache
def _guess_holidays(year: int) -> Any:
    """Return a container of the guessed holidays of a year; empty for a year outside _FIRST_YEAR to _LAST_YEAR."""
    import holidays

    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        return {}
    return holidays.country_holidays("CN", years=[year])
