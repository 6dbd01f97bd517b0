"""Which versions may be disposed of, by a simple statement of the rules in docs/format.md."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from tests.model.reference import Anchor, ReferencePlan, ReferenceState, ReferenceVersion

#: No calendar year is shorter.
_SHORTEST_YEAR = timedelta(days=365)
#: The end of a period that ends after the year 9999.
_FOREVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


class RetentionTerms(NamedTuple):
    """The periods by scope, in calendar years, and the time zones in which their last days end."""

    years_by_scope: Mapping[str, int]
    time_zones: Collection[str]

    def years_of(self, version: ReferenceVersion) -> int:
        """Return the longest period of everything, of the filing, and of the submission."""
        scopes = ("", version.filing, version.submission)
        return max(self.years_by_scope.get(scope, 0) for scope in scopes)


def compliance_time(event_clock: dict[str, Any], reading: dict[str, Any]) -> datetime:
    """Return the compliance clock at a reading of the clocks, given that of the newest event.

    It gains the time on which all clocks agree, within one boot and outside of time namespaces.
    """
    reached = datetime.fromisoformat(event_clock["time"])
    if event_clock["boot_id"] != reading["boot_id"] or event_clock["shifted"] or reading["shifted"]:
        return reached
    gains = [
        timedelta(microseconds=(int(reading[name]) - int(event_clock[name])) // 1000)
        for name in ("boottime_ns", "uptime_ns")
    ]
    gains.append(datetime.fromisoformat(reading["wall"]) - datetime.fromisoformat(event_clock["wall"]))
    return reached + max(min(gains), timedelta(0))


def proven_time(state: ReferenceState, anchor: Anchor) -> datetime:
    """Return the later of an event's compliance clock and the time of the first token after it."""
    token_time = next((token for seq, token in state.tokens if seq > anchor.seq), anchor.time)
    return max(datetime.fromisoformat(anchor.time), datetime.fromisoformat(token_time))


def anchors_of(state: ReferenceState, version: ReferenceVersion) -> list[Anchor]:
    """Return every moment from which a period of retention counts."""
    successor = state.next_version(version)
    superseded = [] if successor is None else [successor.captured]
    return [version.captured, *version.submitted, *superseded, *state.ends.get(version.filing, [])]


def keep_until(state: ReferenceState, version: ReferenceVersion, terms: RetentionTerms) -> datetime:
    return max(
        _end_of_period(proven_time(state, anchor), terms.years_of(version), ZoneInfo(zone))
        for anchor in anchors_of(state, version)
        for zone in terms.time_zones
    )


def _end_of_period(start: datetime, years: int, zone: ZoneInfo) -> datetime:
    day = start.astimezone(zone).date()
    is_leap_day = (day.month, day.day) == (2, 29)
    last_year = day.year + years
    if last_year > _FOREVER.year:
        return _FOREVER
    has_leap_day = last_year % 4 == 0 and (last_year % 100 != 0 or last_year % 400 == 0)
    last_day = date(last_year, 3, 1) if is_leap_day and not has_leap_day else date(last_year, day.month, day.day)
    return datetime.combine(last_day, time(23, 59, 59), zone)


def holds_on(state: ReferenceState, version: ReferenceVersion) -> list[str]:
    objects = (version.filing, version.submission, version.tag)
    return [name for name, held_object in state.holds if held_object in objects]


def is_live(state: ReferenceState, filing: str) -> bool:
    """Return True unless the filing has ended since its last submission; an end that is void does not count."""
    ends = [anchor.seq for anchor in state.ends.get(filing, []) if not state.correctable[anchor.seq].is_void]
    last_end = max(ends, default=-1)
    return last_end <= state.last_submit.get(filing, 0)


def is_disposable(state: ReferenceState, version: ReferenceVersion, now: datetime, terms: RetentionTerms) -> bool:
    is_latest = state.next_version(version) is None
    return (
        bool(version.files)
        and not version.disposed
        and not is_latest
        and not is_live(state, version.filing)
        and not holds_on(state, version)
        and now > keep_until(state, version, terms)
    )


class Selection:
    """What may be disposed of now, of some versions."""

    def __init__(self, state: ReferenceState, tags: Iterable[str], now: datetime, terms: RetentionTerms) -> None:
        versions = [state.versions[tag] for tag in tags if tag in state.versions]
        self.versions = [each for each in versions if is_disposable(state, each, now, terms)]
        going = {version.tag for version in self.versions}
        needed = needed_objects(state, going)
        self.objects = {
            digest: size
            for version in self.versions
            for digest, size in version.objects.items()
            if digest not in needed
        }

    @property
    def filings(self) -> list[str]:
        return sorted({version.filing for version in self.versions})

    def plan_of(self, filing: str | None) -> tuple[list[str], dict[str, int]]:
        """Return the tags and objects in the plan of one filing; None: in a single plan of all of them."""
        versions = [version for version in self.versions if filing in (None, version.filing)]
        digests = {digest for version in versions for digest in version.objects}
        objects = {digest: size for digest, size in self.objects.items() if digest in digests}
        return sorted(version.tag for version in versions), objects


def needed_objects(state: ReferenceState, going: Collection[str] = ()) -> set[str]:
    """Return the digest of each object of the versions that stay when those in ``going`` are disposed of."""
    return {
        digest
        for version in state.versions.values()
        if not version.disposed and version.tag not in going
        for digest in version.objects
    }


def is_plan_unchanged(state: ReferenceState, plan: ReferencePlan, now: datetime, terms: RetentionTerms) -> bool:
    """Return True if the plan would select the same versions and objects now."""
    tags = list(plan.versions)
    for other in state.plans.values():
        if plan.act is not None and other.act == plan.act and not other.is_begun:
            tags += other.versions
    selection = Selection(state, dict.fromkeys(tags), now, terms)
    return selection.plan_of(plan.filing) == (plan.versions, plan.objects)


def cooling_off_end(state: ReferenceState, plan: ReferencePlan) -> datetime:
    latest = max(proven_time(state, approval) for approval in plan.approvals.values())
    return latest + timedelta(days=plan.cooling_off_days)


def check_true_age(
    state: ReferenceState, version: ReferenceVersion, elapsed: timedelta, terms: RetentionTerms
) -> None:
    """Raise AssertionError if less than the version's years have really passed since any anchor of it."""
    for anchor in anchors_of(state, version):
        age = elapsed - anchor.elapsed
        assert age >= terms.years_of(version) * _SHORTEST_YEAR, (
            f"{version.tag} was disposed of {age} after event {anchor.seq}"
        )


def parse_utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
