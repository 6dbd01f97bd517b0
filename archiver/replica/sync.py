"""Bringing the bucket up to date with the archive: upload, lock, hold, and delete after disposals.

The order is what makes a crash harmless: content first, then the history that names it. So whatever the history in
the bucket names, the bucket has.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from archiver import clock
from archiver.errors import StorageError
from archiver.path_existence import is_there
from archiver.replica import object_names
from archiver.replica.bucket import Bucket, BucketProblem, RequestForbidden
from archiver.replica.bundles import write_bundle
from archiver.replica.desired_objects import (
    DesiredObject,
    desired_history,
    desired_objects,
    is_lock_too_short,
    lock_end,
)
from archiver.replica.known_objects import ReplicaState, ReplicatedObject
from archiver.replica.object_names import EventSpan
from archiver.replica.parallel_transfers import Progress, run_in_parallel, split_into_batches
from archiver.replica.prefix_claim import claim_prefix
from archiver.replica.sync_result import SyncResult
from archiver.retention.policy import Policy
from archiver.store import lock
from archiver.store.archive import Archive

#: Objects between two records of progress. Fewer: more commits to replica.db. More: a crash repeats more questions
#: to the bucket, though no upload: what arrived is found there again.
_BATCH_SIZE = 500
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class SecondWriter(BucketProblem):
    """Another archive, or another copy of this one, writes below the same prefix."""

    code = "secondwriter"


class Replicator:
    """Makes a bucket equal to an archive, in a single :meth:`sync`.

    The caller closes the archive, the bucket and the state.
    """

    def __init__(
        self,
        archive: Archive,
        bucket: Bucket,
        state: ReplicaState,
        *,
        has_lock: bool,
        thread_count: int,
        stopping: threading.Event | None = None,
        progress: Progress = lambda _sent, _total: None,
    ) -> None:
        self._archive = archive
        self._bucket = bucket
        self._state = state
        self._has_lock = has_lock
        self._thread_count = thread_count
        self._stopping = stopping or threading.Event()
        self._progress = progress
        self._result = SyncResult()
        self._may_release = False

    def sync(self, policy: Policy, lock_timeout: float) -> SyncResult:
        """Send absent content and history, move locks and holds, delete disposed content.

        Only one process syncs at a time. Progress before an error or a crash stays recorded, and the next sync
        goes on from there.

        Raises Busy if another process syncs for longer than ``lock_timeout``, SecondWriter if somebody else writes
        below the prefix, BucketProblem for other failures of the bucket, and TransferStopped if the service ends.
        """
        with lock.hold(self._archive.root / "replica.lock", lock_timeout):
            return self._sync_locked(policy)

    def _sync_locked(self, policy: Policy) -> SyncResult:
        """Do the steps of a sync in their order, while the lock of the process is held.

        A sync that breaks off leaves the state incomplete, so the next one begins with a listing of the bucket.
        """
        index = self._archive.index
        # Read before the content is listed: later events may name content that is not sent in this sync.
        journal_head = index.head
        # An event of an unknown kind may be a hold: until it is understood, nothing is released or deleted.
        self._may_release = not index.unread()
        now = clock.read().wall
        desired = desired_objects(index, policy, self._archive.compliance_time())
        if not self._state.is_complete():
            self._adopt_listed_objects(now)
        self._state.begin_sync()
        self._send_content(desired, now)
        self._update_content_locks(desired, now)
        self._send_history(journal_head, desired_history(desired, now), now)
        self._delete_disposed_content(desired, now)
        self._state.finish_sync(clock.read().wall)
        return self._result

    # --- what the bucket has already

    def _adopt_listed_objects(self, now: datetime) -> None:
        """List the bucket and record the content, to send nothing twice after a crash or a lost state.

        Of several versions the oldest is the archive's own: others could only add later ones. An object with
        another digest than in the key is left out, and so sent again.
        """
        known_keys = set(self._state.objects_below(""))
        unknown_versions = (
            version
            for version in self._bucket.list_versions(object_names.CONTENT_PREFIX)
            if not version.is_delete_marker and version.key not in known_keys
        )
        for batch in split_into_batches(unknown_versions, _BATCH_SIZE):
            oldest_versions = {
                version.key: version for version in reversed(batch) if version.key not in known_keys
            }
            known_keys |= oldest_versions.keys()
            infos = self._in_parallel(
                lambda version: self._bucket.object_info(version.key, version.version_id),
                oldest_versions.values(),
            )
            self._state.record_objects(
                (
                    version.key,
                    ReplicatedObject(version.version_id, version.size, info.locked_until, info.has_legal_hold),
                )
                for version, info in zip(oldest_versions.values(), infos, strict=True)
                if info is not None and info.sha256 == object_names.parse_content_key(version.key)
            )
        claim_lock_end = lock_end(desired_history({}, now), now) if self._has_lock else None
        claim = claim_prefix(self._bucket, self._archive.index.archive_id, claim_lock_end)
        self._state.record_objects([claim])
        self._state.mark_listed()

    # --- content

    def _send_content(self, desired: Mapping[str, DesiredObject], now: datetime) -> None:
        """Upload content absent from the bucket, or there with another size, and record each batch.

        Uploads that a crash leaves unrecorded are found by the listing at the next sync, and not sent again.
        """
        replicated_objects = self._state.objects_below(object_names.CONTENT_PREFIX)

        def is_sent(sha256: str, expected_size: int) -> bool:
            replicated = replicated_objects.get(object_names.content_key(sha256))
            return replicated is not None and replicated.size == expected_size

        unsent_content = [
            (sha256, content) for sha256, content in desired.items() if not is_sent(sha256, content.size)
        ]
        total_bytes, handled_bytes = sum(content.size for _, content in unsent_content), 0
        for batch in split_into_batches(unsent_content, _BATCH_SIZE):
            uploads = self._in_parallel(lambda item: self._upload_content(*item, now), batch)
            sent_objects = [
                (object_names.content_key(sha256), uploaded)
                for (sha256, _), uploaded in zip(batch, uploads, strict=True)
                if uploaded is not None
            ]
            self._state.record_objects(sent_objects)
            self._result.sent_count += len(sent_objects)
            self._result.sent_bytes += sum(uploaded.size for _, uploaded in sent_objects)
            handled_bytes += sum(content.size for _, content in batch)
            self._progress(handled_bytes, total_bytes)

    def _upload_content(self, sha256: str, content: DesiredObject, now: datetime) -> ReplicatedObject | None:
        path = self._archive.content.path(sha256)
        if not is_there(path):
            # One missing file must not keep the others from being sent; verify reports it as a finding.
            self._result.missing_content.append(sha256)
            return None
        return self._upload(object_names.content_key(sha256), path, sha256, content, now)

    def _upload(
        self, key: str, source: Path, sha256: str, desired: DesiredObject, now: datetime
    ) -> ReplicatedObject:
        locked_until = lock_end(desired, now) if self._has_lock else None
        version_id = self._bucket.upload(key, source, sha256, locked_until)
        needs_hold = desired.has_hold and self._has_lock
        if needs_hold:
            self._bucket.set_legal_hold(key, version_id, on=True)
        return ReplicatedObject(version_id, source.stat().st_size, locked_until, needs_hold)

    # --- locks and holds

    def _update_content_locks(self, desired: Mapping[str, DesiredObject], now: datetime) -> None:
        """Extend locks of content that end too early, and place or lift legal holds.

        No hold is lifted while the journal has an event of an unknown kind, which may be a hold.
        """
        if not self._has_lock:
            return
        replicated_objects = self._state.objects_below(object_names.CONTENT_PREFIX)
        desired_by_key = {object_names.content_key(sha256): content for sha256, content in desired.items()}
        outdated_objects = [
            (key, replicated_objects[key], content)
            for key, content in desired_by_key.items()
            if key in replicated_objects
            and (
                is_lock_too_short(replicated_objects[key].locked_until, content, now)
                or self._must_change_hold(replicated_objects[key], content)
            )
        ]
        for batch in split_into_batches(outdated_objects, _BATCH_SIZE):
            self._update_locks(batch, now)

    def _update_locks(self, batch: list[tuple[str, ReplicatedObject, DesiredObject]], now: datetime) -> None:
        updated_objects = self._in_parallel(lambda item: self._update_lock(*item, now), batch)
        self._state.record_objects(zip((key for key, _, _ in batch), updated_objects, strict=True))

    def _update_lock(
        self, key: str, replicated: ReplicatedObject, desired: DesiredObject, now: datetime
    ) -> ReplicatedObject:
        """Bring lock and hold of an object to the desired state, and return the new record."""
        locked_until = replicated.locked_until
        if is_lock_too_short(locked_until, desired, now):
            locked_until = lock_end(desired, now)
            self._bucket.extend_lock(key, replicated.version_id, locked_until)
            self._result.extended_locks.append((key, locked_until))
        has_legal_hold = replicated.has_legal_hold
        if self._must_change_hold(replicated, desired):
            has_legal_hold = desired.has_hold
            self._bucket.set_legal_hold(key, replicated.version_id, on=has_legal_hold)
            self._result.changed_holds += 1
        return ReplicatedObject(replicated.version_id, replicated.size, locked_until, has_legal_hold)

    def _must_change_hold(self, replicated: ReplicatedObject, desired: DesiredObject) -> bool:
        return replicated.has_legal_hold != desired.has_hold and (desired.has_hold or self._may_release)

    # --- history

    def _send_history(self, journal_head: str | None, desired: DesiredObject, now: datetime) -> None:
        """Upload the events absent from the bucket as one git bundle, then renew locks that end too early.

        Safe to repeat after a crash: a bundle that was uploaded but not recorded is adopted first.

        Raises SecondWriter for a bundle that is not this archive's, BucketProblem; what was recorded until then
        stays recorded.
        """
        recorded_bundles = self._state.objects_below(object_names.HISTORY_PREFIX)
        newest_span = self._adopt_unrecorded_bundles(_newest_span(recorded_bundles))
        if journal_head is not None and self._is_bucket_behind(newest_span, journal_head):
            newest_span = self._upload_bundle(newest_span, journal_head, desired, now)
        if newest_span is not None:
            self._state.set_last_sent_event(newest_span.last_seq)
        if self._has_lock:
            permanent_objects = self._state.objects_below(object_names.HISTORY_PREFIX)
            permanent_objects |= self._state.objects_below(object_names.IDENTITY_KEY)
            outdated_objects = [
                (key, replicated, desired)
                for key, replicated in permanent_objects.items()
                if is_lock_too_short(replicated.locked_until, desired, now)
            ]
            self._update_locks(outdated_objects, now)

    def _is_bucket_behind(self, newest_span: EventSpan | None, journal_head: str) -> bool:
        return newest_span is None or self._archive.journal.event(journal_head).seq > newest_span.last_seq

    def _upload_bundle(
        self, newest_span: EventSpan | None, journal_head: str, desired: DesiredObject, now: datetime
    ) -> EventSpan:
        """Upload the events after ``newest_span`` up to ``journal_head``, and record the bundle."""
        last_sent_commit = newest_span.head_commit if newest_span else None
        with write_bundle(self._archive, last_sent_commit, journal_head) as (span, path, sha256):
            uploaded = self._upload(object_names.bundle_key(span), path, sha256, desired, now)
        self._state.record_objects([(object_names.bundle_key(span), uploaded)])
        self._result.sent_bytes += uploaded.size
        return span

    def _adopt_unrecorded_bundles(self, newest_span: EventSpan | None) -> EventSpan | None:
        """Record listed bundles behind ``newest_span``, and return the newest span of all.

        They are this archive's from before a crash, or those of a second writer: then raises SecondWriter.
        """
        listed_after = object_names.bundle_key(newest_span) if newest_span else ""
        for version in self._bucket.list_versions(object_names.HISTORY_PREFIX, listed_after):
            span = object_names.parse_bundle_key(version.key)
            if version.is_delete_marker or self._state.find_object(version.key) is not None:
                continue
            if span is None or not _is_in_journal(self._archive, span):
                raise SecondWriter(
                    "{key} in the bucket was not written by this archive. Nothing was sent and nothing was lost. "
                    "Each archive needs a prefix of its own: look who else writes there, or begin a new one with "
                    "archiver replica init.",
                    key=version.key,
                )
            info = self._bucket.object_info(version.key, version.version_id)
            if info is not None:
                bundle = ReplicatedObject(version.version_id, version.size, info.locked_until, info.has_legal_hold)
                self._state.record_objects([(version.key, bundle)])
                if newest_span is None or span.last_seq > newest_span.last_seq:
                    newest_span = span
        return newest_span

    # --- disposal

    def _delete_disposed_content(self, desired: Mapping[str, DesiredObject], now: datetime) -> None:
        """Delete content that no version needs any more, once its lock has ended.

        Such content was disposed of here. An object whose lock the bucket still enforces is reported instead, and
        tried again by the next sync.
        """
        if not self._may_release:
            return
        deleted_keys = []
        for key, replicated in self._state.objects_below(object_names.CONTENT_PREFIX).items():
            sha256 = object_names.parse_content_key(key)
            if sha256 is None or sha256 in desired:
                continue
            if replicated.has_legal_hold:
                self._bucket.set_legal_hold(key, replicated.version_id, on=False)
            if replicated.locked_until is not None and replicated.locked_until > now:
                self._result.still_locked.append((sha256, replicated.locked_until))
                continue
            try:
                self._bucket.delete_version(key, replicated.version_id)
            except RequestForbidden:
                # By the bucket's own clock the lock has not ended, or somebody extended it.
                self._result.still_locked.append((sha256, replicated.locked_until or now))
                continue
            deleted_keys.append(key)
        self._state.forget_objects(deleted_keys)
        self._result.deleted_count += len(deleted_keys)

    def _in_parallel(self, transfer: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
        return run_in_parallel(transfer, items, self._thread_count, self._stopping)


def _newest_span(bundles: Mapping[str, ReplicatedObject]) -> EventSpan | None:
    spans = [span for key in bundles if (span := object_names.parse_bundle_key(key)) is not None]
    return max(spans, key=lambda span: span.last_seq, default=None)


def _is_in_journal(archive: Archive, span: EventSpan) -> bool:
    try:
        return archive.journal.event(span.head_commit).seq == span.last_seq
    except StorageError:
        # The archive has no such commit, so the bundle is not one of its own.
        return False
