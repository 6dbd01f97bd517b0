"""Which content the bucket must have, from when, and how long each object must be locked.

New content is held back for a grace period, so that a file saved in the wrong folder is not locked for years.
Content is new until one of the versions that have it is as old as the grace period, or was submitted.

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
from archiver.profiles import FLOOR_YEARS
from archiver.replica import object_names
from archiver.replica.known_objects import ReplicaState, ReplicatedObject, UnsentContent
from archiver.replica.sync_result import HeldBackContent
from archiver.retention.policy import RetentionPolicy, compute_period_end, decide_retention
from archiver.store.archive import Archive
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
#: The part of a grace period that each start of the machine may add for the time before the start, which only the
#: wall clock measures. More, and a wrong clock at a start would end the period. Less, and a machine that runs for
#: minutes only would hold its content back for weeks.
_CREDIT_PER_BOOT = 1 / 8
#: How far the compliance clock may be behind the wall clock before a check stops to believe that content is held
#: back: it stands still while the machine is off. Less, and a company's holidays would look like lost content.
_LONGEST_STANDSTILL = timedelta(days=31)


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
    #: When the content was captured first, by the compliance clock. None if no grace period applies: to content of
    #: a submitted version, and to history.
    new_since: datetime | None = None
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


class ContentToSend(NamedTuple):
    """A content object to upload."""

    sha256: str
    desired: DesiredObject


class ContentDivision(NamedTuple):
    """The content of the archive, as a sync treats it."""

    #: By SHA-256: in the bucket, or to be sent.
    released: Mapping[str, DesiredObject]
    #: By key: new content that is not in the bucket.
    held_back: Mapping[str, UnsentContent]
    #: None if nothing is held back.
    held_back_summary: HeldBackContent | None


class HeldBackFile(NamedTuple):
    """A file without content in the bucket, possibly held back as new."""

    version_tag: str
    path: bytes
    sha256: str


class _VersionRetention(NamedTuple):
    """The retention of a version, with the fields of a :class:`DesiredObject`."""

    keep_until: datetime
    is_open_ended: bool
    needs_legal_hold: bool
    new_since: datetime | None


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
    """Return the earlier time, or None if either is None: a submission of one version is enough."""
    return None if first is None or second is None else min(first, second)


# --- the grace period


def measure_wait(desired: DesiredObject, compliance_time: datetime, recorded_wait: timedelta) -> timedelta | None:
    """Return how much of its grace period content has waited; None if no grace period applies.

    Two clocks count, and the longer time is taken. The compliance clock stands still between the last event of a
    boot and the next boot. ``recorded_wait``, the time that syncs have added up, does not; but it is 0 if
    ``replica.db`` is new.
    """
    if desired.new_since is None:
        return None
    return max(compliance_time - desired.new_since, recorded_wait, timedelta(0))


def measure_waiting_gain(
    previous: clock.ClockReading | None, now: clock.ClockReading, grace_period: timedelta
) -> timedelta:
    """Return the time that content waited since the reading ``previous``; 0 without one."""
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
    """Divide ``desired_content``, by SHA-256, into content that may be in the bucket and new content.

    Content with a record in ``state`` is in the bucket already, and so never held back. Records in ``state`` all
    content without one, and how long it has waited: after a failure, ``status`` counts what should have been sent.
    """
    recorded_objects = state.objects_below(object_names.CONTENT_PREFIX)
    unsent_before = state.unsent_content()
    gain = measure_waiting_gain(state.waits_measured_at(), time_reading, grace_period)
    unsent_content: dict[str, UnsentContent] = {}
    for sha256, desired in desired_content.items():
        key = object_names.content_key(sha256)
        if key not in recorded_objects:
            before = unsent_before.get(key)
            waited_until_now = before.waited + gain if before is not None else timedelta(0)
            waited = measure_wait(desired, compliance_time, waited_until_now)
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
    """Return a summary of the content held back at the wall time ``now``; None if there is none."""
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
    """Return True if the bucket may lack content because of the grace period, without records of any sync.

    The period counts from the capture on the compliance clock. While that clock stands still, this trusts the wall
    clock after _LONGEST_STANDSTILL, so that missing content is not excused forever.
    """
    if desired.new_since is None:
        return False
    return (
        compliance_time - desired.new_since < grace_period
        and wall_time - desired.new_since < grace_period + _LONGEST_STANDSTILL
    )


def find_held_back_files(archive: Archive, missing_content: Iterable[str]) -> Iterator[HeldBackFile]:
    """Yield a file of each missing content that the lost server may have held back, in the order of the digests.

    The bucket does not tell how long the server's grace period was, so this assumes the longest one. It counts up
    to the newest event in the bucket, since nothing shows when the server was lost.
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
