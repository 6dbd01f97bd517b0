"""Which retention of the settings waits for acceptance, by a simple statement of docs/operations.md."""

from __future__ import annotations

from typing import Any, NamedTuple

from archiver.actions.retention_actions import describe_accepted_retention, describe_waiting_retention
from archiver.config.settings import Config
from archiver.retention.policy import accepted_policy, decide_retention
from archiver.store.archive import Archive
from tests.model.commands import read_json
from tests.model.expectations import ARCHIVE, Batch, Expectation, ExpectedEvent
from tests.model.retention_rules import RetentionTerms, keep_until
from tests.model.world import World

#: Over so many years, a person types the longest period.
YEARS_WITHOUT_TYPING = 10


class Waiting(NamedTuple):
    """What the settings say beyond what was accepted."""

    #: The years by scope that nothing wider covers.
    years_by_scope: dict[str, int]
    #: None if the configured one was accepted.
    time_zone: str | None
    keeps_live: bool

    @property
    def longest(self) -> int:
        return max(self.years_by_scope.values(), default=0)


def waiting_retention(world: World) -> Waiting | None:
    state, settings = world.state, world.settings
    years_in_force = world.terms.years_by_scope
    years = {}
    for scope, configured in settings.years_by_scope.items():
        wider_scopes = [wider for wider in ("", scope.split("/")[0]) if len(wider) < len(scope)]
        wider_years = max((years_in_force.get(wider, 0) for wider in wider_scopes), default=0)
        if configured > max(state.years_by_scope.get(scope, 0), wider_years):
            years[scope] = configured
    time_zone = None if settings.time_zone in state.time_zones else settings.time_zone
    waiting = Waiting(years, time_zone, not state.keeps_live)
    return waiting if years or time_zone or waiting.keeps_live else None


def expect_acceptance(world: World, shown: Waiting | None, typed_years: int | None) -> Expectation:
    """Expect an event for everything, and one for each filing, of what waits and was shown."""
    waiting = waiting_retention(world)
    if waiting is None:
        return Expectation()
    needs_years = typed_years is not None or waiting.longest > YEARS_WITHOUT_TYPING
    if shown != waiting or (needs_years and typed_years != waiting.longest):
        return Expectation(error="UsageError")
    general = {"retention_years": world.terms.years_by_scope[""], "timezone": world.settings.time_zone}
    events = [ExpectedEvent("policy", "retention", ARCHIVE, general)]
    for filing in sorted({scope.split("/")[0] for scope in waiting.years_by_scope if scope}):
        scopes = {scope: value for scope, value in waiting.years_by_scope.items() if scope.split("/")[0] == filing}
        events.append(ExpectedEvent("policy", "retention", filing, {"scopes": scopes, "of_filing": filing}))
    return Expectation([Batch(events)])


# --- the program's answers


def compare_accepted_retention(world: World, archive: Archive, config: Config) -> None:
    """Compare what was accepted, what waits, and until when each version is kept without what waits."""
    state, index = world.state, archive.index
    policy = accepted_policy(config, index.retention_promises())
    for version in index.versions():
        accepted_end = decide_retention(version, policy, world.now).keep_until
        assert accepted_end == keep_until(state, state.versions[version.tag], world.accepted_terms), version.tag
    items = describe_accepted_retention(archive)
    assert {item["scope"]: item["years"] for item in items if item["kind"] == "period"} == state.years_by_scope
    assert {item["timezone"] for item in items if item["kind"] == "time-zone"} == state.time_zones
    check_shown(world, describe_waiting_retention(archive, config))


def check_shown(world: World, shown: dict[str, Any]) -> None:
    """Compare what ``retention show`` says of what waits."""
    state, waiting = world.state, waiting_retention(world)
    assert (shown["promise"] is None) == (waiting is None), shown
    if waiting is None:
        assert shown["waiting"] == [], shown
        return
    assert shown["longest_years"] == waiting.longest, shown
    assert shown["needs_years"] == (waiting.longest > YEARS_WITHOUT_TYPING), shown
    periods = {item["scope"]: item for item in shown["waiting"] if item["kind"] == "period"}
    assert {scope: item["years"] for scope, item in periods.items()} == waiting.years_by_scope, shown
    zones = [item["timezone"] for item in shown["waiting"] if item["kind"] == "time-zone"]
    assert zones == ([] if waiting.time_zone is None else [waiting.time_zone]), shown
    for scope, item in periods.items():
        terms = RetentionTerms({"": waiting.years_by_scope[scope]}, state.time_zones)
        ends = [
            end
            for version in state.versions.values()
            if scope in ("", version.filing, version.submission) and version.files and not version.disposed
            if (end := keep_until(state, version, terms)) > keep_until(state, version, world.accepted_terms)
        ]
        until = max(ends).date().isoformat() if ends else None
        assert (item["versions"], item["retained_through"]) == (len(ends), until), item


def compare_retention_answers(world: World) -> None:
    """Compare what ``retention show``, ``status`` and ``explain`` say."""
    shown = read_json(world.root, "retention", "show")
    check_shown(world, shown)
    status = read_json(world.root, "status")
    assert status["waiting_retention"] == [
        {name: item[name] for name in ("kind", "scope", "years", "timezone")} for item in shown["waiting"]
    ]
    assert ("status.promise-waiting" in status["problem_codes"]) == bool(shown["waiting"])
    for tag, version in list(world.state.versions.items())[-2:]:
        explained = read_json(world.root, "explain", tag)
        until = (
            keep_until(world.state, version, world.terms),
            keep_until(world.state, version, world.accepted_terms),
        )
        assert (explained["keep_until"], explained["accepted_until"]) == tuple(end.isoformat() for end in until), (
            tag
        )
