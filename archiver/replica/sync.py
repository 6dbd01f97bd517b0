"""Brings the bucket up to date with the archive: upload, lock, hold, and delete after disposals.

Content is sent before the history that names it. So even after a crash, the bucket has all content that the
history in the bucket names, except for new content, which is held back for a grace period.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from archiver import clock
from archiver.path_existence import is_there
from archiver.replica import object_names
from archiver.replica.bucket import Bucket, RequestForbidden
from archiver.replica.bundles import write_bundle
from archiver.replica.desired_objects import (
    ContentToSend,
    DesiredObject,
    ObjectStates,
    compute_desired_history_state,
    compute_desired_objects,
    compute_lock_end,
    hold_back_new_content,
)
from archiver.replica.existing_objects import (
    claim_prefix,
    has_unrecorded_bundles,
    record_listed_bundles,
    record_listed_content,
)
from archiver.replica.known_objects import ReplicaState, ReplicatedObject
from archiver.replica.object_names import EventSpan
from archiver.replica.parallel_transfers import Progress, run_in_parallel, split_into_batches
from archiver.replica.sync_result import ExtendedLock, LockedContent, SyncResult
from archiver.retention.policy import RetentionPolicy
from archiver.store import lock
from archiver.store.archive import Archive
from archiver.store.index.restrictions import restricted_content

#: Objects between two records of progress. With fewer, replica.db is committed more often. With more, a crash
#: repeats more requests, though no upload: the next sync lists the bucket and finds the objects that arrived.
_BATCH_SIZE = 500
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Replicator:
    """Brings a bucket up to date with an archive. Create a new instance for each :meth:`sync`.

    The caller opens and closes the archive and the state.
    """

    def __init__(
        self,
        archive: Archive,
        bucket: Bucket,
        state: ReplicaState,
        *,
        uses_object_lock: bool,
        thread_count: int,
        grace_period: timedelta = timedelta(0),
        stopping: threading.Event | None = None,
        progress: Progress = lambda _sent, _total: None,
    ) -> None:
        """Prepare a sync of ``archive`` with ``bucket``; ``state`` records the objects known to be there.

        ``uses_object_lock`` is False for a bucket that was accepted without object lock: nothing is locked or held
        there. Objects are transferred on ``thread_count`` threads. New content is held back for ``grace_period``.
        After ``stopping`` is set, no further transfer is begun. ``progress`` is called after each batch with the
        bytes of content handled so far and in total.
        """
        self._archive = archive
        self._bucket = bucket
        self._state = state
        self._uses_object_lock = uses_object_lock
        self._thread_count = thread_count
        self._grace_period = grace_period
        self._stopping = stopping or threading.Event()
        self._progress = progress
        self._result = SyncResult()
        #: True if this sync may lift legal holds and delete content in the bucket.
        self._may_lift_and_delete = False

    def sync(self, policy: RetentionPolicy, lock_timeout: float) -> SyncResult:
        """Send what the bucket lacks, update locks and legal holds, and delete disposed and restricted content.

        Only one process syncs at a time. The progress before an error or a crash stays recorded, and the next sync
        continues from there.

        Raises Busy if another process syncs for longer than ``lock_timeout`` seconds, UsageError if the prefix
        belongs to another archive, SecondWriter if somebody else writes bundles below the prefix, BucketProblem
        for other failures of the bucket, and TransferStopped if the service ends.
        """
        with lock.hold_lock(self._archive.root / "replica.lock", lock_timeout):
            return self._sync_under_lock(policy)

    def _sync_under_lock(self, policy: RetentionPolicy) -> SyncResult:
        """Run all steps of a sync in order. The caller holds the lock on ``replica.lock``.

        A sync that fails leaves the state marked as unfinished, so the next one lists the bucket first.
        """
        index = self._archive.index
        # Read the head before the desired content: later events may name content that this sync does not send.
        journal_head = index.head_commit
        # An event of an unknown kind may be a hold. Nothing is lifted or deleted until a release understands it.
        self._may_lift_and_delete = not index.unread_events()
        time_reading, compliance_time = clock.read_clocks(), self._archive.compliance_time()
        now = time_reading.wall
        desired_content = compute_desired_objects(index, policy, compliance_time)
        if not self._state.has_complete_records() or has_unrecorded_bundles(self._bucket, self._state):
            self._record_listed_objects(now)
        self._state.begin_sync()
        division = hold_back_new_content(
            desired_content, self._state, compliance_time, time_reading, self._grace_period
        )
        self._result.held_back = division.held_back_summary
        self._send_content(division.released, now)
        self._update_content_locks(desired_content, now)
        self._send_history(journal_head, compute_desired_history_state(desired_content, now), now)
        self._delete_disposed_content(desired_content, now)
        self._state.record_unsent(division.held_back, time_reading)
        self._state.finish_sync(clock.read_clocks().wall)
        return self._result

    # --- objects that the bucket already has

    def _record_listed_objects(self, now: datetime) -> None:
        """List the bucket, record the content, and ensure the prefix belongs to this archive.

        Raises UsageError if the prefix belongs to another archive, BucketProblem if the bucket fails, and
        TransferStopped if the service ends.
        """
        record_listed_content(self._bucket, self._state, self._thread_count, self._stopping)
        desired_claim = compute_desired_history_state({}, now)
        claim_lock_end = compute_lock_end(desired_claim, now) if self._uses_object_lock else None
        claim = claim_prefix(self._bucket, self._archive.index.archive_id, claim_lock_end)
        self._state.record_objects([claim])
        self._state.mark_bucket_listed()

    # --- content

    def _send_content(self, desired_content: Mapping[str, DesiredObject], now: datetime) -> None:
        """Upload the content that the bucket lacks or has with another size, and record each batch.

        ``desired_content`` is by SHA-256. Restricted content is not sent. If a crash leaves uploads unrecorded,
        the next sync lists the bucket and does not send them again.
        """
        recorded_objects = self._state.objects_below(object_names.CONTENT_PREFIX)

        def is_sent(sha256: str, expected_size: int) -> bool:
            recorded = recorded_objects.get(object_names.content_key(sha256))
            return recorded is not None and recorded.size == expected_size

        content_to_send = [
            ContentToSend(sha256, desired)
            for sha256, desired in desired_content.items()
            if not desired.is_restricted and not is_sent(sha256, desired.size)
        ]
        total_bytes, handled_bytes = sum(content.desired.size for content in content_to_send), 0
        for unsent_batch in split_into_batches(content_to_send, _BATCH_SIZE):
            # A lock cannot be removed, and the sync may run for hours: content may have become restricted.
            restricted_digests = restricted_content(self._archive.index)
            batch = [content for content in unsent_batch if content.sha256 not in restricted_digests]
            uploads = self._transfer_in_parallel(lambda content: self._upload_content(content, now), batch)
            sent_objects = [
                (object_names.content_key(content.sha256), uploaded)
                for content, uploaded in zip(batch, uploads, strict=True)
                if uploaded is not None
            ]
            self._state.record_objects(sent_objects)
            self._result.sent_count += len(sent_objects)
            self._result.sent_bytes += sum(uploaded.size for _, uploaded in sent_objects)
            handled_bytes += sum(content.desired.size for content in unsent_batch)
            self._progress(handled_bytes, total_bytes)

    def _upload_content(self, content: ContentToSend, now: datetime) -> ReplicatedObject | None:
        """Upload a content object and return its record.

        Returns None if the archive lacks the content, too, and adds the digest to the result's missing content.
        """
        path = self._archive.content.path(content.sha256)
        if not is_there(path):
            # One missing file must not keep the others from being sent. ``verify`` reports it as a finding.
            self._result.missing_content.append(content.sha256)
            return None
        key = object_names.content_key(content.sha256)
        return self._upload_with_lock(key, path, content.sha256, content.desired, now)

    def _upload_with_lock(
        self, key: str, source: Path, sha256: str, desired: DesiredObject, now: datetime
    ) -> ReplicatedObject:
        """Upload a file with the desired lock and hold, and return its record. The caller saves the record."""
        locked_until = compute_lock_end(desired, now) if self._uses_object_lock else None
        version_id = self._bucket.upload(key, source, sha256, locked_until)
        needs_legal_hold = desired.needs_legal_hold and self._uses_object_lock
        if needs_legal_hold:
            self._bucket.set_legal_hold(key, version_id, is_held=True)
        return ReplicatedObject(version_id, source.stat().st_size, locked_until, needs_legal_hold)

    # --- locks and holds

    def _update_content_locks(self, desired_content: Mapping[str, DesiredObject], now: datetime) -> None:
        """Extend the locks of content that would expire too early, and place or lift legal holds.

        ``desired_content`` is by SHA-256. No hold is lifted while the journal has an event of an unknown kind,
        because that event may place a hold.
        """
        if not self._uses_object_lock:
            return
        for batch in split_into_batches(self._find_outdated_content(desired_content, now), _BATCH_SIZE):
            # Records are deleted before the requests. If a record survived a crash and wrongly stated that a hold
            # is in place, the hold would never be placed again.
            self._state.delete_object_records(
                outdated.key
                for outdated in batch
                if outdated.recorded.has_legal_hold
                and outdated.must_change_hold(may_lift=self._may_lift_and_delete)
            )
            self._update_objects(batch, now)

    def _find_outdated_content(
        self, desired_content: Mapping[str, DesiredObject], now: datetime
    ) -> Iterator[ObjectStates]:
        """Yield the recorded content whose lock would expire too early, or whose legal hold must change.

        All records are read before the first object is yielded, so the caller may change records in the loop.
        """
        recorded_objects = self._state.objects_below(object_names.CONTENT_PREFIX)
        for sha256, desired in desired_content.items():
            key = object_names.content_key(sha256)
            if key in recorded_objects:
                states = ObjectStates(key, recorded_objects[key], desired)
                if states.has_short_lock(now) or states.must_change_hold(may_lift=self._may_lift_and_delete):
                    yield states

    def _update_objects(self, outdated_objects: Sequence[ObjectStates], now: datetime) -> None:
        """Bring the locks and holds of all objects to the desired state, then record the objects together."""
        updated_objects = self._transfer_in_parallel(
            lambda outdated: self._update_lock_and_hold(outdated, now), outdated_objects
        )
        keys = (outdated.key for outdated in outdated_objects)
        self._state.record_objects(zip(keys, updated_objects, strict=True))

    def _update_lock_and_hold(self, outdated: ObjectStates, now: datetime) -> ReplicatedObject:
        """Bring lock and hold of an object to the desired state, and return its new record."""
        key, recorded, desired = outdated
        locked_until = recorded.locked_until
        if outdated.has_short_lock(now):
            locked_until = compute_lock_end(desired, now)
            self._bucket.extend_lock(key, recorded.version_id, locked_until)
            self._result.extended_locks.append(ExtendedLock(key, locked_until))
        has_legal_hold = recorded.has_legal_hold
        if outdated.must_change_hold(may_lift=self._may_lift_and_delete):
            has_legal_hold = desired.needs_legal_hold
            self._bucket.set_legal_hold(key, recorded.version_id, is_held=has_legal_hold)
            self._result.changed_holds += 1
        return ReplicatedObject(recorded.version_id, recorded.size, locked_until, has_legal_hold)

    # --- history

    def _send_history(self, journal_head: str | None, desired: DesiredObject, now: datetime) -> None:
        """Upload the events that the bucket lacks as a single git bundle, then renew locks that end too early.

        ``journal_head`` is the journal commit of the last event to send, or None without any event. ``desired`` is
        the desired state of every bundle. Safe to repeat after a crash: a bundle that was uploaded but not
        recorded is recorded first.

        Raises SecondWriter for a bundle of another archive, BucketProblem if the bucket fails. Everything recorded
        by then stays recorded.
        """
        recorded_span = object_names.find_newest_span(self._state.objects_below(object_names.HISTORY_PREFIX))
        newest_span = record_listed_bundles(self._archive, self._bucket, self._state, recorded_span)
        if journal_head is not None and (
            newest_span is None or self._archive.journal.read_event(journal_head).seq > newest_span.last_seq
        ):
            newest_span = self._upload_bundle(newest_span, journal_head, desired, now)
        if newest_span is not None:
            self._state.set_last_sent_event(newest_span.last_seq)
        if self._uses_object_lock:
            self._renew_history_locks(desired, now)

    def _upload_bundle(
        self, newest_span: EventSpan | None, journal_head: str, desired: DesiredObject, now: datetime
    ) -> EventSpan:
        """Upload and record a bundle with the events after ``newest_span`` up to ``journal_head``.

        Returns the span of the bundle. Without a ``newest_span`` the bundle begins with the first event.
        """
        last_sent_commit = newest_span.head_commit if newest_span else None
        with write_bundle(self._archive, last_sent_commit, journal_head) as bundle:
            key = object_names.bundle_key(bundle.span)
            uploaded = self._upload_with_lock(key, bundle.path, bundle.sha256, desired, now)
        self._state.record_objects([(key, uploaded)])
        self._result.sent_bytes += uploaded.size
        return bundle.span

    def _renew_history_locks(self, desired: DesiredObject, now: datetime) -> None:
        """Extend the locks of bundles and of the claim that would expire too early."""
        permanent_objects = self._state.objects_below(object_names.HISTORY_PREFIX)
        permanent_objects |= self._state.objects_below(object_names.CLAIM_KEY)
        states_of_objects = (ObjectStates(key, recorded, desired) for key, recorded in permanent_objects.items())
        self._update_objects([states for states in states_of_objects if states.has_short_lock(now)], now)

    # --- disposal

    def _delete_disposed_content(self, desired_content: Mapping[str, DesiredObject], now: datetime) -> None:
        """Delete from the bucket the content that is restricted or that no version has any more.

        The legal hold of such an object is lifted at once. While the bucket enforces the lock, the object is added
        to the result instead, and the next sync tries again. Restricted content stays if the archive's own copy is
        damaged. Nothing is deleted or lifted while the journal has an event of an unknown kind: it may be a hold.

        The record of an object is deleted first. After a failure or a crash, the next sync lists the bucket and
        records the remaining objects. A leftover record would prevent the upload of content archived again later.
        """
        if not self._may_lift_and_delete:
            return
        for key, recorded in self._state.objects_below(object_names.CONTENT_PREFIX).items():
            sha256 = object_names.parse_content_key(key)
            desired = desired_content.get(sha256) if sha256 is not None else None
            if sha256 is None or (desired is not None and not desired.is_withdrawn):
                continue
            if recorded.has_legal_hold:
                recorded = self._lift_hold(key, recorded)
            if recorded.locked_until is not None and recorded.locked_until > now:
                self._result.still_locked.append(LockedContent(sha256, recorded.locked_until, desired is not None))
                continue
            if desired is not None and not self._archive.content.is_intact(sha256, desired.size):
                # Restricted content stays archived, and this copy may be the last undamaged one.
                continue
            self._state.delete_object_records([key])
            try:
                self._bucket.delete_version(key, recorded.version_id)
            except RequestForbidden:
                # The lock has not ended by the bucket's clock, or somebody extended it.
                self._state.record_objects([(key, recorded)])
                lock_end = recorded.locked_until or now
                self._result.still_locked.append(LockedContent(sha256, lock_end, desired is not None))
                continue
            self._result.deleted_count += 1

    def _lift_hold(self, key: str, recorded: ReplicatedObject) -> ReplicatedObject:
        """Lift the legal hold of a content object; save and return its new record.

        The old record is deleted before the request, for the reason given in :meth:`_delete_disposed_content`.
        """
        self._state.delete_object_records([key])
        self._bucket.set_legal_hold(key, recorded.version_id, is_held=False)
        self._result.changed_holds += 1
        record_without_hold = recorded._replace(has_legal_hold=False)
        self._state.record_objects([(key, record_without_hold)])
        return record_without_hold

    def _transfer_in_parallel(self, transfer: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
        """Call :func:`run_in_parallel` with the number of threads and the stop event of this sync."""
        return run_in_parallel(transfer, items, self._thread_count, self._stopping)
