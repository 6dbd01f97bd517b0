"""What the bucket has to hold, and until when it must be locked.  Reads the index; the rest is pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from archiver.model import Submission
from archiver.profiles import FLOOR_YEARS
from archiver.retention.policy import Policy, decide, end_of_period
from archiver.store.index import overview
from archiver.store.index.queries import Index

#: What has no date is locked this long, and renewed when that much less is left.
_RENEW = timedelta(days=90)
#: Servers refuse locks of more than a hundred years.
_LONGEST = timedelta(days=36_000)
#: The least that is worth a lock: a date of today may be past when it arrives.
_SHORTEST = timedelta(days=1)
_UTC = ZoneInfo("UTC")


class Wanted(NamedTuple):
    """One content: ``until`` by the dated rules, ``is_open``: something without a date keeps it too."""

    size: int
    until: datetime
    is_open: bool
    held: bool


def wanted(index: Index, policy: Policy, now: datetime) -> dict[str, Wanted]:
    """Every content that a version needs which is not disposed of; as locked as the strictest of them."""
    decided: dict[Submission, dict[int, tuple[datetime, bool, bool]]] = defaultdict(dict)
    for version in index.versions():
        if version.disposed is None:
            decision = decide(version, policy, now)
            # A hold is no reason for a date: it becomes a legal hold, which can be lifted.
            is_open = decision.live or decision.present
            decided[version.submission][version.number] = (decision.keep_until, is_open, bool(decision.holds))
    found: dict[str, Wanted] = {}
    for submission, sha256, size, first, until in overview.content_intervals(index):
        versions = decided[submission]
        last = until - 1 if until is not None else max(versions, default=0)
        for number in range(first, last + 1):
            if number in versions:
                found[sha256] = _stricter(found.get(sha256), Wanted(size, *versions[number]))
    return found


def _stricter(one: Wanted | None, other: Wanted) -> Wanted:
    if one is None:
        return other
    return Wanted(other.size, max(one.until, other.until), one.is_open or other.is_open, one.held or other.held)


def lock_date(each: Wanted, now: datetime) -> datetime:
    """Until when the bucket has to lock it, asked at the wall time ``now``."""
    until = each.until
    if each.is_open:
        until = max(until, end_of_period(now, FLOOR_YEARS, _UTC))
    until = min(max(until, now + _SHORTEST), now + _LONGEST)
    return until.replace(microsecond=0) + timedelta(seconds=1)


def is_short(locked: datetime | None, each: Wanted, now: datetime) -> bool:
    """Whether the lock has to be moved.  What has no date is renewed long before it runs out."""
    if locked is None:
        return True
    if each.until <= now and not each.is_open:
        # Past its date, it waits for its disposal; nothing demands a lock any more.
        return False
    # A date that moves with every day is followed in steps.
    is_moving = each.until > now + _LONGEST or (each.is_open and each.until < locked)
    return locked < lock_date(each, now) - (_RENEW if is_moving else timedelta(seconds=2))


def history(contents: Mapping[str, Wanted], now: datetime) -> Wanted:
    """History is never disposed of: as long as the longest content, and always renewed."""
    return Wanted(0, max((each.until for each in contents.values()), default=now), is_open=True, held=False)
