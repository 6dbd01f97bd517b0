"""Which content the bucket must have, and how long each object must be locked.

Only :func:`compute_desired_objects` reads the index. The other functions are pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from archiver.model import Submission
from archiver.profiles import FLOOR_YEARS
from archiver.replica.known_objects import ReplicatedObject
from archiver.retention.policy import RetentionPolicy, compute_period_end, decide_retention
from archiver.store.index import overview
from archiver.store.index.queries import Index
from archiver.store.index.restrictions import restricted_content

#: A lock whose desired end moves with every day is renewed once it is this much too short. With a lower value each
#: object costs more requests, which the provider charges for. With a higher one the bucket guarantees that much
#: less than the floor of three years.
_RENEWAL_LAG = timedelta(days=90)
#: How much too short a lock with a fixed end may be before it is extended: servers cut times to whole seconds.
_ROUNDING = timedelta(seconds=2)
#: Servers refuse locks of more than a hundred years (36,525 days). The difference allows for clocks that differ.
_LONGEST_LOCK = timedelta(days=36_000)
#: Servers refuse a lock that ends in the past. A lock of a few seconds could have ended when the request arrives.
_SHORTEST_LOCK = timedelta(days=1)
_UTC = ZoneInfo("UTC")


class DesiredObject(NamedTuple):
    """The desired state of an object in the bucket: the required size, lock and legal hold."""

    #: In bytes. 0 for history, whose bundles share one desired state.
    size: int
    #: The dated end: the latest end of all retention periods that apply.
    keep_until: datetime
    #: True if a condition without a date applies too: the filing is live, or a version is the present state (the
    #: latest version) of its submission folder.
    is_open_ended: bool
    #: True if a legal hold is in force.
    needs_legal_hold: bool
    #: True if the content is restricted: it is not sent, and a copy in the bucket is no longer locked and is
    #: deleted as soon as the lock and the legal hold have ended.
    is_restricted: bool = False

    @property
    def is_withdrawn(self) -> bool:
        """True if a copy in the bucket has to go although the archive keeps the content."""
        return self.is_restricted and not self.needs_legal_hold


class ObjectStates(NamedTuple):
    """The recorded and the desired state of an object in the bucket."""

    key: str
    recorded: ReplicatedObject
    desired: DesiredObject

    def has_short_lock(self, now: datetime) -> bool:
        """Return True if a lock has to be placed, or the lock has to be extended."""
        return not self.desired.is_restricted and is_lock_too_short(self.recorded.locked_until, self.desired, now)

    def must_change_hold(self, *, may_lift: bool) -> bool:
        """Return True if the legal hold has to be placed, or has to be lifted and ``may_lift`` allows it."""
        has_hold, needs_hold = self.recorded.has_legal_hold, self.desired.needs_legal_hold
        return has_hold != needs_hold and (needs_hold or may_lift)


class _VersionRetention(NamedTuple):
    """The retention of a version, with the fields of a :class:`DesiredObject`."""

    keep_until: datetime
    is_open_ended: bool
    needs_legal_hold: bool


def compute_desired_objects(
    index: Index, policy: RetentionPolicy, compliance_time: datetime
) -> dict[str, DesiredObject]:
    """Return the desired state of the content of all versions except the disposed ones, by SHA-256.

    Content shared by several versions must satisfy the retention of each version. Empty files are left out: they
    have no content object. Restricted content is included, and marked. ``compliance_time`` is the present time of
    the compliance clock, by which retention is decided and which nobody can set forward.
    """
    retention_by_submission = _decide_retention_by_submission(index, policy, compliance_time)
    desired_by_sha256: dict[str, DesiredObject] = {}
    for submission, sha256, size, first_version, end_version in overview.content_intervals(index):
        retention_by_number = retention_by_submission[submission]
        # ``end_version`` is the first version without the content. Without one, the newest version has it.
        last_version = end_version - 1 if end_version is not None else max(retention_by_number, default=0)
        for version_number in range(first_version, last_version + 1):
            retention = retention_by_number.get(version_number)  # None for a disposed version
            if retention is not None:
                desired_by_sha256[sha256] = _combine_strictest(
                    desired_by_sha256.get(sha256), DesiredObject(size, *retention)
                )
    for sha256 in restricted_content(index) & desired_by_sha256.keys():
        desired_by_sha256[sha256] = desired_by_sha256[sha256]._replace(is_restricted=True)
    return desired_by_sha256


def _decide_retention_by_submission(
    index: Index, policy: RetentionPolicy, compliance_time: datetime
) -> defaultdict[Submission, dict[int, _VersionRetention]]:
    """Return the retention of each version, by submission and then by version number.

    Disposed versions are left out. A submission that has no others is looked up as an empty dict.
    ``compliance_time`` is the present time of the compliance clock.
    """
    retention_by_submission: defaultdict[Submission, dict[int, _VersionRetention]] = defaultdict(dict)
    for version in index.versions():
        if version.disposed is None:
            decision = decide_retention(version, policy, compliance_time)
            retention_by_submission[version.submission][version.number] = _VersionRetention(
                keep_until=decision.keep_until,
                # A hold is not included: the bucket stores it as a legal hold, which can be lifted, unlike a lock.
                is_open_ended=decision.is_live or decision.is_present_state,
                needs_legal_hold=bool(decision.holds),
            )
    return retention_by_submission


def _combine_strictest(combined_so_far: DesiredObject | None, added: DesiredObject) -> DesiredObject:
    """Return the desired state that satisfies both arguments, or ``added`` if ``combined_so_far`` is None."""
    if combined_so_far is None:
        return added
    return DesiredObject(
        size=added.size,
        keep_until=max(combined_so_far.keep_until, added.keep_until),
        is_open_ended=combined_so_far.is_open_ended or added.is_open_ended,
        needs_legal_hold=combined_so_far.needs_legal_hold or added.needs_legal_hold,
    )


def compute_desired_history_state(desired_content: Mapping[str, DesiredObject], now: datetime) -> DesiredObject:
    """Return the desired state of bundles and of the claim, the object that names the archive.

    The end is open, since history is never disposed of. The lock lasts at least as long as that of the content in
    ``desired_content``, which the history describes. Without any content the dated end is ``now``.
    """
    keep_until = max((content.keep_until for content in desired_content.values()), default=now)
    return DesiredObject(0, keep_until, is_open_ended=True, needs_legal_hold=False)


def compute_lock_end(desired: DesiredObject, now: datetime) -> datetime:
    """Return the time until which to lock an object, for a lock that is placed at the wall time ``now``.

    The lock ends at the dated end of ``desired`` or, if the end is open, three years after ``now`` if that is
    later. The duration is limited to what servers accept, from _SHORTEST_LOCK to _LONGEST_LOCK, and rounded up to
    a whole second. A later sync extends the lock once :func:`is_lock_too_short` returns True.
    """
    locked_until = desired.keep_until
    if desired.is_open_ended:
        locked_until = max(locked_until, compute_period_end(now, FLOOR_YEARS, _UTC))
    locked_until = min(max(locked_until, now + _SHORTEST_LOCK), now + _LONGEST_LOCK)
    # Servers cut the time to whole seconds. With a second more, the lock never ends too early. The second does not
    # matter for _LONGEST_LOCK, which is far below the limit of the servers.
    return locked_until.replace(microsecond=0) + timedelta(seconds=1)


def is_lock_too_short(locked_until: datetime | None, desired: DesiredObject, now: datetime) -> bool:
    """Return True if a lock that ends at ``locked_until`` (None: no lock) has to be placed or extended.

    Returns False for a lock that was just placed with the end from :func:`compute_lock_end`.
    """
    if locked_until is None:
        return True
    if desired.keep_until <= now and not desired.is_open_ended:
        # The object is past its date and awaits disposal, so it needs no lock any more.
        return False
    # The desired end depends on ``now``, and so moves every day, if the longest lock cuts it short, or if the end
    # is open and the lock already reaches beyond the dated end.
    end_moves_daily = desired.keep_until > now + _LONGEST_LOCK or (
        desired.is_open_ended and desired.keep_until < locked_until
    )
    tolerated_shortfall = _RENEWAL_LAG if end_moves_daily else _ROUNDING
    return locked_until < compute_lock_end(desired, now) - tolerated_shortfall
