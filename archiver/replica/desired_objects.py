"""Computes which content the bucket must have, from which time on, and how long each object must be locked.

New content is held back for a grace period, so that a file saved in the wrong folder is not locked for years.
Content is no longer new when a version with this content is as old as the grace period, or was submitted.

Only :func:`compute_desired_objects` and :func:`find_held_back_files` read the archive, and only
:func:`hold_back_new_content` uses the state of the replica. The other functions are pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from archiver import clock
from archiver.config.bucket_access import LONGEST_GRACE_HOURS
from archiver.model import Submission
from archiver.naming.ref_names import RefName
from archiver.profiles import FLOOR_YEARS
from archiver.replica import object_names
from archiver.replica.known_objects import ReplicaState, ReplicatedObject, UnsentContent
from archiver.replica.sync_result import HeldBackContent
from archiver.retention.policy import RetentionPolicy, compute_period_end, decide_retention
from archiver.store.archive import Archive
from archiver.store.index import overview
from archiver.store.index.queries import Index
from archiver.store.index.restrictions import restricted_content

#: If the desired end of a lock moves every day, the lock is renewed when it is too short by this much. With a
#: lower value, each object costs more requests, which the provider charges for. With a higher value, the guarantee
#: of the bucket falls further below the floor of three years.
_RENEWAL_LAG = timedelta(days=90)
#: If the desired end is fixed, a lock may be too short by this much: servers cut times to whole seconds.
_ROUNDING = timedelta(seconds=2)
#: Servers refuse locks of more than a hundred years (36,525 days). The margin allows for clocks that differ.
_LONGEST_LOCK = timedelta(days=36_000)
#: Servers refuse a lock that ends in the past. A lock of a few seconds could end before the request arrives.
_SHORTEST_LOCK = timedelta(days=1)
_UTC = ZoneInfo("UTC")
#: Each start of the machine adds at most this part of a grace period for the time before the start, which only the
#: wall clock measures. With a larger part, a wrong clock at a start could end the period. With a smaller part, a
#: machine that runs only for minutes at a time would hold content back for weeks.
_CREDIT_PER_BOOT = 1 / 8
#: The compliance clock stands still while the machine is off. A check tolerates that this clock is behind the wall
#: clock by this much. With less, content would be reported as lost after a company's holidays.
_LONGEST_STANDSTILL = timedelta(days=31)


class DesiredObject(NamedTuple):
    """The desired state of an object in the bucket: the required size, lock and legal hold."""

    #: In bytes. 0 for history, whose bundles share one desired state.
    size: int
    #: The dated end of retention: the latest end of all periods that apply.
    keep_until: datetime
    #: True if a condition without a date applies, too: the filing is live, or a version is the present state (the
    #: latest version) of its submission folder.
    is_open_ended: bool
    #: True if a legal hold is in force.
    needs_legal_hold: bool
    #: When the content was captured first, by the compliance clock. None for content of a submitted version and
    #: for history, which have no grace period.
    new_since: datetime | None = None
    #: True if the content is restricted. It is not sent then. A copy in the bucket is not locked again, and is
    #: deleted after the lock and the legal hold have ended.
    is_restricted: bool = False

    @property
    def is_withdrawn(self) -> bool:
        """True if a copy in the bucket must be deleted although the archive keeps the content."""
        return self.is_restricted and not self.needs_legal_hold


class ObjectStates(NamedTuple):
    """The recorded and the desired state of an object in the bucket."""

    key: str
    recorded: ReplicatedObject
    desired: DesiredObject

    def has_short_lock(self, now: datetime) -> bool:
        """Return True if, at the wall time ``now``, a lock must be placed or extended."""
        return not self.desired.is_restricted and is_lock_too_short(self.recorded.locked_until, self.desired, now)

    def must_change_hold(self, *, may_lift: bool) -> bool:
        """Return True if a legal hold must be placed, or if it must be lifted and ``may_lift`` is set."""
        has_hold, needs_hold = self.recorded.has_legal_hold, self.desired.needs_legal_hold
        return has_hold != needs_hold and (needs_hold or may_lift)


class ContentToSend(NamedTuple):
    """A content object to upload."""

    sha256: str
    desired: DesiredObject


class ContentDivision(NamedTuple):
    """The content of the archive, divided by the grace period."""

    #: The content that is in the bucket or may be sent, by SHA-256.
    released: Mapping[str, DesiredObject]
    #: New content that is not in the bucket and may not be sent yet, by key.
    held_back: Mapping[str, UnsentContent]
    #: None if nothing is held back.
    held_back_summary: HeldBackContent | None


class HeldBackFile(NamedTuple):
    """A file whose content the bucket lacks, probably because the content was held back as new."""

    version_tag: RefName
    path: bytes
    sha256: str


class _VersionRetention(NamedTuple):
    """The retention of a version: the fields of :class:`DesiredObject` after ``size``, in the same order."""

    keep_until: datetime
    is_open_ended: bool
    needs_legal_hold: bool
    new_since: datetime | None


def compute_desired_objects(
    index: Index, policy: RetentionPolicy, compliance_time: datetime
) -> dict[str, DesiredObject]:
    """Return the desired state of the content of all versions that are not disposed, by SHA-256.

    The state of content shared by several versions satisfies the retention of each version. Empty files are left
    out, because they have no content object. Restricted content is included, and marked. ``compliance_time`` is
    the present time of the compliance clock, which decides on retention and which nobody can set forward.
    """
    retention_by_submission = _decide_retention_by_submission(index, policy, compliance_time)
    desired_by_sha256: dict[str, DesiredObject] = {}
    for submission, sha256, size, first_version, end_version in overview.content_intervals(index):
        retention_by_number = retention_by_submission[submission]
        # ``end_version`` is the first version without the content, or None if the newest version has the content.
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
    """Return the retention of each version that is not disposed, by submission and then by version number.

    A lookup of a submission without such versions returns an empty dict. ``compliance_time`` is the present time
    of the compliance clock.
    """
    retention_by_submission: defaultdict[Submission, dict[int, _VersionRetention]] = defaultdict(dict)
    for version in index.versions():
        if version.disposed is None:
            decision = decide_retention(version, policy, compliance_time)
            retention_by_submission[version.submission][version.number] = _VersionRetention(
                keep_until=decision.keep_until,
                # A hold does not count: the bucket stores it as a legal hold, which can be lifted, unlike a lock.
                is_open_ended=decision.is_live or decision.is_present_state,
                needs_legal_hold=bool(decision.holds),
                new_since=None if version.submitted else clock.parse_time(version.clock),
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
        new_since=_combine_new_since(combined_so_far.new_since, added.new_since),
    )


def _combine_new_since(first: datetime | None, second: datetime | None) -> datetime | None:
    """Return the earlier time. Return None if either is None: one submitted version ends the grace period."""
    return None if first is None or second is None else min(first, second)


# --- the grace period


def measure_wait(desired: DesiredObject, compliance_time: datetime, recorded_wait: timedelta) -> timedelta | None:
    """Return how long content has waited since its first capture; None if no grace period applies.

    The wait is the longer one of two, because each can be too short. The wait by the compliance clock lacks the
    time between the last event of a boot and the next boot. ``recorded_wait``, the sum that syncs have recorded,
    is 0 if ``replica.db`` is new.
    """
    if desired.new_since is None:
        return None
    return max(compliance_time - desired.new_since, recorded_wait, timedelta(0))


def measure_waiting_gain(
    previous: clock.ClockReading | None, now: clock.ClockReading, grace_period: timedelta
) -> timedelta:
    """Return the time that content waited since the clock reading ``previous``; 0 if that is None."""
    if previous is None:
        return timedelta(0)
    return clock.measure_waiting(previous, now, grace_period * _CREDIT_PER_BOOT)


def hold_back_new_content(
    desired_content: Mapping[str, DesiredObject],
    state: ReplicaState,
    compliance_time: datetime,
    time_reading: clock.ClockReading,
    grace_period: timedelta,
) -> ContentDivision:
    """Divide ``desired_content``, by SHA-256, into content that may be sent and new content to hold back.

    Content with a record in ``state`` is in the bucket already, and is never held back. All other content is
    recorded in ``state`` as unsent, with the time that it has waited, so that ``status`` can count the content
    that should have been sent if the sync fails.
    """
    recorded_objects = state.objects_below(object_names.CONTENT_PREFIX)
    previous_unsent = state.unsent_content()
    waiting_gain = measure_waiting_gain(state.waits_measured_at(), time_reading, grace_period)
    unsent_content: dict[str, UnsentContent] = {}
    for sha256, desired in desired_content.items():
        key = object_names.content_key(sha256)
        if key not in recorded_objects:
            previous_record = previous_unsent.get(key)
            recorded_wait = timedelta(0) if previous_record is None else previous_record.waited + waiting_gain
            waited = measure_wait(desired, compliance_time, recorded_wait)
            # Content without a grace period counts as if it had waited for all of it.
            unsent_content[key] = UnsentContent(desired.size, grace_period if waited is None else waited)
    state.record_unsent(unsent_content, time_reading)
    held_back = {key: content for key, content in unsent_content.items() if content.waited < grace_period}
    return ContentDivision(
        released={
            sha256: desired
            for sha256, desired in desired_content.items()
            if object_names.content_key(sha256) not in held_back
        },
        held_back=held_back,
        held_back_summary=describe_held_back(held_back, grace_period, time_reading.wall),
    )


def describe_held_back(
    held_back_content: Mapping[str, UnsentContent], grace_period: timedelta, now: datetime
) -> HeldBackContent | None:
    """Return a summary of the content held back at the wall time ``now``; None if nothing is held back."""
    if not held_back_content:
        return None
    waits = [content.waited for content in held_back_content.values()]
    return HeldBackContent(
        len(held_back_content),
        sum(content.size for content in held_back_content.values()),
        first_release=now + grace_period - max(waits),
        last_release=now + grace_period - min(waits),
    )


def may_be_held_back(
    desired: DesiredObject, grace_period: timedelta, compliance_time: datetime, wall_time: datetime
) -> bool:
    """Return True if the grace period may be the reason that the bucket lacks a content object.

    Uses no records of syncs. The grace period counts from the first capture, by the compliance clock. That clock
    may stand still, so the answer is also False _LONGEST_STANDSTILL after the period ended by the wall clock.
    """
    if desired.new_since is None:
        return False
    return (
        compliance_time - desired.new_since < grace_period
        and wall_time - desired.new_since < grace_period + _LONGEST_STANDSTILL
    )


def find_held_back_files(archive: Archive, missing_content: Iterable[str]) -> Iterator[HeldBackFile]:
    """Yield the first file of each missing content object that the lost server may have held back.

    ``missing_content`` consists of SHA-256 digests, and the files are in the same order. The bucket does not
    record the server's grace period, so the longest possible one is assumed. Age is measured at the newest event
    in the bucket, since nothing shows when the server was lost.
    """
    newest_event = archive.journal.newest_event()
    if newest_event is None:
        return
    newest_time = clock.parse_evidence(newest_event.clock).compliance_time
    submitted_content = overview.contents_submitted_since(archive.index, 0)
    for sha256 in missing_content:
        capture = overview.first_capture(archive.index, sha256)
        if (
            capture is not None
            and sha256 not in submitted_content
            and newest_time - clock.parse_time(capture.proven_time) < timedelta(hours=LONGEST_GRACE_HOURS)
        ):
            yield HeldBackFile(capture.version_tag, capture.path, sha256)


# --- history and locks


def compute_desired_history_state(desired_content: Mapping[str, DesiredObject], now: datetime) -> DesiredObject:
    """Return the desired state of history: of each bundle, and of the claim, the object that names the archive.

    The end is open, since history is never disposed of. The dated end is the latest of those in
    ``desired_content``, which the history describes, or ``now`` without any content.
    """
    keep_until = max((content.keep_until for content in desired_content.values()), default=now)
    return DesiredObject(0, keep_until, is_open_ended=True, needs_legal_hold=False)


def compute_lock_end(desired: DesiredObject, now: datetime) -> datetime:
    """Return the time until which to lock an object, for a lock that is placed at the wall time ``now``.

    The lock ends at the dated end of ``desired`` or, if the end is open, three years after ``now`` if that is
    later. Servers accept only certain durations, so the lock lasts from _SHORTEST_LOCK to _LONGEST_LOCK. The time
    is rounded up to a whole second. A later sync extends the lock when :func:`is_lock_too_short` returns True.
    """
    locked_until = desired.keep_until
    if desired.is_open_ended:
        locked_until = max(locked_until, compute_period_end(now, FLOOR_YEARS, _UTC))
    locked_until = min(max(locked_until, now + _SHORTEST_LOCK), now + _LONGEST_LOCK)
    # Servers cut the time to whole seconds. With one more second, the lock never ends too early. The server still
    # accepts _LONGEST_LOCK, which is far below the limit.
    return locked_until.replace(microsecond=0) + timedelta(seconds=1)


def is_lock_too_short(locked_until: datetime | None, desired: DesiredObject, now: datetime) -> bool:
    """Return True if a lock that ends at ``locked_until`` (None: no lock) has to be placed or extended.

    Returns False for a lock that was just placed with the end from :func:`compute_lock_end`.
    """
    if locked_until is None:
        return True
    if desired.keep_until <= now and not desired.is_open_ended:
        # Retention has ended and the object awaits disposal, so it no longer needs a lock.
        return False
    # The desired end depends on ``now``, and so moves every day, in two cases: _LONGEST_LOCK limits the lock, or
    # the end is open and the lock already reaches beyond the dated end.
    end_moves_daily = desired.keep_until > now + _LONGEST_LOCK or (
        desired.is_open_ended and desired.keep_until < locked_until
    )
    tolerated_shortfall = _RENEWAL_LAG if end_moves_daily else _ROUNDING
    return locked_until < compute_lock_end(desired, now) - tolerated_shortfall
