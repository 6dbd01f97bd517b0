"""Decide how long versions and contents are kept, and give the reasons.  Pure.

All times are those of the compliance clock, as journalled.  Retention never counts from the modification time of a
file, commit dates, ``--on`` dates or the wall clock.  If a time or event cannot be read, the content is kept.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from archiver import clock
from archiver.config.settings import Config
from archiver.errors import LazyMessage
from archiver.model import Hold, Promises, Submission, UnreadEvent, Version
from archiver.profiles import BASIS, BASIS_PROMISED, FLOOR_YEARS, PROFILES, Profile
from archiver.retention.unread import format_event_numbers
from archiver.store import names

#: The last second that a datetime can hold.  It stands for "no end", and is the end of a period that cannot be
#: computed.
FOREVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)

#: A file of the time zone database (TZif, RFC 8536) with a zone that is always 12 hours behind UTC: a header with
#: the counts of the parts, the offset in seconds, and the abbreviation.
_LATEST_ENDING_ZONE = (
    b"TZif" + bytes(16) + struct.pack(">6l", 0, 0, 0, 0, 1, 4) + struct.pack(">lbB", -12 * 3600, 0, 0) + b"-12\0"
)

_FILING_LIVE = LazyMessage.define("the filing is live", code="open.filing-live")
_LATEST_OF_SUBMISSION = LazyMessage.define(
    "the version is the latest of its submission folder", code="open.present-state"
)
_HOLD_IN_FORCE = LazyMessage.define("held: {name} ({reason})", code="open.held")
_EVENTS_NOT_UNDERSTOOD = LazyMessage.define(
    "journal event {events} is not understood and may be a hold", code="open.unread-events"
)

#: Rule, by the code in JSON and in journalled plans -> the event from which a period counts, as people call it.
RULE_NAMES: Mapping[str, LazyMessage] = {
    "captured": LazyMessage("captured"),
    "submitted": LazyMessage("submission recorded"),
    "superseded": LazyMessage("superseded"),
    "ended": LazyMessage("end of filing recorded"),
}


#: Names for people of the profiles that are not in :data:`archiver.profiles.PROFILES`.
PROFILE_NAMES: Mapping[str, LazyMessage] = {
    "years": LazyMessage("setting retention.years"),
    "promised": LazyMessage("earlier setting, still binding"),
}


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """The retention rules in force, as configured now or promised before.

    Raises ValueError without a profile that applies to everything, or without a time zone, because nothing would
    be kept then.
    """

    #: Scope -> profiles.  The scope is empty for everything; otherwise it is a filing's folder, or
    #: FILING/SUBMISSION, in readable form.
    profiles_by_scope: Mapping[str, tuple[Profile, ...]]
    #: The time zone of the settings, and every zone that was ever accepted.  A period ends with its last day, in
    #: the zone where this day ends latest.
    time_zones: tuple[ZoneInfo, ...]
    #: True if versions are kept until their filing has ended.
    hold_while_live: bool
    #: Events that are not understood; each may be a hold, so nothing is disposable.
    unread_events: tuple[UnreadEvent, ...] = ()

    def __post_init__(self) -> None:
        if not self.time_zones or not self.profiles_by_scope.get(""):
            raise ValueError("a policy without a period for everything")

    def profiles_for(self, submission: Submission) -> tuple[Profile, ...]:
        """Return all profiles that apply to a submission; the longest of their periods counts."""
        return tuple(
            dict.fromkeys(
                profile
                for scope in scopes_of_submission(submission)
                for profile in self.profiles_by_scope.get(scope, ())
            )
        )


def scopes_of_submission(submission: Submission) -> tuple[str, str, str]:
    """Return the scopes whose periods apply to a submission: everything, its filing, and the submission."""
    filing_name = names.name_as_text(submission.filing_folder)
    return "", filing_name, f"{filing_name}/{names.name_as_text(submission.folder)}"


def policy_in_force(config: Config, promises: Promises) -> RetentionPolicy:
    """Return the policy that combines the configuration with the promises.

    A promise applies even if the configuration now requires less.  A longer period of the configuration applies
    even before a person accepts it.  As long as it stands in the configuration, nothing that it keeps is disposed
    of.
    """
    profiles_by_scope = {
        scope: [PROFILES[profile_name] for profile_name in profile_names]
        for scope, profile_names in _configured_profiles(config).items()
    }
    _add_longer_profile(profiles_by_scope, "", Profile("years", config.retention_years, BASIS))
    for scope, years in promises.years.items():
        _add_longer_profile(profiles_by_scope, scope, _promised_profile(years))
    zone_names = dict.fromkeys((config.timezone, *promises.zones))
    return RetentionPolicy(
        profiles_by_scope={scope: tuple(profiles) for scope, profiles in profiles_by_scope.items()},
        time_zones=tuple(map(find_time_zone, zone_names)),
        hold_while_live=config.hold_while_live or promises.live,
        unread_events=promises.unread,
    )


def accepted_policy(config: Config, promises: Promises) -> RetentionPolicy:
    """Return the policy of the promises alone, for acts that cannot be undone, such as a lock in a bucket.

    Retention that the configuration requires beyond the promises may still be withdrawn.  Without a promise for
    everything, the shortest permitted period applies; without a promised time zone, the zone of ``config``.
    """
    profiles_by_scope = {scope: (_promised_profile(years),) for scope, years in promises.years.items()}
    return RetentionPolicy(
        profiles_by_scope={"": (Profile("years", FLOOR_YEARS, BASIS),), **profiles_by_scope},
        time_zones=tuple(map(find_time_zone, promises.zones or (config.timezone,))),
        hold_while_live=promises.live,
        unread_events=promises.unread,
    )


def find_time_zone(zone_name: str) -> ZoneInfo:
    """Return the time zone with this name or, if this system lacks it, a zone 12 hours behind UTC.

    In that zone days end latest, so a missing zone never shortens a period.  Some systems have no time zone
    database, and others have dropped old names.
    """
    try:
        return ZoneInfo(zone_name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # ZoneInfo raises these for a missing name, for a path outside the database, and for a folder in it.
        return ZoneInfo.from_file(io.BytesIO(_LATEST_ENDING_ZONE), key=zone_name)


def _promised_profile(years: int) -> Profile:
    """Return the profile of a promised period; it has at least FLOOR_YEARS, even if an event promises less."""
    return Profile("promised", max(years, FLOOR_YEARS), BASIS_PROMISED)


def _add_longer_profile(profiles_by_scope: dict[str, list[Profile]], scope: str, profile: Profile) -> None:
    """Add ``profile`` to a scope if it is longer than every profile there: no date needs a second reason."""
    scope_profiles = profiles_by_scope.setdefault(scope, [])
    if profile.years > max((known_profile.years for known_profile in scope_profiles), default=0):
        scope_profiles.append(profile)


def _configured_profiles(config: Config) -> dict[str, tuple[str, ...]]:
    """Return the names of the configured profiles by scope; a scope without profiles is left out."""
    profiles_by_scope = {"": config.profiles}
    for filing_folder, filing_settings in config.filings.items():
        if filing_folder.startswith("/") or not filing_folder:
            # No folder has such a name, and the empty name would replace the profiles for everything.
            continue
        filing_name = names.name_as_text(os.fsencode(filing_folder))
        profiles_by_scope[filing_name] = filing_settings.profiles
        for submission_folder, profile_names in filing_settings.submissions.items():
            submission_scope = f"{filing_name}/{names.name_as_text(os.fsencode(submission_folder))}"
            profiles_by_scope[submission_scope] = profile_names
    return {scope: profile_names for scope, profile_names in profiles_by_scope.items() if profile_names}


class RetentionReason(NamedTuple):
    """A period for which a version is kept: it begins with an event, and lasts for the years of a profile."""

    #: A key of :data:`RULE_NAMES`.
    rule: str
    #: The time of the event, by the compliance clock (RFC 3339, UTC); ``anchor`` in JSON.
    counted_from: str
    #: The time of the event by the wall clock (RFC 3339, UTC), only for people.
    wall_time: str
    #: The end of the period.
    keep_until: datetime
    #: The name of the profile.
    profile: str
    #: The statute or decision behind the profile.
    basis: LazyMessage


class RetentionDecision(NamedTuple):
    """A date until which a version or a content is kept, and conditions without a date that keep it longer."""

    #: The latest end of all periods; :data:`FOREVER` if there are none.
    keep_until: datetime
    #: True if the filing has not ended, and the policy keeps versions until it has.
    is_live: bool
    #: True if the version is the newest of its submission and has files.
    is_present_state: bool
    #: The holds in force.
    holds: tuple[Hold, ...]
    #: All periods that were applied.
    reasons: tuple[RetentionReason, ...]
    #: The compliance clock at the decision.
    now: datetime
    #: Events that are not understood; each may be a hold.
    unread_events: tuple[UnreadEvent, ...] = ()

    @property
    def open_conditions(self) -> tuple[LazyMessage, ...]:
        """The conditions without a date.  Nothing is deleted while any of them applies."""
        conditions = []
        if self.is_live:
            conditions.append(_FILING_LIVE)
        # A live filing keeps all its versions, so the newest version needs no second condition.
        elif self.is_present_state:
            conditions.append(_LATEST_OF_SUBMISSION)
        conditions += [_HOLD_IN_FORCE.with_fields(name=hold.name, reason=hold.reason) for hold in self.holds]
        if self.unread_events:
            conditions.append(_EVENTS_NOT_UNDERSTOOD.with_fields(events=format_event_numbers(self.unread_events)))
        return tuple(conditions)

    @property
    def is_disposable(self) -> bool:
        """True if all periods are over, and no condition without a date is left."""
        return self.now > self.keep_until and not self.open_conditions

    @property
    def conditions_clause(self) -> LazyMessage:
        """The :attr:`open_conditions` as a clause to follow a date in a sentence; empty if there are none."""
        live_clause: LazyMessage | str = ""
        if self.is_live:
            live_clause = LazyMessage(", longer while the filing is live")
        elif self.is_present_state:
            live_clause = LazyMessage(", longer while the version is the latest of its submission folder")
        hold_names = ", ".join(hold.name for hold in self.holds)
        hold_clause = (
            LazyMessage(", and until every hold is lifted: {names}", names=hold_names) if hold_names else ""
        )
        unread_clause = (
            LazyMessage(
                ", and until journal event {events} is understood",
                events=format_event_numbers(self.unread_events),
            )
            if self.unread_events
            else ""
        )
        return LazyMessage("{live}{held}{unread}", live=live_clause, held=hold_clause, unread=unread_clause)


class _PeriodStart(NamedTuple):
    """An event in the life of a version.  Periods of retention count from its time."""

    rule: str  # a key of RULE_NAMES
    time: str  # by the compliance clock (RFC 3339, UTC)
    wall_time: str  # by the wall clock (RFC 3339, UTC), only for people


def decide_retention(version: Version, policy: RetentionPolicy, now: datetime) -> RetentionDecision:
    """Decide how long ``version`` is kept, and whether it is disposable at ``now`` by the compliance clock.

    A profile states a number of years.  The years count from each of these events: the capture, every submission
    to the regulator, the capture of the next version, and every end of the filing.  The latest date counts.
    """
    period_starts = [_PeriodStart("captured", version.clock, version.captured_at)]
    period_starts += [_PeriodStart("submitted", record.clock, record.at) for record in version.submitted]
    if version.superseded is not None:
        wall_time = version.superseded_wall or version.superseded
        period_starts.append(_PeriodStart("superseded", version.superseded, wall_time))
    period_starts += [
        _PeriodStart("ended", *times) for times in zip(version.ended, version.ended_wall, strict=True)
    ]
    profiles = policy.profiles_for(version.submission)
    reasons = [
        _apply_profile(period_start, profile, policy) for period_start in period_starts for profile in profiles
    ]
    return _combine_reasons(reasons, [version], policy, now)


def decide_content_retention(
    versions_with_content: Iterable[Version], policy: RetentionPolicy, now: datetime
) -> RetentionDecision:
    """Decide how long to keep content, given all versions with the content.

    The reasons and conditions of all these versions count.  Content without a version is never disposable, because
    the index may lack the version that needs it.
    """
    versions = list(versions_with_content)
    reasons = [reason for version in versions for reason in decide_retention(version, policy, now).reasons]
    return _combine_reasons(reasons, versions, policy, now)


def _combine_reasons(
    reasons: list[RetentionReason], versions: Sequence[Version], policy: RetentionPolicy, now: datetime
) -> RetentionDecision:
    """Return the decision with the latest date of ``reasons`` and with every condition of ``versions``."""
    keep_until = max((reason.keep_until for reason in reasons), default=FOREVER)
    is_live = policy.hold_while_live and any(version.live for version in versions)
    # The files of the newest version are still in the watched folder, and will be part of the next version.
    is_present_state = any(version.superseded is None and version.files for version in versions)
    holds = dict.fromkeys(hold for version in versions for hold in version.holds)
    return RetentionDecision(
        keep_until=keep_until,
        is_live=is_live,
        is_present_state=is_present_state,
        holds=tuple(holds),
        reasons=tuple(reasons),
        now=now,
        unread_events=policy.unread_events,
    )


def _apply_profile(period_start: _PeriodStart, profile: Profile, policy: RetentionPolicy) -> RetentionReason:
    """Return the period of ``profile`` that begins with ``period_start``, as a reason to keep a version.

    The period ends at the latest end in any time zone of the policy.  If it cannot be computed, it ends at
    FOREVER.
    """
    try:
        start_time = clock.parse_time(period_start.time)
        keep_until = max(compute_period_end(start_time, profile.years, zone) for zone in policy.time_zones)
    except (ValueError, TypeError, OverflowError):
        # The time is damaged, or the period ends after the year 9999.  Keeping content too long is safe.
        keep_until = FOREVER
    return RetentionReason(
        rule=period_start.rule,
        counted_from=period_start.time,
        wall_time=period_start.wall_time,
        keep_until=keep_until,
        profile=profile.name,
        basis=profile.basis,
    )


def compute_period_end(start_time: datetime, years: int, zone: ZoneInfo) -> datetime:
    """Return 23:59:59 of the day in ``zone`` that is ``years`` calendar years after ``start_time``.

    A period from 29 February ends on 1 March in a year that is not a leap year, so that it is never too short.

    Raises ValueError or OverflowError if the period ends after the year 9999.
    """
    first_day = start_time.astimezone(zone).date()
    try:
        last_day = first_day.replace(year=first_day.year + years)
    except ValueError:
        # The last year has no 29 February, or is after 9999. In the second case, date() raises ValueError again.
        last_day = date(first_day.year + years, 3, 1)
    return datetime.combine(last_day, time(23, 59, 59), zone)
