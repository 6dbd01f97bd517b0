"""Creates a replica: tests the bucket, claims the prefix, and journals the result."""

from __future__ import annotations

from dataclasses import replace

from archiver import clock
from archiver.config.settings import Config
from archiver.errors import LazyMessage
from archiver.replica.bucket import BucketProblem
from archiver.replica.bucket_settings import BucketSettings, settings_from_url
from archiver.replica.desired_objects import compute_desired_history_state, compute_lock_end
from archiver.replica.existing_objects import claim_prefix
from archiver.replica.known_objects import replica_state_path
from archiver.replica.lock_probe import LockProof, probe_lock
from archiver.replica.s3 import S3Bucket
from archiver.store import sqlite
from archiver.store.archive import Archive
from archiver.store.events.archive_events import ReplicaCreated
from archiver.store.writing.drafts import Draft


def settings_from_options(
    config: Config, url: str, endpoint: str, region: str, style: str, *, uses_object_lock: bool
) -> BucketSettings:
    """Combine the options of ``replica init`` with the configuration.

    An option takes precedence over the configuration, unless the option is empty or, for ``style``, "auto".

    Raises UsageError if ``url`` has another form than ``s3://BUCKET/PREFIX``, or if the endpoint contains a user
    name, a password or a query.
    """
    configured_access = config.replica
    access = replace(
        configured_access,
        endpoint=endpoint or configured_access.endpoint,
        region=region or configured_access.region,
        addressing_style=style if style != "auto" else configured_access.addressing_style,
    )
    return settings_from_url(url, access, uses_object_lock=uses_object_lock)


def create_replica(archive: Archive, settings: BucketSettings, lock_timeout: float) -> LockProof:
    """Test the bucket, claim the prefix, and journal the replica, which replaces an earlier one.

    Returns the outcome of testing the lock. If an error occurs before the event is written, nothing is journalled
    and an earlier replica stays in force. A claim that was already uploaded stays in the bucket, and the next
    attempt uses that claim.

    Raises BucketProblem if the bucket cannot be used, or if ``settings`` relies on object lock but the test found
    a way around the lock. Raises UsageError if the prefix belongs to another archive, ConfigError if boto3 or the
    credentials are missing, StorageError if the process does not run as the archive's owner, and Busy if the
    archive cannot be locked within ``lock_timeout`` seconds.
    """
    archive.check_owner()
    archive.check_writable()
    bucket = S3Bucket(settings)
    lock_proof = probe_lock(bucket)
    if settings.uses_object_lock and lock_proof.broken_promises:
        raise BucketProblem(
            "{url} does not enforce Object Lock: {what}. Nothing was changed. Create a bucket with Object Lock, "
            "or accept this one with --no-lock.",
            url=settings.url,
            what=_join_with_semicolons(lock_proof.broken_promises),
        )
    now = clock.read_clocks().wall
    desired_claim = compute_desired_history_state({}, now)
    claim_lock_end = compute_lock_end(desired_claim, now) if settings.uses_object_lock else None
    claim_prefix(bucket, archive.index.archive_id, claim_lock_end)
    replica_details = ReplicaCreated(
        url=settings.url,
        endpoint=settings.endpoint_url,
        region=settings.region_name,
        style=settings.addressing_style,
        lock=settings.uses_object_lock,
        promises={promise: bool(is_kept) for promise, is_kept in lock_proof.is_kept_by_promise.items()},
    )
    # The objects recorded so far may be those of another bucket. Without records the next sync lists this one.
    # The records are deleted before the event, so that a crash leaves none, and again after the event, because
    # another process may have recorded objects of the old bucket in between.
    sqlite.delete_database(replica_state_path(archive.root))
    with archive.writing(lock_timeout) as writer:
        writer.append(Draft("replica", replica_details))
    sqlite.delete_database(replica_state_path(archive.root))
    return lock_proof


def _join_with_semicolons(phrases: list[LazyMessage]) -> LazyMessage:
    """Return all ``phrases`` (at least one) as a single message, which is translated only when it is displayed."""
    joined_phrase = phrases[0]
    for phrase in phrases[1:]:
        joined_phrase = LazyMessage("{first}; {then}", first=joined_phrase, then=phrase)
    return joined_phrase
