"""The retention policy.  Pure: from facts and the clock to a decision with reasons.

Times are those of the compliance clock, as journalled; never mtimes, commit
dates, ``--on`` dates or the wall clock.  A time or event that cannot be read means "keep".
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from archiver import clock
from archiver.config.settings import Config
from archiver.errors import LazyMessage
from archiver.model import Hold, Promises, Submission, UnreadEvent, Version
from archiver.profiles import BASIS, BASIS_PROMISED, PROFILES, Profile
from archiver.retention.unread import format_events
from archiver.store import names
from archiver.store.events.archive_events import RetentionPromised

#: The last second that a date can hold: for periods without an end, and for what cannot be read.
FOREVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)

_FILING_LIVE = LazyMessage.define("the filing is live", code="open.filing-live")
_PRESENT_STATE = LazyMessage.define("it is the present state of its folder", code="open.present-state")
_HELD = LazyMessage.define("held: {name} ({reason})", code="open.held")
_UNREAD = LazyMessage.define(
    "journal event {events} is not understood, and may be a hold", code="open.unread-events"
)

#: Rule, as JSON and journalled plans call it -> the event from which it counts a period.
RULES: Mapping[str, LazyMessage] = {
    "captured": LazyMessage("captured"),
    "submitted": LazyMessage.define("submitted", context="rule"),
    "superseded": LazyMessage("superseded"),
    "ended": LazyMessage("ended"),
}


@dataclass(frozen=True, slots=True)
class Policy:
    """The retention rules in force: configured now, or promised before.

    Raises ValueError if no profile applies to everything, or no time zone is given: nothing would be kept then.
    """

    #: Scope -> profiles. A scope is empty for everything, a filing's folder, or FILING/SUBMISSION, readable.
    scopes: Mapping[str, tuple[Profile, ...]]
    #: All time zones ever in force: a period ends with the day in the zone where that is latest.
    zones: tuple[ZoneInfo, ...]
    hold_while_live: bool
    #: Events that are not understood; each may be a hold, so nothing is disposable.
    unread: tuple[UnreadEvent, ...] = ()

    def __post_init__(self) -> None:
        if not self.zones or not self.scopes.get(""):
            raise ValueError("a policy without a period for everything")

    def profiles(self, submission: Submission) -> tuple[Profile, ...]:
        """Return all profiles that apply to a submission; the longest period counts."""
        filing_name = names.text(submission.filing_folder)
        scope_names = ("", filing_name, f"{filing_name}/{names.text(submission.folder)}")
        return tuple(dict.fromkeys(profile for scope in scope_names for profile in self.scopes.get(scope, ())))


def policy_in_force(config: Config, promises: Promises) -> Policy:
    """Combine the configuration with earlier promises: a shorter setting shortens nothing."""
    scopes = {
        scope: [PROFILES[profile_name] for profile_name in profile_names]
        for scope, profile_names in _configured_profiles(config).items()
    }
    _add_if_longer(scopes, "", Profile("years", config.retention_years, BASIS))
    for scope, years in promises.years.items():
        _add_if_longer(scopes, scope, Profile("promised", years, BASIS_PROMISED))
    zone_names = dict.fromkeys((config.timezone, *promises.zones))
    return Policy(
        {scope: tuple(profiles) for scope, profiles in scopes.items()},
        tuple(ZoneInfo(zone_name) for zone_name in zone_names),
        config.hold_while_live or promises.live,
        promises.unread,
    )


def _add_if_longer(scopes: dict[str, list[Profile]], scope: str, profile: Profile) -> None:
    """Add the profile unless the scope has another as long: the same date needs no second reason."""
    scope_profiles = scopes.setdefault(scope, [])
    if profile.years > max((other.years for other in scope_profiles), default=0):
        scope_profiles.append(profile)


def _configured_profiles(config: Config) -> dict[str, tuple[str, ...]]:
    """Return the names of the configured profiles by scope, without scopes that have no profile."""
    scopes = {"": config.profiles}
    for filing_folder, settings in config.filings.items():
        filing_name = names.text(os.fsencode(filing_folder))
        scopes[filing_name] = settings.profiles
        for submission_folder, profiles in settings.submissions.items():
            scopes[f"{filing_name}/{names.text(os.fsencode(submission_folder))}"] = profiles
    return {scope: profiles for scope, profiles in scopes.items() if profiles}


def new_promises(policy: Policy, config: Config, promises: Promises) -> RetentionPromised | None:
    """Return the promises of the policy that go beyond ``promises``; None if there are none."""
    years_by_scope = {
        scope: max(profile.years for profile in profiles) for scope, profiles in policy.scopes.items()
    }
    longer_years = {
        scope: years for scope, years in years_by_scope.items() if years > promises.years.get(scope, 0)
    }
    is_new_zone = config.timezone not in promises.zones
    if not longer_years and not is_new_zone and policy.hold_while_live == promises.live:
        return None
    return RetentionPromised(
        retention_years=years_by_scope[""],
        scopes={scope: years for scope, years in longer_years.items() if scope},
        timezone=config.timezone,
        hold_while_live=policy.hold_while_live,
    )


@dataclass(frozen=True, slots=True)
class RetentionReason:
    """A period of retention for a version, by rule and profile."""

    #: A key of :data:`RULES`.
    rule: str
    #: The time from which the period counts, by the compliance clock (RFC 3339).
    anchor: str
    keep_until: datetime
    profile: str
    basis: LazyMessage


@dataclass(frozen=True, slots=True)
class Decision:
    """The policy applied to a version or a content: a date, and conditions without a date."""

    #: The latest end of all periods.
    keep_until: datetime
    #: The filing has not ended, and the policy holds it that long.
    live: bool
    #: Nothing has superseded the version.
    present: bool
    holds: tuple[Hold, ...]
    reasons: tuple[RetentionReason, ...]
    #: The compliance clock at the decision.
    now: datetime
    #: Events that are not understood; each may be a hold.
    unread: tuple[UnreadEvent, ...] = ()

    @property
    def open(self) -> tuple[LazyMessage, ...]:
        """The conditions without a date under which nothing is deleted."""
        live_messages = (_FILING_LIVE,) if self.live else ()
        if self.present and not self.live:
            live_messages = (_PRESENT_STATE,)
        hold_messages = tuple(_HELD.with_fields(name=hold.name, reason=hold.reason) for hold in self.holds)
        unread_messages = (_UNREAD.with_fields(events=format_events(self.unread)),) if self.unread else ()
        return live_messages + hold_messages + unread_messages

    @property
    def disposable(self) -> bool:
        """True if the period is over, and no condition without a date is left."""
        return self.now > self.keep_until and not self.open

    @property
    def conditions(self) -> LazyMessage:
        """The conditions of :attr:`open`, to follow a date in a sentence."""
        live_clause = LazyMessage(", and not while the filing is live") if self.live else ""
        if self.present and not self.live:
            live_clause = LazyMessage(", and not while it is the present state of its folder")
        hold_names = ", ".join(hold.name for hold in self.holds)
        hold_clause = (
            LazyMessage(", and not before a hold is lifted: {names}", names=hold_names) if hold_names else ""
        )
        unread_clause = (
            LazyMessage(
                ", and not while journal event {events} is not understood", events=format_events(self.unread)
            )
            if self.unread
            else ""
        )
        return LazyMessage("{live}{held}{unread}", live=live_clause, held=hold_clause, unread=unread_clause)


def decide(version: Version, policy: Policy, now: datetime) -> Decision:
    """Decide if ``version`` is disposable at ``now`` by the compliance clock.

    Each profile counts its period from each anchor: capture, submissions, the next version, ends of the filing.
    The latest date of all counts.
    """
    anchors = [("captured", version.clock)]
    anchors += [("submitted", submission_record.clock) for submission_record in version.submitted]
    anchors += [("superseded", version.superseded)] if version.superseded is not None else []
    anchors += [("ended", end_time) for end_time in version.ended]
    profiles = policy.profiles(version.submission)
    reasons = [_apply_profile(rule, anchor, profile, policy) for rule, anchor in anchors for profile in profiles]
    return _combine_reasons(reasons, [version], policy, now)


def decide_content(holders: Iterable[Version], policy: Policy, now: datetime) -> Decision:
    """Decide on content that several versions share: all reasons and conditions of any of them count.

    Content without a version is never disposable: the index may lack a version.
    """
    versions = list(holders)
    reasons = [reason for version in versions for reason in decide(version, policy, now).reasons]
    return _combine_reasons(reasons, versions, policy, now)


def _combine_reasons(
    reasons: list[RetentionReason], versions: Sequence[Version], policy: Policy, now: datetime
) -> Decision:
    keep_until = max((reason.keep_until for reason in reasons), default=FOREVER)
    is_live = policy.hold_while_live and any(version.live for version in versions)
    # Files in the watched folder now are carried on into the next version.
    is_present = any(version.superseded is None and version.files for version in versions)
    holds = dict.fromkeys(hold for version in versions for hold in version.holds)
    return Decision(keep_until, is_live, is_present, tuple(holds), tuple(reasons), now, policy.unread)


def _apply_profile(rule: str, anchor: str, profile: Profile, policy: Policy) -> RetentionReason:
    try:
        anchor_time = clock.parse(anchor)
        keep_until = max(end_of_period(anchor_time, profile.years, zone) for zone in policy.zones)
    except (ValueError, TypeError, OverflowError):
        # A damaged time, or a period past the end of the calendar: too long is safe, too short is not.
        keep_until = FOREVER
    return RetentionReason(rule, anchor, keep_until, profile.name, profile.basis)


def end_of_period(anchor: datetime, years: int, zone: ZoneInfo) -> datetime:
    """Return the end of the day, in ``zone``, ``years`` calendar years after ``anchor``.

    Counted from 29 February, a period ends on 1 March in a year without that day, which is the later choice.

    Raises ValueError or OverflowError past the end of the calendar.
    """
    first_day = anchor.astimezone(zone).date()
    try:
        last_day = first_day.replace(year=first_day.year + years)
    except ValueError:
        last_day = date(first_day.year + years, 3, 1)
    return datetime.combine(last_day, time(23, 59, 59), zone)
