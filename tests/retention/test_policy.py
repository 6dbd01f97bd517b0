from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver import clock
from archiver.model import Hold, Promises, Submission, SubmissionRecord, Version
from archiver.profiles import PERMANENT, PROFILES, Profile
from archiver.retention.policy import (
    FOREVER,
    RetentionDecision,
    RetentionPolicy,
    accepted_policy,
    compute_period_end,
    decide_content_retention,
    decide_retention,
    find_time_zone,
    policy_in_force,
)
from archiver.retention.promises import find_waiting_promise
from tests.retention.promise_model import accepted, configurations, settings
from tests.support.site import Site

SHANGHAI = ZoneInfo("Asia/Shanghai")
moments = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1)).map(lambda m: m.replace(tzinfo=UTC))


def version(captured: str, *submitted: str) -> Version:
    handed_in = tuple(SubmissionRecord("t", "2026-01-01", "first", None, None, None, at, at) for at in submitted)
    return Version(Submission("f", "s"), 1, "c", captured, captured, 1, 1, 1, 0, 0, handed_in, superseded=captured)


def policy(years: int = 3, hold: bool = False) -> RetentionPolicy:
    return RetentionPolicy({"": (Profile("house", years, "basis"),)}, (SHANGHAI,), hold)


@pytest.mark.parametrize("zone_name", ["Nowhere/City", "America", "../localtime"])
@given(moments, st.integers(3, 30))
def test_a_time_zone_that_this_system_lacks_ends_a_day_latest(
    zone_name: str, anchor: datetime, years: int
) -> None:
    zone = find_time_zone(zone_name)
    assert zone.key == zone_name
    assert compute_period_end(anchor, years, zone) >= compute_period_end(anchor, years, ZoneInfo("Etc/GMT+12"))


@given(moments, st.integers(3, 30))
def test_never_before_the_full_period(anchor: datetime, years: int) -> None:
    until = compute_period_end(anchor, years, SHANGHAI)
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
    assert compute_period_end(clock.parse_time(anchor), 3, SHANGHAI).isoformat() == until


@given(moments, st.lists(moments, max_size=5), moments)
def test_the_longest_rule_wins_and_a_submission_never_shortens(
    captured: datetime, submitted: list[datetime], more: datetime
) -> None:
    stamps = [clock.format_time(each) for each in submitted]
    before = decide_retention(version(clock.format_time(captured), *stamps), policy(), captured)
    after = decide_retention(
        version(clock.format_time(captured), *stamps, clock.format_time(more)), policy(), captured
    )
    assert after.keep_until >= before.keep_until
    assert before.keep_until == max(reason.keep_until for reason in before.reasons)
    latest = max([captured, *submitted])
    assert not decide_retention(
        version(clock.format_time(captured), *stamps), policy(), latest + timedelta(days=1095)
    ).is_disposable


@given(moments, st.integers(0, 4000))
def test_disposable_only_after_three_true_years(captured: datetime, days: int) -> None:
    decision = decide_retention(version(clock.format_time(captured)), policy(), captured + timedelta(days=days))
    assert not decision.is_disposable or days >= 1095


@pytest.mark.parametrize("captured", ["", "soon", "2026-01-01", "2026-01-01T00:00:00", "9999-12-31T00:00:00Z"])
def test_what_cannot_be_read_means_keep(captured: str) -> None:
    decision = decide_retention(version(captured), policy(), FOREVER - timedelta(days=1))
    assert decision.keep_until >= FOREVER - timedelta(days=3)
    assert not decision.is_disposable


def test_a_live_filing_is_never_disposable() -> None:
    decision = decide_retention(
        version("2020-01-01T00:00:00Z"), policy(hold=True), datetime(2099, 1, 1, tzinfo=UTC)
    )
    assert [str(each) for each in decision.open_conditions] == ["the filing is live"]
    assert not decision.is_disposable


