"""What the settings promise beyond what was accepted: rules without any disk, against independent models."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver import clock
from archiver.config.settings import FilingSettings
from archiver.errors import UsageError
from archiver.model import Promises, Submission, Version
from archiver.profiles import PERMANENT, PROFILES
from archiver.retention.policy import accepted_policy, decide_retention, policy_in_force
from archiver.retention.promise_effects import find_extended_versions
from archiver.retention.promises import (
    UNCONFIRMED_YEARS,
    RetentionItem,
    WaitingPromise,
    check_typed_years,
    combine_with_promise,
    find_waiting_promise,
    needs_typed_years,
)
from archiver.store.events.chain_rules import ChainKind, filing_of_event, find_chain_rule
from archiver.store.events.event_details import EventDetails
from archiver.store.events.validation import check_new_event
from archiver.store.index.promise_rows import PromiseKind
from tests.retention.promise_model import NOTHING_ACCEPTED, accepted, configurations, settings

moments = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1)).map(lambda m: m.replace(tzinfo=UTC))
#: Of everything, of the filing with settings, and of the submission with settings.
SUBMISSIONS = [
    Submission("g", "s", b"g", b"s"),
    Submission("f", "t", b"f", b"t"),
    Submission("f", "s", b"f", b"s"),
]


def version(captured: datetime, submission: Submission = SUBMISSIONS[0], *, superseded: bool = True) -> Version:
    at = clock.format_time(captured)
    return Version(submission, 1, "c", at, at, 1, 1, 1, 0, 0, (), superseded=at if superseded else None)


def history_of(changes: list[dict[str, Any]]) -> Promises:
    """What was accepted, where each configuration was accepted after the other."""
    promises = NOTHING_ACCEPTED
    for each in changes:
        promises = accepted(settings(**each), promises)
    return promises


@given(st.lists(configurations, max_size=3), configurations, moments)
def test_accepting_binds_what_was_in_force_and_nothing_more(
    before: list[dict[str, Any]], changes: dict[str, Any], captured: datetime
) -> None:
    config, promises = settings(**changes), history_of(before)
    after = accepted(config, promises)
    for submission in SUBMISSIONS:
        facts = version(captured, submission)
        in_force = decide_retention(facts, policy_in_force(config, promises), captured)
        binding = decide_retention(facts, accepted_policy(config, after), captured)
        assert binding.keep_until == in_force.keep_until
        assert binding.is_live == in_force.is_live
    assert find_waiting_promise(config, after) is None
    assert accepted(config, after) == after


@given(configurations, configurations, configurations, moments)
def test_what_was_not_accepted_ends_with_its_settings_and_what_was_stays(
    first: dict[str, Any], longer: dict[str, Any], last: dict[str, Any], captured: datetime
) -> None:
    """The settings change twice; whether a person accepted the ones in between is all that counts."""
    promises, config = history_of([first]), settings(**last)
    accepted_between = accepted(settings(**longer), promises)
    for submission in SUBMISSIONS:
        facts = version(captured, submission)
        withdrawn = decide_retention(facts, policy_in_force(config, promises), captured)
        binding = decide_retention(facts, policy_in_force(config, accepted_between), captured)
        required = [settings(**first), settings(**longer), config]
        each_alone = [decide_retention(facts, policy_in_force(each, promises), captured) for each in required]
        assert withdrawn.keep_until == max(each_alone[0].keep_until, each_alone[2].keep_until)
        assert binding.keep_until >= max(each.keep_until for each in each_alone)
        assert binding.is_live == any(each.is_live for each in each_alone)


@given(st.lists(configurations, max_size=3), configurations)
def test_the_index_and_the_model_read_the_same_from_the_events(
    before: list[dict[str, Any]], changes: dict[str, Any]
) -> None:
    config, promises = settings(**changes), history_of(before)
    waiting = find_waiting_promise(config, promises)
    combined = promises
    for event in waiting.draft_events() if waiting else ():
        combined = combine_with_promise(combined, event)
    assert combined == accepted(config, promises)


@given(st.lists(configurations, max_size=3), configurations)
def test_each_item_is_beyond_what_was_accepted(before: list[dict[str, Any]], changes: dict[str, Any]) -> None:
    config, promises = settings(**changes), history_of(before)
    waiting = find_waiting_promise(config, promises)
    for item in waiting.items if waiting else ():
        assert RetentionItem.from_json(item.as_json()) == item
        if item.kind is PromiseKind.PERIOD:
            scopes = {"": [""], "f": ["", "f"], "f/s": ["", "f", "f/s"]}[item.name]
            assert item.years > max(promises.years.get(scope, 0) for scope in scopes)
        elif item.kind is PromiseKind.TIME_ZONE:
            assert item.name == config.timezone not in promises.zones
        else:
            assert config.hold_while_live > promises.live


@given(configurations)
def test_each_event_goes_to_the_chain_of_its_filing(changes: dict[str, Any]) -> None:
    waiting = find_waiting_promise(settings(**changes), NOTHING_ACCEPTED)
    assert waiting is not None
    events = waiting.draft_events()
    check_event(events[0], ChainKind.ARCHIVE)
    assert events[0].scopes is None
    for event in events[1:]:
        check_event(event, ChainKind.FILING)
        assert filing_of_event(event.action, "retention", event.to_details()) == "f"
        assert event.scopes
        assert all(scope.split("/")[0] == "f" for scope in event.scopes)
    # Several events are one act.
    assert len({event.act for event in events}) == 1
    assert (events[0].act is None) is (len(events) == 1)


def check_event(event: EventDetails, kind: ChainKind) -> None:
    check_new_event(event.action, "retention", event.to_details(), ())
    rule = find_chain_rule(event.action, event.to_details())
    assert rule is not None
    assert rule.kind is kind


@given(configurations, configurations)
def test_the_same_items_have_the_same_id_and_others_another(one: dict[str, Any], two: dict[str, Any]) -> None:
    first, second = (find_waiting_promise(settings(**each), NOTHING_ACCEPTED) for each in (one, two))
    assert first is not None
    assert second is not None
    assert (first.promise_id == second.promise_id) is (first.items == second.items)


def test_a_filing_that_everything_covers_promises_nothing() -> None:
    short = {"f": FilingSettings(profiles=("sec-17a4",), submissions={"s": ("eu-ai-act",)})}
    waiting = find_waiting_promise(settings(retention_years=10, filings=short), NOTHING_ACCEPTED)
    assert waiting is not None
    assert [(item.name, item.years) for item in waiting.items if item.kind is PromiseKind.PERIOD] == [("", 10)]
    # A submission is covered by its filing, too.
    longer = {"f": FilingSettings(profiles=("cn-archive-30",), submissions={"s": ("eu-ai-act",)})}
    waiting = find_waiting_promise(settings(filings=longer), NOTHING_ACCEPTED)
    assert waiting is not None
    assert [item.name for item in waiting.items if item.kind is PromiseKind.PERIOD] == ["", "f"]


def waiting_years(years: int) -> WaitingPromise:
    items = (RetentionItem(PromiseKind.PERIOD, "", 3), RetentionItem(PromiseKind.PERIOD, "f", years))
    return WaitingPromise(items, 3, "UTC", hold_while_live=True)


@given(st.integers(3, PERMANENT), st.none() | st.integers(-1, PERMANENT + 1))
def test_a_long_period_is_accepted_by_its_years_only(years: int, typed: int | None) -> None:
    waiting = waiting_years(years)
    assert needs_typed_years(waiting) is (years > 10)
    if typed == years or (typed is None and years <= UNCONFIRMED_YEARS):
        check_typed_years(waiting, typed)
        return
    with pytest.raises(UsageError, match="Nothing was recorded") as refused:
        check_typed_years(waiting, typed)
    assert str(years) in str(refused.value)


def test_a_promise_without_a_period_needs_no_years() -> None:
    waiting = WaitingPromise((RetentionItem(PromiseKind.WHILE_LIVE),), 3, "UTC", hold_while_live=True)
    assert waiting.longest_years == 0
    check_typed_years(waiting, None)
    with pytest.raises(UsageError):
        check_typed_years(waiting, 3)


@given(
    st.lists(configurations, min_size=1, max_size=2),
    configurations,
    st.lists(st.tuples(moments, st.sampled_from(SUBMISSIONS)), max_size=4),
)
def test_a_version_counts_where_its_date_moves(
    before: list[dict[str, Any]], changes: dict[str, Any], captures: list[tuple[datetime, Submission]]
) -> None:
    """Against the policy after the acceptance of that item alone."""
    config, promises = settings(**changes), history_of(before)
    versions = [version(captured, submission) for captured, submission in captures]
    now = datetime(2026, 1, 1, tzinfo=UTC)
    policy = accepted_policy(config, promises)
    waiting = find_waiting_promise(config, promises)
    for item in waiting.items if waiting else ():
        extension = find_extended_versions(item, versions, policy, now)
        if item.kind is PromiseKind.WHILE_LIVE:
            assert extension.versions == versions
            assert extension.retained_through is None
            continue
        years, zones = dict(promises.years), promises.zones
        if item.kind is PromiseKind.PERIOD:
            years[item.name] = item.years
        else:
            zones = (*zones, item.name)
        after = accepted_policy(config, Promises(years, zones, promises.live))
        ends = {
            index: decide_retention(each, after, now).keep_until
            for index, each in enumerate(versions)
            if decide_retention(each, after, now).keep_until > decide_retention(each, policy, now).keep_until
        }
        assert extension.versions == [versions[index] for index in ends]
        assert extension.retained_through == (max(ends.values()).date() if ends else None)


def test_a_foreign_promise_below_the_floor_stops_nothing() -> None:
    """Whoever has the key can write such an event; the shortest permitted period applies then."""
    promises = Promises({"": 1, "f": 0}, ("UTC",), live=True)
    for policy in (policy_in_force(settings(), promises), accepted_policy(settings(), promises)):
        assert {profile.years for profiles in policy.profiles_by_scope.values() for profile in profiles} == {3}


def test_every_profile_can_be_accepted() -> None:
    for name, profile in PROFILES.items():
        config = settings(profiles=(name,))
        assert accepted(config, NOTHING_ACCEPTED).years[""] == max(profile.years, 3)
