"""Which content the bucket must have, and until when each must be locked.  Reads the index; the rest is pure."""

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

#: Locks whose end moves with every day are renewed once they are this much too short. Lower: more requests for
#: every object, which cost money. Higher: the bucket guarantees that much less than the floor of three years.
_RENEWAL_LAG = timedelta(days=90)
#: Slack when a lock with a fixed end is compared: servers cut times to whole seconds.
_ROUNDING = timedelta(seconds=2)
#: Servers refuse locks of more than a hundred years (36,525 days); the rest allows for clocks that differ.
_LONGEST_LOCK = timedelta(days=36_000)
#: Servers refuse a lock that ends in the past, as one of a few seconds would when the request arrives.
_SHORTEST_LOCK = timedelta(days=1)
_UTC = ZoneInfo("UTC")


class DesiredObject(NamedTuple):
    """The guarantee that an object needs from the bucket."""

    size: int
    #: The earliest end by the dated rules.
    keep_until: datetime
    #: True if something without a date (a live filing, the present state of a folder) keeps it for longer.
    is_open_ended: bool
    has_hold: bool


def desired_objects(index: Index, policy: Policy, compliance_time: datetime) -> dict[str, DesiredObject]:
    """Return the content of all versions but the disposed ones, by SHA-256.

    Content that several versions share is kept by the strictest of their rules.
    """
    rules_by_submission: dict[Submission, dict[int, tuple[datetime, bool, bool]]] = defaultdict(dict)
    for version in index.versions():
        if version.disposed is None:
            decision = decide(version, policy, compliance_time)
            # A hold does not make the end open: it becomes a legal hold, which can be lifted.
            is_open_ended = decision.live or decision.present
            version_rules = (decision.keep_until, is_open_ended, bool(decision.holds))
            rules_by_submission[version.submission][version.number] = version_rules
    desired: dict[str, DesiredObject] = {}
    for submission, sha256, size, first_version, end_version in overview.content_intervals(index):
        rules = rules_by_submission[submission]
        last_version = end_version - 1 if end_version is not None else max(rules, default=0)
        for number in range(first_version, last_version + 1):
            if number in rules:
                desired[sha256] = _combine_strictest(desired.get(sha256), DesiredObject(size, *rules[number]))
    return desired


def _combine_strictest(first: DesiredObject | None, second: DesiredObject) -> DesiredObject:
    if first is None:
        return second
    return DesiredObject(
        second.size,
        max(first.keep_until, second.keep_until),
        first.is_open_ended or second.is_open_ended,
        first.has_hold or second.has_hold,
    )


def desired_history(desired: Mapping[str, DesiredObject], now: datetime) -> DesiredObject:
    """Return the guarantee for bundles: history is never disposed of, so the end is open.

    History is locked at least as long as the content that it describes.
    """
    keep_until = max((content.keep_until for content in desired.values()), default=now)
    return DesiredObject(0, keep_until, is_open_ended=True, has_hold=False)


def lock_end(desired: DesiredObject, now: datetime) -> datetime:
    """Return the end of a lock placed at the wall time ``now``.

    An open end is locked for the floor of three years from now on, and renewed while it stays open.
    """
    end = desired.keep_until
    if desired.is_open_ended:
        end = max(end, end_of_period(now, FLOOR_YEARS, _UTC))
    end = min(max(end, now + _SHORTEST_LOCK), now + _LONGEST_LOCK)
    # Servers cut to whole seconds: the next one is never earlier.
    return end.replace(microsecond=0) + timedelta(seconds=1)


def is_lock_too_short(locked_until: datetime | None, desired: DesiredObject, now: datetime) -> bool:
    """Return True if a lock has to be placed or extended; never for a lock just placed by :func:`lock_end`."""
    if locked_until is None:
        return True
    if desired.keep_until <= now and not desired.is_open_ended:
        # Past its date, the object waits for a disposal; nothing demands a lock any more.
        return False
    end_moves_daily = desired.keep_until > now + _LONGEST_LOCK or (
        desired.is_open_ended and desired.keep_until < locked_until
    )
    return locked_until < lock_end(desired, now) - (_RENEWAL_LAG if end_moves_daily else _ROUNDING)
