"""Measures how far the bucket is behind the archive, from local records alone: the bucket gets no request."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from archiver import clock
from archiver.config.settings import Config
from archiver.errors import LazyMessage
from archiver.replica import object_names
from archiver.replica.bucket_settings import read_replica_settings
from archiver.replica.desired_objects import describe_held_back, measure_waiting_gain
from archiver.replica.known_objects import ReplicaState, UnsentContent, open_state
from archiver.replica.sync_result import HeldBackContent, held_back_to_json
from archiver.store.archive import Archive
from archiver.store.index import overview


class ReplicationLag(NamedTuple):
    """The part of the archive missing from the bucket."""

    #: Materials added or modified in versions whose events were not sent, plus the overdue content objects: those
    #: that are still unsent although the grace period has ended.
    material_count: int = 0
    #: Bytes of the new content in these versions, plus bytes of the overdue content objects.
    byte_count: int = 0
    #: The earliest time (RFC 3339) since which a version or a content object has been waiting. A version waits
    #: from its capture; content waits from its submission or the end of its grace period. None: nothing waits.
    waiting_since: str | None = None
    #: New content that the bucket lacks only because of the grace period. None: nothing is held back.
    held_back: HeldBackContent | None = None


class ReplicaStatus(NamedTuple):
    """The section of ``archiver status`` about the replica."""

    #: In the form s3://BUCKET/PREFIX.
    url: str
    #: False for a bucket that was accepted without object lock.
    uses_object_lock: bool
    #: When a sync last completed (RFC 3339). None: never.
    synced_at: str | None
    lag: ReplicationLag

    def as_json(self) -> dict[str, Any]:
        """Return the member "replica" in the JSON output of ``archiver status``."""
        lag_document = {
            "materials": self.lag.material_count,
            "bytes": self.lag.byte_count,
            "since": self.lag.waiting_since,
        }
        return {
            "url": self.url,
            "locks": self.uses_object_lock,
            "synced_at": self.synced_at,
            "behind": lag_document,
            "held_back": held_back_to_json(self.lag.held_back),
        }

    def overdue_problem(self, now: datetime, alert_hours: float) -> LazyMessage | None:
        """Return a message for users if something has waited for ``alert_hours`` or longer, otherwise None."""
        waiting_since = self.lag.waiting_since
        if waiting_since is None or now - clock.parse_time(waiting_since) < timedelta(hours=alert_hours):
            return None
        problem = LazyMessage.define("the replica is more than {hours} h behind", code="status.replica-behind")
        return problem.with_fields(hours=f"{alert_hours:g}")


def read_replica_status(archive: Archive, config: Config) -> ReplicaStatus | None:
    """Return the status of the replica, or None for an archive without a replica.

    Only reads ``replica.db``. If the file is missing or damaged, or belongs to another bucket or another history,
    everything counts as unsent.
    """
    settings = read_replica_settings(archive, config)
    if settings is None:
        return None
    state = open_state(archive, settings, read_only=True)
    try:
        return ReplicaStatus(
            settings.url, settings.uses_object_lock, state.last_sync_time(), _measure_lag(archive, config, state)
        )
    finally:
        state.close()


def read_replication_lag(archive: Archive, config: Config) -> ReplicationLag:
    """Return how far the bucket is behind the archive, as :func:`read_replica_status` does.

    For an archive without a replica, the lag is empty.
    """
    replica_status = read_replica_status(archive, config)
    return ReplicationLag() if replica_status is None else replica_status.lag


def _measure_lag(archive: Archive, config: Config, state: ReplicaState) -> ReplicationLag:
    """Compute the lag from the versions after the newest event in the bucket, and from recorded unsent content."""
    grace_period = timedelta(hours=config.replica.grace_hours)
    last_sent_event = state.last_sent_event()
    material_count, new_bytes, first_captured_at = overview.additions_since(archive.index, last_sent_event)
    time_reading = clock.read_clocks()
    waiting_gain = measure_waiting_gain(state.waits_measured_at(), time_reading, grace_period)
    # A submission ends the grace period of its content. The last sync did not know about these submissions yet.
    submitted_at = {
        object_names.content_key(sha256): at
        for sha256, at in overview.contents_submitted_since(archive.index, last_sent_event).items()
    }
    waiting_since = [first_captured_at] if first_captured_at else []
    held_back: dict[str, UnsentContent] = {}
    for key, unsent in state.unsent_content().items():
        content = unsent._replace(waited=unsent.waited + waiting_gain)
        if key not in submitted_at and content.waited < grace_period:
            held_back[key] = content
            continue
        material_count += 1
        new_bytes += content.size
        waiting_since.append(
            submitted_at.get(key) or clock.format_time(time_reading.wall - (content.waited - grace_period))
        )
    return ReplicationLag(
        material_count,
        new_bytes,
        min(waiting_since, default=None),
        describe_held_back(held_back, grace_period, time_reading.wall),
    )
