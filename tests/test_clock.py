from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver import clock

START = datetime(2026, 1, 1, tzinfo=UTC)
NS = 10**9

steps = st.lists(
    st.tuples(
        st.sampled_from(["run", "off", "wall", "namespace"]),
        st.integers(min_value=1, max_value=400 * 86400),
        st.integers(min_value=-20 * 365 * 86400, max_value=20 * 365 * 86400),
    ),
    max_size=30,
)


@given(steps)
def test_the_compliance_clock_never_runs_ahead_of_true_time(history: list[tuple[str, int, int]]) -> None:
    true, wall, boot, since_boot, shifted = START, START, 0, 0, False
    reading = clock.ClockReading(wall, "0", 0, 0, False)
    value = START
    for what, seconds, shift in history:
        true += timedelta(seconds=seconds)
        wall += timedelta(seconds=seconds)
        if what == "off":
            boot, since_boot = boot + 1, 0
        else:
            since_boot += seconds
        if what == "wall":
            wall += timedelta(seconds=shift)
        shifted = what == "namespace"
        boottime = max(0, since_boot + (abs(shift) if shifted else 0))
        now = clock.ClockReading(wall, str(boot), boottime * NS, since_boot * NS, shifted)
        later = clock.advance_compliance_time(value, reading, now)
        assert later >= value
        value, reading = later, now
        assert value <= true


tokens = st.lists(
    st.tuples(
        st.sampled_from(["run", "off", "wall", "namespace", "token", "capture", "older copy"]),
        st.integers(min_value=1, max_value=400 * 86400),
        st.integers(min_value=-20 * 365 * 86400, max_value=20 * 365 * 86400),
    ),
    max_size=40,
)


@given(tokens)
def test_with_tokens_and_restored_copies_nothing_is_disposable_before_three_true_years(
    history: list[tuple[str, int, int]],
) -> None:
    """Against true time; an anchor is its event's clock, or the time of the first token after it."""
    true, wall, boot, since_boot = START, START, 0, 0
    value, reading = START, clock.ClockReading(wall, "0", 0, 0, False)
    captures: list[list[datetime]] = []  # [true time, anchor]
    waiting: list[int] = []
    copies = [copy.deepcopy((value, reading, captures, waiting))]
    for what, seconds, shift in history:
        true += timedelta(seconds=seconds)
        wall += timedelta(seconds=seconds + (shift if what == "wall" else 0))
        boot, since_boot = (boot + 1, 0) if what == "off" else (boot, since_boot + seconds)
        if what == "older copy":
            value, reading, captures, waiting = copy.deepcopy(copies[shift % len(copies)])
        now = clock.ClockReading(wall, str(boot), since_boot * NS, since_boot * NS, what == "namespace")
        value, reading = clock.advance_compliance_time(value, reading, now), now
        if what == "token":
            # The authority says the true time; what was waiting is anchored there.
            value = max(value, true)
            for each in waiting:
                captures[each][1] = max(captures[each][1], true)
            waiting.clear()
        elif what == "capture":
            waiting.append(len(captures))
            captures.append([true, value])
        copies.append(copy.deepcopy((value, reading, captures, waiting)))
        assert value <= true
        for captured, anchor in captures:
            if value > anchor + timedelta(days=3 * 365):
                assert true - captured >= timedelta(days=3 * 365)


def test_an_honest_machine_that_is_always_on_loses_nothing() -> None:
    value, before = START, clock.ClockReading(START, "b", 0, 0, False)
    for day in range(1, 1100):
        now = clock.ClockReading(START + timedelta(days=day), "b", day * 86400 * NS, day * 86400 * NS, False)
        value, before = clock.advance_compliance_time(value, before, now), now
    assert value == START + timedelta(days=1099)


def test_without_a_boot_id_nothing_is_earned() -> None:
    before = clock.ClockReading(START, "", 0, 0, False)
    now = clock.ClockReading(START + timedelta(days=9), "", 9 * 86400 * NS, 9 * 86400 * NS, False)
    assert clock.advance_compliance_time(START, before, now) == START


def test_evidence_comes_back_as_it_was() -> None:
    reading = clock.read_clocks()
    assert clock.parse_evidence(clock.make_evidence(reading.wall, reading)) == (reading.wall, reading)
    assert reading.boot_id
    assert reading.boottime_ns > 0
    assert reading.uptime_ns > 0


@pytest.mark.parametrize("text", ["2026-01-01T00:00:00", "yesterday", ""])
def test_a_time_without_a_zone_is_no_time(text: str) -> None:
    with pytest.raises(ValueError):
        clock.parse_time(text)
