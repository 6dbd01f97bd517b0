"""Working days: published vectors, and what holds for every day."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.filings.due.working_days import add_working_days, count_working_days, is_working_day

#: start, then the days 10, 20 and 30 working days after it.
VECTORS = [
    ("2026-02-10", "2026-03-02", "2026-03-16", "2026-03-30"),
    ("2026-04-28", "2026-05-14", "2026-05-28", "2026-06-11"),
    ("2026-09-18", "2026-10-09", "2026-10-22", "2026-11-05"),
    ("2026-09-28", "2026-10-16", "2026-10-30", "2026-11-13"),
]
days = st.dates(date(2019, 1, 1), date(2026, 12, 31))
later_days = st.dates(date(2026, 11, 1), date(2029, 12, 31))


@pytest.mark.parametrize("vector", VECTORS)
def test_published_years(vector: tuple[str, ...]) -> None:
    start, *expected = map(date.fromisoformat, vector)
    for count, day in zip((10, 20, 30), expected, strict=True):
        assert add_working_days(start, count).earliest == day
        assert not add_working_days(start, count).is_provisional
        assert count_working_days(start, day) == count


def test_make_up_days_count() -> None:
    # Saturday 2026-10-10 makes up for the National Day holiday.
    assert is_working_day(date(2026, 10, 10))
    assert add_working_days(date(2026, 10, 9), 1).earliest == date(2026, 10, 10)


@given(days | later_days, st.integers(1, 60))
def test_a_deadline_is_a_working_day_after_its_start(start: date, count: int) -> None:
    found = add_working_days(start, count)
    assert found.earliest > start
    assert is_working_day(found.earliest)
    assert (found.latest is not None) == found.is_provisional
    if found.latest:
        assert found.latest >= found.earliest
        assert is_working_day(found.latest)


@given(days | later_days, st.integers(1, 60), st.integers(0, 30), st.integers(0, 10))
def test_later_starts_and_longer_periods_never_end_earlier(
    start: date, count: int, more: int, longer: int
) -> None:
    assert (
        add_working_days(start, count).earliest
        <= add_working_days(start + timedelta(days=more), count + longer).earliest
    )


@given(later_days, st.integers(1, 40))
def test_a_year_that_is_not_published_makes_a_date_provisional(start: date, count: int) -> None:
    found = add_working_days(start, count)
    if found.earliest.year == 2026 and found.latest is None:
        assert not found.is_provisional
    if start.year >= 2027:
        assert found.is_provisional


@given(days | later_days)
def test_no_days_is_the_day_itself(start: date) -> None:
    assert add_working_days(start, 0).earliest == start
    assert count_working_days(start, start) == 0


@given(days, st.integers(-60, 60))
def test_between_counts_both_ways(start: date, shift: int) -> None:
    end = start + timedelta(days=shift)
    assert count_working_days(start, end) == -count_working_days(end, start)


@pytest.mark.parametrize("start", [date(2100, 12, 31), date(2101, 1, 3), date(9000, 12, 31)])
def test_a_start_beyond_the_known_holidays_is_counted_in_weekdays(start: date) -> None:
    """Nobody knows holidays that far ahead; 9000 is the last year that a person may type."""
    found = add_working_days(start, 20)
    assert found.is_provisional
    assert start + timedelta(days=28) - timedelta(days=2) <= found.earliest <= start + timedelta(days=30)
    assert is_working_day(found.earliest)
