"""The retention policy.  Pure: facts and the clock in, a decision with its reasons out.

Times are those of the compliance clock, as journalled; never mtimes, commit
dates, ``--on`` dates or the wall clock.  What cannot be read means "keep".
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
from archiver.retention.unread import listed
from archiver.store import names
from archiver.store.events.archive_events import RetentionPromised

FOREVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)

_FILING_LIVE = LazyMessage.define("the filing is live", code="open.filing-live")
_PRESENT_STATE = LazyMessage.define("it is the present state of its folder", code="open.present-state")
_HELD = LazyMessage.define("held: {name} ({reason})", code="open.held")
_UNREAD = LazyMessage.define(
    "journal event {events} is not understood, and may be a hold", code="open.unread-events"
)

#: From which event a period is counted.
RULES: Mapping[str, LazyMessage] = {
    "captured": LazyMessage("captured"),
    "submitted": LazyMessage.define("submitted", context="rule"),
    "superseded": LazyMessage("superseded"),
    "ended": LazyMessage("ended"),
}


@dataclass(frozen=True, slots=True)
class Policy:
    """Which profiles apply to what; periods end with the day in the last of ``zones``.

    ``scopes``: empty for everything, a filing's folder, or FILING/SUBMISSION, readable.
    ``unread``: the events that are not understood; each may be a hold, so nothing may go.
    """

    scopes: Mapping[str, tuple[Profile, ...]]
    zones: tuple[ZoneInfo, ...]
    hold_while_live: bool
    unread: tuple[UnreadEvent, ...] = ()

    def __post_init__(self) -> None:
        if not self.zones or not self.scopes.get(""):
            raise ValueError("a policy without a period for everything")

    def profiles(self, submission: Submission) -> tuple[Profile, ...]:
        """Everything that applies to a submission; the longest wins."""
        filing = names.text(submission.filing_folder)
        wanted = ("", filing, f"{filing}/{names.text(submission.folder)}")
        return tuple(dict.fromkeys(profile for scope in wanted for profile in self.scopes.get(scope, ())))


def in_force(config: Config, promises: Promises) -> Policy:
    """The policy of the configuration, and on top of it what was promised before."""
    scopes = {scope: [PROFILES[name] for name in given] for scope, given in configured(config).items()}
    _lengthen(scopes, "", Profile("years", config.retention_years, BASIS))
    for scope, years in promises.years.items():
        _lengthen(scopes, scope, Profile("promised", years, BASIS_PROMISED))
    zones = dict.fromkeys((config.timezone, *promises.zones))
    return Policy(
        {scope: tuple(profiles) for scope, profiles in scopes.items()},
        tuple(ZoneInfo(zone) for zone in zones),
        config.hold_while_live or promises.live,
        promises.unread,
    )


def _lengthen(scopes: dict[str, list[Profile]], scope: str, longer: Profile) -> None:
    known = scopes.setdefault(scope, [])
    if longer.years > max((profile.years for profile in known), default=0):
        known.append(longer)


def configured(config: Config) -> dict[str, tuple[str, ...]]:
    """The names of the profiles by scope, as the configuration has them."""
    scopes = {"": config.profiles}
    for filing, settings in config.filings.items():
        name = names.text(os.fsencode(filing))
        scopes[name] = settings.profiles
        for submission, profiles in settings.submissions.items():
            scopes[f"{name}/{names.text(os.fsencode(submission))}"] = profiles
    return {scope: profiles for scope, profiles in scopes.items() if profiles}


def new_promises(policy: Policy, config: Config, promises: Promises) -> RetentionPromised | None:
    """Return what the policy promises beyond what was promised before; None if nothing."""
    scopes = {scope: max(profile.years for profile in profiles) for scope, profiles in policy.scopes.items()}
    longer = {scope: years for scope, years in scopes.items() if years > promises.years.get(scope, 0)}
    is_new_zone = config.timezone not in promises.zones
    if not longer and not is_new_zone and policy.hold_while_live == promises.live:
        return None
    return RetentionPromised(
        retention_years=scopes[""],
        scopes={scope: years for scope, years in longer.items() if scope},
        timezone=config.timezone,
        hold_while_live=policy.hold_while_live,
    )


@dataclass(frozen=True, slots=True)
class Reason:
    """One rule that keeps a version: the event and moment it counts from, the profile, and until when."""

    rule: str
    anchor: str
    keep_until: datetime
    profile: str
    basis: LazyMessage


@dataclass(frozen=True, slots=True)
class Decision:
    """What the policy says about one version.

    ``keep_until`` is the latest date of all dated rules, never absent; ``live``,
    ``present`` (nothing has superseded it), ``holds`` and ``unread`` (events that are not
    understood) have no date.  ``now`` is the compliance clock it was made at.
    """

    keep_until: datetime
    live: bool
    present: bool
    holds: tuple[Hold, ...]
    reasons: tuple[Reason, ...]
    now: datetime
    unread: tuple[UnreadEvent, ...] = ()

    @property
    def open(self) -> tuple[LazyMessage, ...]:
        """What keeps it without a date."""
        live = (_FILING_LIVE,) if self.live else ()
        if self.present and not self.live:
            live = (_PRESENT_STATE,)
        unread = (_UNREAD.with_fields(events=listed(self.unread)),) if self.unread else ()
        return live + tuple(_HELD.with_fields(name=hold.name, reason=hold.reason) for hold in self.holds) + unread

    @property
    def disposable(self) -> bool:
        """Whether it may go at the compliance clock's ``now``."""
        return self.now > self.keep_until and not self.open

    @property
    def conditions(self) -> LazyMessage:
        """The same as :attr:`open`, to follow a date in a sentence."""
        live = LazyMessage(", and not while the filing is live") if self.live else ""
        if self.present and not self.live:
            live = LazyMessage(", and not while it is the present state of its folder")
        names = ", ".join(hold.name for hold in self.holds)
        held = LazyMessage(", and not before a hold is lifted: {names}", names=names) if names else ""
        unread = (
            LazyMessage(", and not while journal event {events} is not understood", events=listed(self.unread))
            if self.unread
            else ""
        )
        return LazyMessage("{live}{held}{unread}", live=live, held=held, unread=unread)


