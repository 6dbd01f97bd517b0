"""Opens the replica of an archive: the journal names the bucket, and the configuration gives access to it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from archiver.config.settings import Config
from archiver.errors import NotFoundError
from archiver.replica.bucket import Bucket
from archiver.replica.bucket_settings import BucketSettings, read_replica_settings
from archiver.replica.inventory_check import check_inventory
from archiver.replica.known_objects import ReplicaState, open_state
from archiver.replica.parallel_transfers import Progress
from archiver.replica.sync import Replicator
from archiver.replica.sync_result import SyncResult
from archiver.retention.policy import RetentionPolicy
from archiver.store.archive import Archive
from archiver.verify.findings import VerifyReport


@dataclass(frozen=True, slots=True)
class Replica:
    """An opened replica, which :func:`open_replica` closes."""

    bucket: Bucket
    #: The objects known to be in the bucket.
    state: ReplicaState
    settings: BucketSettings
    #: How long new content is held back.
    grace_period: timedelta


@contextmanager
def open_replica(archive: Archive, config: Config) -> Iterator[Replica]:
    """Open the replica of ``archive``, and close its state at the end of the block.

    Nothing is sent to the bucket yet. ``replica.db`` is created if the file is missing.

    Raises NotFoundError for an archive without a replica, and ConfigError if boto3 is not installed or the
    credentials file cannot be used.
    """
    settings = read_replica_settings(archive, config)
    if settings is None:
        raise NotFoundError(
            "This archive has no replica. Nothing was changed. To create one, run: archiver replica init --url "
            "s3://BUCKET/PREFIX"
        )
    # Importing boto3 takes longer than most commands, and only the replica needs it.
    from archiver.replica.s3 import S3Bucket

    state = open_state(archive, settings)
    try:
        yield Replica(S3Bucket(settings), state, settings, timedelta(hours=config.replica.grace_hours))
    finally:
        state.close()


def sync_replica(
    archive: Archive,
    replica: Replica,
    policy: RetentionPolicy,
    lock_timeout: float,
    *,
    ends_grace_period: bool = False,
    stopping: threading.Event | None = None,
    progress: Progress = lambda _sent, _total: None,
) -> SyncResult:
    """Bring the bucket up to date with the archive, with the settings of ``replica``.

    With ``ends_grace_period``, new content is not held back. Waits up to ``lock_timeout`` seconds for another sync
    to end. After ``stopping`` is set, no further transfer is begun. ``progress`` is called in the caller's thread,
    after each batch, with the bytes of content handled so far and in total.

    Raises the errors of :meth:`Replicator.sync`.
    """
    replicator = Replicator(
        archive,
        replica.bucket,
        replica.state,
        uses_object_lock=replica.settings.uses_object_lock,
        thread_count=replica.settings.thread_count,
        grace_period=timedelta(0) if ends_grace_period else replica.grace_period,
        stopping=stopping,
        progress=progress,
    )
    return replicator.sync(policy, lock_timeout)


def check_replica(
    archive: Archive, config: Config, policy: RetentionPolicy, report: VerifyReport, sample_percent: float
) -> None:
    """Add a finding to ``report`` for each difference between the bucket and the archive.

    ``sample_percent`` (0 to 100) of the content objects, chosen at random, are downloaded and hashed as well.

    Raises NotFoundError for an archive without a replica, ConfigError if boto3 or the credentials are missing, and
    BucketProblem if the bucket does not answer a request.
    """
    with open_replica(archive, config) as replica:
        check_inventory(
            archive,
            replica.bucket,
            policy,
            report,
            uses_object_lock=replica.settings.uses_object_lock,
            thread_count=replica.settings.thread_count,
            grace_period=replica.grace_period,
            sample_percent=sample_percent,
        )
