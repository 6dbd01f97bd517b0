from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver import clock
from archiver.model import Submission, Submitted, Version
from archiver.retention.policy import FOREVER, Policy, decide, decide_content, end_of_period
from tests.conftest import Site

SHANGHAI = ZoneInfo("Asia/Shanghai")
moments = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1)).map(lambda m: m.replace(tzinfo=UTC))


def version(captured: str, *submitted: str) -> Version:
    handed_in = tuple(Submitted("t", "2026-01-01", "first", None, None, None, at, at) for at in submitted)
    return Version(Submission("f", "s"), 1, "c", captured, captured, 1, 1, 1, 0, 0, handed_in)


def policy(years: int = 3, hold: bool = False) -> Policy:
    return Policy(years, SHANGHAI, hold)


@given(moments, st.integers(3, 30))
def test_never_before_the_full_period(anchor: datetime, years: int) -> None:
    until = end_of_period(anchor, years, SHANGHAI)
    local = anchor.astimezone(SHANGHAI)
    assert until >= anchor + timedelta(days=365 * years)
    assert until.year - local.year == years
    assert (until.hour, until.minute, until.second) == (23, 59, 59)
    assert until - anchor <= timedelta(days=366 * years + 2)


@pytest.mark.parametrize(
    ("anchor", "until"),
    [
        ("2026-11-23T00:00:00Z", "2029-11-23T23:59:59+08:00"),
        ("2026-11-22T16:00:00Z", "2029-11-23T23:59:59+08:00"),
        ("2028-02-29T04:00:00Z", "2031-03-01T23:59:59+08:00"),
        ("2025-02-28T04:00:00Z", "2028-02-28T23:59:59+08:00"),
    ],
)
def test_the_period_ends_with_the_day_in_the_zone(anchor: str, until: str) -> None:
    assert end_of_period(clock.parse(anchor), 3, SHANGHAI).isoformat() == until


@given(moments, st.lists(moments, max_size=5), moments)
def test_the_longest_rule_wins_and_a_submission_never_shortens(
    captured: datetime, submitted: list[datetime], more: datetime
) -> None:
    stamps = [clock.stamp(each) for each in submitted]
    before = decide(version(clock.stamp(captured), *stamps), policy(), captured)
    after = decide(version(clock.stamp(captured), *stamps, clock.stamp(more)), policy(), captured)
    assert after.keep_until >= before.keep_until
    assert before.keep_until == max(reason.keep_until for reason in before.reasons)
    latest = max([captured, *submitted])
    assert not decide(version(clock.stamp(captured), *stamps), policy(), latest + timedelta(days=1095)).disposable


@given(moments, st.integers(0, 4000))
def test_disposable_only_after_three_true_years(captured: datetime, days: int) -> None:
    decision = decide(version(clock.stamp(captured)), policy(), captured + timedelta(days=days))
    assert not decision.disposable or days >= 1095


@pytest.mark.parametrize("captured", ["", "soon", "2026-01-01", "2026-01-01T00:00:00", "9999-12-31T00:00:00Z"])
def test_what_cannot_be_read_means_keep(captured: str) -> None:
    decision = decide(version(captured), policy(), FOREVER - timedelta(days=1))
    assert decision.keep_until >= FOREVER - timedelta(days=3)
    assert not decision.disposable


def test_a_live_filing_is_never_disposable() -> None:
    decision = decide(version("2020-01-01T00:00:00Z"), policy(hold=True), datetime(2099, 1, 1, tzinfo=UTC))
    assert [str(each) for each in decision.open] == ["the filing is live"]
    assert not decision.disposable


def test_content_is_as_locked_as_the_strictest_version_that_holds_it() -> None:
    old, new = version("2026-01-01T00:00:00Z"), version("2028-01-01T00:00:00Z")
    now = datetime(2030, 1, 1, tzinfo=UTC)
    assert decide(old, policy(), now).disposable
    assert not decide_content([old, new], policy(), now).disposable
    assert not decide_content([], policy(), now).disposable


@pytest.mark.parametrize("years", [2, 0, -1])
def test_the_floor_is_in_the_policy_itself(years: int) -> None:
    with pytest.raises(ValueError):
        Policy(years, SHANGHAI, False)


def test_a_material_is_explained_by_every_version_that_holds_its_content(site: Site) -> None:
    site.write("f/s/同一.txt", "same")
    site.write("f/s/other", "x")
    site.catch_up()
    site.write("f/t/again", "same")
    site.catch_up()
    site.run("submit", "f/t", "--on", "2026-01-01")
    own = site.json("explain", "f/s/v1")
    content = site.json("explain", "f/s/v1:同一.txt")
    assert [reason["rule"] for reason in own["reasons"]] == ["captured"]
    assert sorted(reason["rule"] for reason in content["reasons"]) == ["captured", "captured", "submitted"]
    assert content["keep_until"] >= own["keep_until"]
    assert own["open"] == ["the filing is live"]
    assert not own["disposable"]
    assert "f/t/v1" in site.run("explain", "f/s/v1:同一.txt").stdout
