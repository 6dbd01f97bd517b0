"""The version that a day means: the newest captured by then, otherwise the first later one."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver import clock
from archiver.filings.check.version_choice import choose_version
from archiver.model import Correction, Submission, SubmissionRecord, Version
from archiver.naming.ref_names import RefName

SHANGHAI = ZoneInfo("Asia/Shanghai")
SUBMISSION = Submission(RefName("推荐"), RefName("首次"), "推荐".encode(), "首次".encode())
START = datetime(2026, 3, 18, tzinfo=UTC)
DAY = date(2026, 3, 20)


def version(number: int, captured: datetime, *submitted_on: date, void: bool = False) -> Version:
    at = clock.format_time(captured)
    corrections = (Correction(9, at, "x", None, "x", True, ()),) if void else ()
    records = tuple(
        SubmissionRecord(RefName("x"), day.isoformat(), "first", None, None, None, at, at, corrections=corrections)
        for day in submitted_on
    )
    return Version(SUBMISSION, number, "0" * 40, at, at, 1, 1, 1, 0, 0, submitted=records)


@pytest.mark.parametrize(
    ("hours", "chosen"),
    [
        # Hours after the beginning of 18 March in UTC; the day ends at 16:00 UTC of 20 March, after 64 hours.
        ([1, 2, 63.99], 3),
        ([1, 2, 64], 2),
        ([1, 65, 66], 1),
        ([64, 65], 1),
        ([65, 66, 67], 1),
        # The clock was set back before the second capture: the order is that of the numbers.
        ([60, 50, 70], 2),
        ([70, 60], 2),
    ],
)
def test_the_newest_by_the_end_of_the_day_else_the_first_later(hours: list[float], chosen: int) -> None:
    versions = [version(n, START + timedelta(hours=hour)) for n, hour in enumerate(hours, 1)]
    choice = choose_version(versions, DAY, SHANGHAI)
    assert choice.version.number == chosen
    assert choice.is_captured_later == (hours[chosen - 1] >= 64)
    assert choice.basis.code == ("choice.first-later" if choice.is_captured_later else "choice.captured-by-day")
    newer = choice.newer_version
    assert (newer.number if newer else None) == (len(hours) if chosen < len(hours) else None)


def test_a_version_that_was_submitted_is_passed_over_for_a_later_one() -> None:
    """Two submissions of an imported past, recorded one after the other without naming versions."""
    later = START + timedelta(days=30)
    versions = [version(1, later, DAY), version(2, later), version(3, later)]
    assert choose_version(versions, DAY + timedelta(days=5), SHANGHAI).version.number == 2
    assert choose_version(versions, DAY + timedelta(days=5), SHANGHAI).basis.code == "choice.next-later"
    # A submission on a later day came after this one, so it passes nothing over.
    assert choose_version(versions, DAY - timedelta(days=1), SHANGHAI).version.number == 1
    # With nothing newer, the same files were submitted again.
    assert choose_version(versions[:1], DAY, SHANGHAI).version.number == 1
    # A void record says that nothing was submitted.
    versions[0] = version(1, later, DAY, void=True)
    assert choose_version(versions, DAY, SHANGHAI).version.number == 1


def test_a_named_version_wins_and_is_marked_all_the_same() -> None:
    versions = [version(n, START + timedelta(days=n)) for n in (1, 2, 3, 4)]
    choice = choose_version(versions, DAY, SHANGHAI, versions[3])
    assert (choice.version.number, choice.basis.code) == (4, "choice.named")
    assert choice.is_captured_later
    assert choice.newer_version is None
    assert not choose_version(versions, DAY, SHANGHAI, versions[0]).is_captured_later


@given(
    hours=st.lists(st.integers(0, 24 * 6), min_size=1, max_size=8),
    submitted=st.dictionaries(st.integers(1, 8), st.dates(date(2026, 3, 17), date(2026, 3, 25))),
    day=st.dates(date(2026, 3, 17), date(2026, 3, 25)),
    zone=st.sampled_from(["Asia/Shanghai", "UTC", "America/New_York", "Pacific/Kiritimati"]),
    data=st.data(),
)
def test_the_choice_on_any_history(
    hours: list[int], submitted: dict[int, date], day: date, zone: str, data: st.DataObject
) -> None:
    versions = [
        version(n, START + timedelta(hours=hour), *([submitted[n]] if n in submitted else []))
        for n, hour in enumerate(hours, 1)
    ]
    choice = choose_version(data.draw(st.permutations(versions)), day, ZoneInfo(zone))

    def is_timely(each: Version) -> bool:
        return clock.parse_time(each.captured_at).astimezone(ZoneInfo(zone)).date() <= day

    newer = [each for each in versions if each.number > choice.version.number]
    assert choice.is_captured_later == (not is_timely(choice.version))
    assert choice.newer_version == (versions[-1] if newer else None)
    if any(map(is_timely, versions)):
        assert is_timely(choice.version)
        assert not any(map(is_timely, newer))
        return
    already = [n for n in range(1, len(versions) + 1) if n in submitted and submitted[n] <= day]
    passed_over = [each.number for each in versions if each.number < choice.version.number]
    # Whatever is passed over was submitted by the day, or came before such a version.
    assert all(already and number <= max(already) for number in passed_over)
    if choice.version.number in already:
        assert not newer, "the same files twice, although newer ones exist"
