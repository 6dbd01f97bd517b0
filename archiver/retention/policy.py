"""Decide how long versions and contents are kept, and give the reasons.  Pure.

All times are those of the compliance clock, as journalled.  Retention never counts from mtimes, commit dates,
``--on`` dates or the wall clock.  A time or event that cannot be read means "keep".
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import NamedTuple
from zoneinfo import ZoneInfo

from archiver import clock
from archiver.config.settings import Config
from archiver.errors import LazyMessage
from archiver.model import Hold, Promises, Submission, UnreadEvent, Version
from archiver.profiles import BASIS, BASIS_PROMISED, PROFILES, Profile
from archiver.retention.unread import format_events
from archiver.store import names
from archiver.store.events.archive_events import RetentionPromised

#: The last second that a datetime can hold: the end of periods without an end, and of periods that cannot be
#: computed.
FOREVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)

_FILING_LIVE = LazyMessage.define("the filing is live", code="open.filing-live")
_PRESENT_STATE = LazyMessage.define("it is the present state of its folder", code="open.present-state")
_HELD = LazyMessage.define("held: {name} ({reason})", code="open.held")
_UNREAD = LazyMessage.define(
    "journal event {events} is not understood, and may be a hold", code="open.unread-events"
)

#: Rule, as JSON and journalled plans call it -> the name for people of the event from which a period counts.
RULES: Mapping[str, LazyMessage] = {
    "captured": LazyMessage("captured"),
    "submitted": LazyMessage.define("submitted", context="rule"),
    "superseded": LazyMessage("superseded"),
    "ended": LazyMessage("ended"),
}


@dataclass(frozen=True, slots=True)
class Policy:
    """The retention rules in force, as configured now or promised before.

    Raises ValueError without a profile that applies to everything, or without a time zone: nothing would be kept
    then.
    """

    #: Scope -> profiles.  A scope is empty for everything, else a filing's folder or FILING/SUBMISSION, in
    #: readable form.
    scopes: Mapping[str, tuple[Profile, ...]]
    #: All time zones ever in force.  A period ends with its last day in the zone in which that day ends latest.
    zones: tuple[ZoneInfo, ...]
    #: True if versions are kept until their filing has ended.
    hold_while_live: bool
    #: Events that are not understood; each may be a hold, so nothing is disposable.
    unread: tuple[UnreadEvent, ...] = ()

    def __post_init__(self) -> None:
        if not self.zones or not self.scopes.get(""):
            raise ValueError("a policy without a period for everything")

    def profiles(self, submission: Submission) -> tuple[Profile, ...]:
        """Return all profiles that apply to a submission, of which the longest period counts."""
        filing_name = names.name_as_text(submission.filing_folder)
        scope_names = ("", filing_name, f"{filing_name}/{names.name_as_text(submission.folder)}")
        return tuple(dict.fromkeys(profile for scope in scope_names for profile in self.scopes.get(scope, ())))


def policy_in_force(config: Config, promises: Promises) -> Policy:
    """Return the policy that results from the configuration and from earlier promises.

    A promise applies even if the configuration now asks for less.
    """
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
    """Add ``profile`` to a scope, unless a profile there is as long: the same date needs no second reason."""
    scope_profiles = scopes.setdefault(scope, [])
    if profile.years > max((other.years for other in scope_profiles), default=0):
        scope_profiles.append(profile)


def _configured_profiles(config: Config) -> dict[str, tuple[str, ...]]:
    """Return the names of the configured profiles by scope; a scope without profiles is left out."""
    scopes = {"": config.profiles}
    for filing_folder, settings in config.filings.items():
        filing_name = names.name_as_text(os.fsencode(filing_folder))
        scopes[filing_name] = settings.profiles
        for submission_folder, profile_names in settings.submissions.items():
            scopes[f"{filing_name}/{names.name_as_text(os.fsencode(submission_folder))}"] = profile_names
    return {scope: profile_names for scope, profile_names in scopes.items() if profile_names}


def new_promises(policy: Policy, config: Config, promises: Promises) -> RetentionPromised | None:
    """Return the event that journals the promises of ``policy`` beyond ``promises``, None if there are none.

    Of the scopes, the event lists those with a longer period than before.
    """
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
    #: The time from which the period counts, by the compliance clock (RFC 3339, UTC).
    anchor: str
    #: The end of the period.
    keep_until: datetime
    #: The name of the profile.
    profile: str
    #: The statute or decision behind the profile.
    basis: LazyMessage


@dataclass(frozen=True, slots=True)
class Decision:
    """The policy applied to a version or a content: a date, and conditions without a date."""

    #: The latest end of all periods; :data:`FOREVER` if there are none.
    keep_until: datetime
    #: True if the filing has not ended, and the policy holds versions until then.
    live: bool
    #: True if the version is the newest of its submission and has files.
    present: bool
    #: The holds in force.
    holds: tuple[Hold, ...]
    #: All periods that were applied.
    reasons: tuple[RetentionReason, ...]
    #: The compliance clock at the decision.
    now: datetime
    #: Events that are not understood; each may be a hold.
    unread: tuple[UnreadEvent, ...] = ()

    @property
    def open(self) -> tuple[LazyMessage, ...]:
        """The conditions without a date.  Nothing is deleted while any of them applies."""
        messages = []
        if self.live:
            messages.append(_FILING_LIVE)
        elif self.present:
            messages.append(_PRESENT_STATE)
        messages += [_HELD.with_fields(name=hold.name, reason=hold.reason) for hold in self.holds]
        if self.unread:
            messages.append(_UNREAD.with_fields(events=format_events(self.unread)))
        return tuple(messages)

    @property
    def disposable(self) -> bool:
        """True if all periods are over, and no condition without a date is left."""
        return self.now > self.keep_until and not self.open

    @property
    def conditions(self) -> LazyMessage:
        """The conditions of :attr:`open`, as a clause that follows a date in a sentence; empty without any."""
        live_clause: LazyMessage | str = ""
        if self.live:
            live_clause = LazyMessage(", and not while the filing is live")
        elif self.present:
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


class _Anchor(NamedTuple):
    """An event from which periods count."""

    rule: str  # a key of RULES
    time: str  # by the compliance clock (RFC 3339, UTC)


def decide(version: Version, policy: Policy, now: datetime) -> Decision:
    """Decide how long ``version`` is kept, and whether it is disposable at ``now`` by the compliance clock.

    Each profile counts its period from each anchor: the capture, every submission, the capture of the next
    version, and every end of the filing.  The latest date counts.
    """
    anchors = [_Anchor("captured", version.clock)]
    anchors += [_Anchor("submitted", submission_record.clock) for submission_record in version.submitted]
    if version.superseded is not None:
        anchors.append(_Anchor("superseded", version.superseded))
    anchors += [_Anchor("ended", end_time) for end_time in version.ended]
    profiles = policy.profiles(version.submission)
    reasons = [_apply_profile(anchor, profile, policy) for anchor in anchors for profile in profiles]
    return _combine_reasons(reasons, [version], policy, now)


def decide_content(holders: Iterable[Version], policy: Policy, now: datetime) -> Decision:
    """Decide how long a content is kept that the versions ``holders`` share.

    The reasons and conditions of all versions count.  Content without a version is never disposable, because the
    index may lack a version.
    """
    versions = list(holders)
    reasons = [reason for version in versions for reason in decide(version, policy, now).reasons]
    return _combine_reasons(reasons, versions, policy, now)


def _combine_reasons(
    reasons: list[RetentionReason], versions: Sequence[Version], policy: Policy, now: datetime
) -> Decision:
    """Return the decision for the content of ``versions``: the latest of all dates, and every condition."""
    keep_until = max((reason.keep_until for reason in reasons), default=FOREVER)
    is_live = policy.hold_while_live and any(version.live for version in versions)
    # The files of the newest version are still in the watched folder, and will be part of the next version.
    is_present = any(version.superseded is None and version.files for version in versions)
    holds = dict.fromkeys(hold for version in versions for hold in version.holds)
    return Decision(keep_until, is_live, is_present, tuple(holds), tuple(reasons), now, policy.unread)


def _apply_profile(anchor: _Anchor, profile: Profile, policy: Policy) -> RetentionReason:
    """Return the period of ``profile`` from ``anchor``; a period that cannot be computed ends at FOREVER."""
    try:
        anchor_time = clock.parse_time(anchor.time)
        keep_until = max(end_of_period(anchor_time, profile.years, zone) for zone in policy.zones)
    except (ValueError, TypeError, OverflowError):
        # The time is damaged, or the period ends after the year 9999.  To keep too long is safe; too short is not.
        keep_until = FOREVER
    return RetentionReason(anchor.rule, anchor.time, keep_until, profile.name, profile.basis)


def end_of_period(anchor_time: datetime, years: int, zone: ZoneInfo) -> datetime:
    """Return 23:59:59 of the day in ``zone`` that is ``years`` calendar years after ``anchor_time``.

    A period from 29 February ends on 1 March in a year that is not a leap year, so that it is never too short.

    Raises ValueError or OverflowError if the period ends after the year 9999.
    """
    first_day = anchor_time.astimezone(zone).date()
    try:
        last_day = first_day.replace(year=first_day.year + years)
    except ValueError:
        # 29 February does not exist in the last year, or that year is after 9999: then date() raises again.
        last_day = date(first_day.year + years, 3, 1)
    return datetime.combine(last_day, time(23, 59, 59), zone)