def test_content_is_as_locked_as_the_strictest_version_that_holds_it() -> None:
    old, new = version("2026-01-01T00:00:00Z"), version("2028-01-01T00:00:00Z")
    now = datetime(2030, 1, 1, tzinfo=UTC)
    assert decide_retention(old, policy(), now).is_disposable
    assert not decide_content_retention([old, new], policy(), now).is_disposable
    assert not decide_content_retention([], policy(), now).is_disposable


@pytest.mark.parametrize("years", [2, 0, -1])
def test_the_floor_is_in_the_profile_itself(years: int) -> None:
    with pytest.raises(ValueError):
        Profile("short", years, "basis")


def test_a_policy_has_a_period_for_everything() -> None:
    for scopes in ({}, {"": ()}, {"f": (PROFILES["eu-ai-act"],)}):
        with pytest.raises(ValueError):
            RetentionPolicy(scopes, (SHANGHAI,), False)


@given(st.lists(configurations, min_size=1, max_size=6), moments, st.booleans())
def test_no_change_of_the_configuration_moves_a_date_earlier(
    history: list[dict[str, Any]], captured: datetime, submits: bool
) -> None:
    """Each configuration was in force once, and was accepted; the last one is in force now."""
    promises = Promises({}, (), False)
    facts = version(clock.format_time(captured), *([clock.format_time(captured)] if submits else []))
    facts = facts._replace(submission=Submission("f", "s", b"f", b"s"))
    last: RetentionDecision | None = None
    for changes in history:
        config = settings(**changes)
        policy = policy_in_force(config, promises)
        decision = decide_retention(facts, policy, captured)
        if last is not None:
            assert decision.keep_until >= last.keep_until
            assert decision.is_live or not last.is_live
        assert decision.keep_until >= compute_period_end(captured, 3, SHANGHAI) - timedelta(days=1)
        wanted = max(
            [changes["retention_years"]]
            + [PROFILES[name].years for name in changes["profiles"]]
            + [PROFILES[name].years for name in changes["filings"]["f"].profiles]
            + [PROFILES[name].years for name in changes["filings"]["f"].submissions["s"]]
        )
        if wanted < PERMANENT:
            assert decision.keep_until.year >= captured.year + wanted - 1
        else:
            assert decision.keep_until == FOREVER
        promises = accepted(config, promises)
        assert find_waiting_promise(config, promises) is None, "it is accepted once"
        assert (
            decide_retention(facts, accepted_policy(config, promises), captured).keep_until == decision.keep_until
        )
        last = decision


@given(
    moments,
    st.lists(st.tuples(st.sampled_from(["submit", "supersede", "end", "hold"]), st.integers(0, 4000)), max_size=8),
)
def test_no_event_ever_moves_a_date_earlier(captured: datetime, events: list[tuple[str, int]]) -> None:
    """Against an independent model: three years after the latest anchor, by simple arithmetic."""
    facts, latest = version(clock.format_time(captured)), captured
    before = decide_retention(facts, policy(), captured)
    moment, superseded = captured, False
    facts = facts._replace(superseded=None)
    for kind, days in events:
        moment += timedelta(days=days)
        if kind == "submit":
            handed = SubmissionRecord("t", "2026-01-01", "first", None, None, None, "", clock.format_time(moment))
            facts = facts._replace(submitted=(*facts.submitted, handed))
            latest = moment
        elif kind == "supersede" and not superseded:
            superseded = True
            facts = facts._replace(superseded=clock.format_time(moment))
            latest = moment
        elif kind == "end":
            ends = (*facts.ended, clock.format_time(moment))
            facts, latest = facts._replace(ended=ends, ended_wall=ends), moment
        elif kind == "hold":
            facts = facts._replace(holds=(*facts.holds, Hold("h", "f", "r", None, "u", "")))
        after = decide_retention(facts, policy(), moment)
        assert after.keep_until >= before.keep_until
        before = after
    assert not decide_retention(facts, policy(), latest + timedelta(days=3 * 365)).is_disposable
    assert decide_retention(facts, policy(), latest + timedelta(days=3 * 366 + 2)).is_disposable is (
        superseded and not facts.holds
    )


