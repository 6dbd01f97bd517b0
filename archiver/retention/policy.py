"""The retention policy.  Pure: facts and the clock in, a decision with its reasons out.

Times are those of the compliance clock, as journalled; never mtimes, commit
dates, ``--on`` dates or the wall clock.  What cannot be read means "keep".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from archiver import clock
from archiver.config import FLOOR_YEARS
from archiver.errors import Phrase
from archiver.model import Hold, Version

#: No statute was found that gives filing materials a period; house policy is an honest basis.
BASIS = (
    "house policy: materials of an algorithm filing are kept at least three years, version by version, "
    "ready for spot checks"
)
FOREVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)

FILING_LIVE = "the filing is live"
HELD = "held: {name} ({reason})"


@dataclass(frozen=True, slots=True)
class Policy:
    """How long to keep, in calendar years that end with the day in ``zone``."""

    years: int
    zone: ZoneInfo
    hold_while_live: bool

    def __post_init__(self) -> None:
        if self.years < FLOOR_YEARS:
            raise ValueError(f"a period under {FLOOR_YEARS} years")


@dataclass(frozen=True, slots=True)
class Reason:
    """One rule that keeps a version, with the moment it counts from and the one it keeps until."""

    rule: str
    anchor: str
    keep_until: datetime
    basis: str = BASIS


@dataclass(frozen=True, slots=True)
class Decision:
    """What the policy says about one version.

    ``keep_until`` is the latest date of all dated rules, never absent; ``live``
    and ``holds`` have no date.  ``now`` is the compliance clock it was made at.
    """

    keep_until: datetime
    live: bool
    holds: tuple[Hold, ...]
    reasons: tuple[Reason, ...]
    now: datetime

    @property
    def open(self) -> tuple[Phrase, ...]:
        """What keeps it without a date."""
        live = (Phrase(FILING_LIVE),) if self.live else ()
        return live + tuple(Phrase(HELD, name=hold.name, reason=hold.reason) for hold in self.holds)

    @property
    def disposable(self) -> bool:
        """Whether it may go at the compliance clock's ``now``."""
        return self.now > self.keep_until and not self.live and not self.holds

    @property
    def conditions(self) -> Phrase:
        """The same as :attr:`open`, to follow a date in a sentence."""
        live = Phrase(", and not while the filing is live") if self.live else ""
        names = ", ".join(hold.name for hold in self.holds)
        held = Phrase(", and not before a hold is lifted: {names}", names=names) if names else ""
        return Phrase("{live}{held}", live=live, held=held)


def decide(version: Version, policy: Policy, now: datetime) -> Decision:
    """Whether ``version`` may go at the compliance clock's ``now``; the longest rule wins."""
    reasons = [_counted("captured", version.clock, policy)]
    reasons += [_counted("submitted", each.clock, policy) for each in version.submitted]
    return _combine(reasons, version.holds, policy, now)


def decide_content(holders: Iterable[Version], policy: Policy, now: datetime) -> Decision:
    """Content referenced by several versions is as locked as the strictest of them."""
    versions = list(holders)
    reasons = [reason for version in versions for reason in decide(version, policy, now).reasons]
    holds = dict.fromkeys(hold for version in versions for hold in version.holds)
    return _combine(reasons, holds, policy, now)


def _combine(reasons: list[Reason], holds: Iterable[Hold], policy: Policy, now: datetime) -> Decision:
    keep_until = max((reason.keep_until for reason in reasons), default=FOREVER)
    # Until filings can be ended, every filing is live.
    return Decision(keep_until, policy.hold_while_live, tuple(holds), tuple(reasons), now)


def _counted(rule: str, anchor: str, policy: Policy) -> Reason:
    try:
        return Reason(rule, anchor, end_of_period(clock.parse(anchor), policy.years, policy.zone))
    except (ValueError, TypeError, OverflowError):
        return Reason(rule, anchor, FOREVER)


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
