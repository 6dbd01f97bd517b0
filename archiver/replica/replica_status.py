"""How far the bucket is behind the archive, from local records alone: no request is sent to the bucket."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from archiver import clock
from archiver.config.settings import Config
from archiver.errors import LazyMessage
from archiver.replica.bucket_settings import read_replica_settings
from archiver.replica.known_objects import ReplicaState, replica_state_path
from archiver.store.archive import Archive
from archiver.store.index import overview


@dataclass(frozen=True, slots=True)
class ReplicationLag:
    """The part of the archive that is not in the bucket yet."""

    #: Added and modified materials of the versions whose events were not sent.
    material_count: int = 0
    #: Bytes of new content in these versions.
    byte_count: int = 0
    #: When the oldest of these versions was captured (RFC 3339). None: the bucket has every version.
    waiting_since: str | None = None


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """The section of ``archiver status`` about the replica."""

    #: In the form s3://BUCKET/PREFIX.
    url: str
    #: False for a bucket that was accepted without object lock.
    uses_object_lock: bool
    #: When a sync last sent everything (RFC 3339). None: never.
    synced_at: str | None
    lag: ReplicationLag

    def as_json(self) -> dict[str, Any]:
        """Return the member "replica" of ``archiver status --json``, with values fit for JSON."""
        behind = {
            "materials": self.lag.material_count,
            "bytes": self.lag.byte_count,
            "since": self.lag.waiting_since,
        }
        return {"url": self.url, "locks": self.uses_object_lock, "synced_at": self.synced_at, "behind": behind}

    def overdue_problem(self, now: datetime, alert_hours: float) -> LazyMessage | None:
        """Return a message for users if a version has waited for ``alert_hours`` or longer, otherwise None."""
        waiting_since = self.lag.waiting_since
        if waiting_since is None or now - clock.parse_time(waiting_since) < timedelta(hours=alert_hours):
            return None
        problem = LazyMessage.define("the replica is more than {hours} h behind", code="status.replica-behind")
        return problem.with_fields(hours=f"{alert_hours:g}")


def read_replica_status(archive: Archive, config: Config) -> ReplicaStatus | None:
    """Return the status of the replica, or None for an archive without a replica.

    Creates no ``replica.db``. If it is missing or damaged, everything counts as not sent.
    """
    settings = read_replica_settings(archive, config)
    if settings is None:
        return None
    state = ReplicaState(replica_state_path(archive.root), read_only=True)
    try:
        return ReplicaStatus(
            settings.url, settings.uses_object_lock, state.last_sync_time(), _measure_lag(archive, state)
        )
    finally:
        state.close()


def read_replication_lag(archive: Archive) -> ReplicationLag:
    """Return how far the bucket is behind. An archive without a replica has no lag.

    Creates no ``replica.db``. If it is missing or damaged, everything counts as not sent.
    """
    if archive.index.current_replica() is None:
        return ReplicationLag()
    state = ReplicaState(replica_state_path(archive.root), read_only=True)
    try:
        return _measure_lag(archive, state)
    finally:
        state.close()


def _measure_lag(archive: Archive, state: ReplicaState) -> ReplicationLag:
    """Return the lag after the newest event that was sent."""
    material_count, new_bytes, first_captured_at = overview.additions_since(archive.index, state.last_sent_event())
    return ReplicationLag(material_count, new_bytes, first_captured_at)
