"""The lag of the bucket behind the archive, from local records: the bucket itself is not asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from archiver import clock
from archiver.config.settings import Config
from archiver.errors import LazyMessage
from archiver.replica.connect import replica_settings
from archiver.replica.known_objects import ReplicaState, state_path
from archiver.store.archive import Archive
from archiver.store.index import overview


@dataclass(frozen=True, slots=True)
class ReplicationLag:
    """Materials and bytes not in the bucket yet."""

    material_count: int = 0
    byte_count: int = 0
    #: When the oldest of it was captured (RFC 3339); None: the bucket has everything.
    waiting_since: str | None = None


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """The part of ``status`` about the replica."""

    url: str
    has_lock: bool
    #: When a sync last sent everything (RFC 3339); None: never.
    synced_at: str | None
    lag: ReplicationLag

    def as_json(self) -> dict[str, Any]:
        """Return the member "replica" of ``status --json``."""
        behind = {
            "materials": self.lag.material_count,
            "bytes": self.lag.byte_count,
            "since": self.lag.waiting_since,
        }
        return {"url": self.url, "locks": self.has_lock, "synced_at": self.synced_at, "behind": behind}

    def overdue_problem(self, now: datetime, alert_hours: float) -> LazyMessage | None:
        """Return a problem for people if something waits for longer than ``alert_hours``."""
        waiting_since = self.lag.waiting_since
        if waiting_since is None or now - clock.parse(waiting_since) < timedelta(hours=alert_hours):
            return None
        problem = LazyMessage.define(
            "the replica is behind by more than {hours} hours", code="status.replica-behind"
        )
        return problem.with_fields(hours=f"{alert_hours:g}")


def read_replica_status(archive: Archive, config: Config) -> ReplicaStatus | None:
    """Return the state of the replica, None for an archive without replica."""
    settings = replica_settings(archive, config)
    if settings is None:
        return None
    state = ReplicaState(state_path(archive.root), read_only=True)
    try:
        return ReplicaStatus(settings.url, settings.has_lock, state.last_sync_time(), _lag_behind(archive, state))
    finally:
        state.close()


def read_replication_lag(archive: Archive) -> ReplicationLag:
    """Return the lag of the bucket; no lag for an archive without a replica."""
    if archive.index.replica() is None:
        return ReplicationLag()
    state = ReplicaState(state_path(archive.root), read_only=True)
    try:
        return _lag_behind(archive, state)
    finally:
        state.close()


def _lag_behind(archive: Archive, state: ReplicaState) -> ReplicationLag:
    return ReplicationLag(*overview.additions_since(archive.index, state.last_sent_event()))