def decide(version: Version, policy: Policy, now: datetime) -> Decision:
    """Whether ``version`` may go at the compliance clock's ``now``; the longest rule wins."""
    anchors = [("captured", version.clock)]
    anchors += [("submitted", each.clock) for each in version.submitted]
    anchors += [("superseded", version.superseded)] if version.superseded is not None else []
    anchors += [("ended", each) for each in version.ended]
    profiles = policy.profiles(version.submission)
    reasons = [_counted(rule, anchor, each, policy) for rule, anchor in anchors for each in profiles]
    return _combine(reasons, [version], policy, now)


def decide_content(holders: Iterable[Version], policy: Policy, now: datetime) -> Decision:
    """Content referenced by several versions is as locked as the strictest of them."""
    versions = list(holders)
    reasons = [reason for version in versions for reason in decide(version, policy, now).reasons]
    return _combine(reasons, versions, policy, now)


def _combine(reasons: list[Reason], versions: Sequence[Version], policy: Policy, now: datetime) -> Decision:
    keep_until = max((reason.keep_until for reason in reasons), default=FOREVER)
    live = policy.hold_while_live and any(version.live for version in versions)
    # What lies in the watched folder now is carried on into the next version.
    present = any(version.superseded is None and version.files for version in versions)
    holds = dict.fromkeys(hold for version in versions for hold in version.holds)
    return Decision(keep_until, live, present, tuple(holds), tuple(reasons), now, policy.unread)


def _counted(rule: str, anchor: str, profile: Profile, policy: Policy) -> Reason:
    try:
        moment = clock.parse(anchor)
        until = max(end_of_period(moment, profile.years, zone) for zone in policy.zones)
    except (ValueError, TypeError, OverflowError):
        until = FOREVER
    return Reason(rule, anchor, until, profile.name, profile.basis)


def end_of_period(anchor: datetime, years: int, zone: ZoneInfo) -> datetime:
    """The end of the day, in ``zone``, ``years`` calendar years after ``anchor``.

    From 29 February it is 1 March where the year has no such day: the later one.
    """
    day = anchor.astimezone(zone).date()
    try:
        last = day.replace(year=day.year + years)
    except ValueError:
        last = date(day.year + years, 3, 1)
    return datetime.combine(last, time(23, 59, 59), zone)
