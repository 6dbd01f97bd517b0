"""Finds the objects that the bucket already has: the claim of the prefix, and the uploads of earlier syncs.

Two archives below one prefix would mix their history, so the prefix is claimed before anything is sent.

An upload and its record in ``replica.db`` are two steps. After a crash between them, or a loss of the database,
the objects in the bucket are listed and recorded, so that the sync sends nothing twice.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from archiver.errors import StorageError, UsageError
from archiver.replica import object_names
from archiver.replica.bucket import Bucket, BucketProblem, ObjectInfo, ObjectMissing, ObjectVersion
from archiver.replica.known_objects import ReplicaState, ReplicatedObject
from archiver.replica.object_names import CLAIM_KEY, EventSpan
from archiver.replica.parallel_transfers import run_in_parallel, split_into_batches
from archiver.store.archive import Archive

#: The version of the claim's JSON.
_CLAIM_FORMAT = 1
#: A larger claim is not downloaded. With a higher limit, anybody with access to the bucket could fill the memory.
#: With a lower limit, a claim of a later release may be too large. Today's claims have a tenth of this size.
_LARGEST_CLAIM = 1024
#: The most characters of another archive's id that a message shows. A real id is shorter, but the object may have
#: been written by anybody.
_MAX_OWNER_LENGTH = 40
#: Versions between two commits of replica.db. With fewer, commits take longer. With more, more requests must be
#: repeated after a crash.
_BATCH_SIZE = 500
#: Stands for the archive id of an object that has the key of a claim but is not a claim.
_UNKNOWN_OWNER = "?"


class SecondWriter(BucketProblem):
    """Another archive, or another copy of this one, writes below the same prefix."""

    code = "secondwriter"


# --- the claim


def claim_prefix(bucket: Bucket, archive_id: str, locked_until: datetime | None) -> tuple[str, ReplicatedObject]:
    """Claim the prefix for this archive, or check the claim that the prefix already has.

    A claim is an object that contains the id of an archive. If a claim exists, the oldest version decides, since
    anybody with access to the bucket can add later ones. Otherwise a claim is uploaded, and locked through
    ``locked_until`` unless that is None. Returns the key of the claim, and the record of the version that decides.

    Raises UsageError if the prefix belongs to another archive, BucketProblem if the bucket cannot be used.
    """
    claim_versions = [
        version
        for version in bucket.list_versions(CLAIM_KEY)
        if version.key == CLAIM_KEY and not version.is_delete_marker
    ]
    for version in sorted(claim_versions, key=lambda version: version.modified_at):
        claim_info = bucket.object_info(version.key, version.version_id)
        owner_id = _read_owner_id(bucket, version, claim_info) if claim_info is not None else None
        if claim_info is None or owner_id is None:  # deleted since it was listed
            continue
        if owner_id != archive_id:
            raise UsageError(
                "The prefix belongs to another archive ({owner}). Nothing was changed. Choose a separate prefix "
                "for this archive.",
                owner=owner_id[:_MAX_OWNER_LENGTH],
            )
        return version.key, ReplicatedObject(
            version.version_id, claim_info.size, claim_info.locked_until, claim_info.has_legal_hold
        )
    return CLAIM_KEY, _upload_claim(bucket, archive_id, locked_until)


def _upload_claim(bucket: Bucket, archive_id: str, locked_until: datetime | None) -> ReplicatedObject:
    """Upload a claim with ``archive_id``, and return the record of the object, for the caller to save."""
    claim_bytes = json.dumps({"format": _CLAIM_FORMAT, "archive": archive_id}).encode("ascii")
    with TemporaryDirectory() as folder:
        claim_path = Path(folder) / CLAIM_KEY
        claim_path.write_bytes(claim_bytes)
        version_id = bucket.upload(CLAIM_KEY, claim_path, hashlib.sha256(claim_bytes).hexdigest(), locked_until)
    return ReplicatedObject(version_id, len(claim_bytes), locked_until, has_legal_hold=False)


def _read_owner_id(bucket: Bucket, version: ObjectVersion, claim_info: ObjectInfo) -> str | None:
    """Return the archive id in a version of the claim, or _UNKNOWN_OWNER if the version is not a claim.

    Returns None if the version was deleted since it was listed. Raises BucketProblem if the download fails.
    """
    if claim_info.size > _LARGEST_CLAIM:
        return _UNKNOWN_OWNER
    try:
        return str(json.loads(b"".join(bucket.download(version.key, version.version_id)))["archive"])
    except ObjectMissing:  # deleted since it was listed
        return None
    except (ValueError, KeyError, TypeError, RecursionError):
        # The object is not a claim. Somebody else wrote it, so the prefix is in use.
        return _UNKNOWN_OWNER


# --- uploads of earlier syncs


def record_listed_content(
    bucket: Bucket, state: ReplicaState, thread_count: int, stopping: threading.Event
) -> None:
    """List the content objects in the bucket, and bring the records in ``state`` up to date with the listing.

    Objects without a record are recorded, and records of objects that are no longer in the bucket are deleted. The
    oldest version of an object is the archive's own, as other users can only add later versions. An object whose
    digest is not the one in its key is not recorded, so that the sync sends the content again.

    Raises BucketProblem if the bucket fails, and TransferStopped after ``stopping`` is set. All earlier batches
    stay recorded.
    """
    recorded_objects = state.objects_below(object_names.CONTENT_PREFIX)
    handled_keys = set(recorded_objects)
    absent_keys = set(recorded_objects)

    def list_unrecorded_versions() -> Iterator[ObjectVersion]:
        """Yield the versions of objects without a record. Remove the recorded versions from ``absent_keys``."""
        for version in bucket.list_versions(object_names.CONTENT_PREFIX):
            if version.is_delete_marker:
                continue
            recorded = recorded_objects.get(version.key)
            if recorded is not None and recorded.version_id == version.version_id:
                absent_keys.discard(version.key)
            if version.key not in handled_keys:
                yield version

    def request_info(version: ObjectVersion) -> ObjectInfo | None:
        """Request the properties of a listed version."""
        return bucket.object_info(version.key, version.version_id)

    for batch in split_into_batches(list_unrecorded_versions(), _BATCH_SIZE):
        # A listing has the oldest version of a key first. In the reversed batch, the oldest version comes last and
        # so replaces the others in the dict.
        oldest_versions = {version.key: version for version in reversed(batch) if version.key not in handled_keys}
        handled_keys |= oldest_versions.keys()
        object_infos = run_in_parallel(request_info, oldest_versions.values(), thread_count, stopping)
        state.record_objects(
            (version.key, _build_record(version, info))
            for version, info in zip(oldest_versions.values(), object_infos, strict=True)
            if info is not None and info.sha256 == object_names.parse_content_key(version.key)
        )
    # These versions were deleted by somebody else, or by an earlier release that did not record the deletion.
    # Without a record, the sync sends the content again.
    state.delete_object_records(absent_keys)


def has_unrecorded_bundles(bucket: Bucket, state: ReplicaState) -> bool:
    """Return True if the bucket has an unrecorded bundle that comes after the newest recorded bundle.

    Then a sync crashed, or ``replica.db`` was replaced by an older copy, so other records may be wrong, too.
    Raises BucketProblem if the bucket fails.
    """
    newest_span = object_names.find_newest_span(state.objects_below(object_names.HISTORY_PREFIX))
    newest_recorded_key = object_names.bundle_key(newest_span) if newest_span else ""
    return any(
        not version.is_delete_marker and state.find_object(version.key) is None
        for version in bucket.list_versions(object_names.HISTORY_PREFIX, newest_recorded_key)
    )


def record_listed_bundles(
    archive: Archive, bucket: Bucket, state: ReplicaState, newest_span: EventSpan | None
) -> EventSpan | None:
    """Record in ``state`` the bundles that the bucket lists after the newest recorded bundle.

    ``newest_span`` is the span of events of that bundle, or None if no bundle is recorded. Returns the span of the
    newest bundle after this call, or None if the bucket has no bundle.

    Raises SecondWriter for a bundle that does not belong to the journal of ``archive``, and BucketProblem if the
    bucket fails. Bundles recorded by then stay recorded.
    """
    newest_recorded_key = object_names.bundle_key(newest_span) if newest_span else ""
    for version in bucket.list_versions(object_names.HISTORY_PREFIX, newest_recorded_key):
        span = object_names.parse_bundle_key(version.key)
        if version.is_delete_marker or state.find_object(version.key) is not None:
            continue
        if span is None or not _is_in_journal(archive, span):
            raise SecondWriter(
                "{key} in the bucket was not written by this archive. No archived data was lost. Each archive "
                "needs a separate prefix: find the other writer, or choose a new prefix with: archiver replica "
                "init",
                key=version.key,
            )
        bundle_info = bucket.object_info(version.key, version.version_id)
        if bundle_info is not None:
            state.record_objects([(version.key, _build_record(version, bundle_info))])
            if newest_span is None or span.last_seq > newest_span.last_seq:
                newest_span = span
    return newest_span


def _build_record(version: ObjectVersion, info: ObjectInfo) -> ReplicatedObject:
    """Build the record of a listed version, with the lock and the legal hold from ``info``."""
    return ReplicatedObject(version.version_id, version.size, info.locked_until, info.has_legal_hold)


def _is_in_journal(archive: Archive, span: EventSpan) -> bool:
    """Return True if the last event of ``span`` is in the archive's journal, with the same number."""
    try:
        return archive.journal.read_event(span.head_commit).seq == span.last_seq
    except StorageError:
        # The archive does not have the commit, so the bundle belongs to another archive.
        return False