def test_the_newest_version_is_not_superseded_and_the_others_are(site: Site) -> None:
    for number in range(3):
        site.write("f/s/a", str(number))
        site.catch_up()
    rules = [[r["rule"] for r in site.json("explain", f"f/s/v{n}")["reasons"]] for n in (1, 2, 3)]
    assert rules == [["captured", "superseded"], ["captured", "superseded"], ["captured"]]


def test_profiles_for_a_filing_and_for_a_submission(site: Site) -> None:
    text = site.config.read_text(encoding="utf-8")
    submissions = {"年度 1": ["cn-archive-30", "sec-17a4"]}
    site.configure(filings={"推荐": {"profiles": ["eu-ai-act"], "submissions": submissions}})
    for path in ("推荐/首次/a", "推荐/年度 1/a", "其他/首次/a"):
        site.write(path, path)
    site.catch_up()
    tags = {v["tag"]: int(v["keep_until"][:4]) - int(v["captured_at"][:4]) for v in site.json("log")}
    assert tags == {"推荐/首次/v1": 10, "推荐/年度%201/v1": 30, "其他/首次/v1": 3}
    reasons = site.json("explain", "推荐/首次/v1")["reasons"]
    assert {r["profile"] for r in reasons} == {"cn-algorithm-filing", "eu-ai-act"}
    assert "EU AI Act" in str(reasons)
    # Shortened again: what was accepted stays, and says so.
    site.run("retention", "accept", "--years", 30)
    site.config.write_text(text, encoding="utf-8")
    site.catch_up()
    again = site.json("explain", "推荐/首次/v1")
    assert {r["profile"] for r in again["reasons"]} == {"cn-algorithm-filing", "promised"}
    assert {v["tag"]: v["keep_until"] for v in site.json("log")}["推荐/首次/v1"] == again["keep_until"]
    assert int(again["keep_until"][:4]) - int(site.json("log")[0]["captured_at"][:4]) == 10
    site.run("reindex")
    assert site.json("explain", "推荐/首次/v1") == again
    site.verified()


@pytest.mark.parametrize("name", ["", "/推荐"])
def test_a_filing_with_a_name_that_no_folder_has_changes_nothing(site: Site, name: str) -> None:
    """Its promise could not be journalled, so that nothing was captured any more."""
    site.configure(retention={"profiles": ["cn-archive-10"]}, filings={name: {"profiles": ["cn-archive-30"]}})
    site.write("推荐/首次/a", "1")
    site.catch_up()
    assert {reason["profile"] for reason in site.json("explain", "推荐/首次/v1")["reasons"]} == {"cn-archive-10"}
    assert all("of_filing" not in promise["details"] for promise in site.events("policy"))
    site.verified()


def test_a_permanent_profile_never_ends(site: Site) -> None:
    site.set("retention", "profiles", '["cn-archive-permanent"]')
    site.write("f/s/a", "1")
    site.catch_up()
    assert site.json("explain", "f/s/v1")["keep_until"].startswith("9999")


@pytest.mark.parametrize(
    "value",
    ['"cn-archive-10"', '["cn-archive-2"]', "[3]", '["cn-algorithm-filing", ""]', "1.5", "nan", '{ "a" = 1 }'],
)
def test_a_profile_that_is_none_is_refused(site: Site, value: str) -> None:
    site.set("retention", "profiles", value)
    assert "retention.profiles" in site.run("status", code=3).stderr


def test_holding_while_live_cannot_be_taken_back(site: Site) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    site.set("retention", "hold_while_live", "false")
    assert site.json("explain", "f/s/v1")["open"] == ["the filing is live"]


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
