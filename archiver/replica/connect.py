"""The replica of an archive, as ``replica init`` journalled it and the configuration reaches it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from archiver import clock
from archiver.config.settings import Config
from archiver.errors import NotFound, Phrase
from archiver.replica.bucket import Bucket
from archiver.replica.bucket_settings import Settings, journalled
from archiver.replica.inventory_check import check
from archiver.replica.known_objects import State
from archiver.replica.sync import Progress, Replicator, SyncResult
from archiver.retention.policy import Policy
from archiver.store.archive import Archive
from archiver.store.index import overview
from archiver.verify.findings import VerifyReport

STATE = "replica.db"


@dataclass(frozen=True, slots=True)
class Replica:
    """A bucket, what is known of it, and how it is reached."""

    bucket: Bucket
    state: State
    settings: Settings


def settings_of(archive: Archive, config: Config) -> Settings | None:
    """The settings in force; None without a replica."""
    details: dict[str, Any] | None = archive.index.replica()
    return None if details is None else journalled(details, config.replica)


@contextmanager
def opened(archive: Archive, config: Config) -> Iterator[Replica]:
    """The replica, ready for use; raises NotFound without one, ConfigProblem for what it lacks."""
    settings = settings_of(archive, config)
    if settings is None:
        raise NotFound(
            "This archive has no replica. Nothing was changed. Make one with: archiver replica init --url "
            "s3://BUCKET/PREFIX"
        )
    with reached(archive.root, settings) as replica:
        yield replica


@contextmanager
def reached(root: Path, settings: Settings) -> Iterator[Replica]:
    """The same for settings at hand, on any thread; raises ConfigProblem."""
    from archiver.replica.s3 import S3Bucket

    state = State(root / STATE)
    try:
        yield Replica(S3Bucket(settings), state, settings)
    finally:
        state.close()


@dataclass(frozen=True, slots=True)
class Mirror:
    """What ``status`` tells of the replica; times are RFC 3339, None: never."""

    url: str
    locks: bool
    synced_at: str | None
    materials: int
    bytes: int
    since: str | None

    def as_json(self) -> dict[str, Any]:
        """Its part of ``status --json``."""
        behind = {"materials": self.materials, "bytes": self.bytes, "since": self.since}
        return {"url": self.url, "locks": self.locks, "synced_at": self.synced_at, "behind": behind}

    def late(self, now: datetime, hours: float) -> Phrase | None:
        """What somebody has to look at, if something waits for longer than that."""
        if self.since is None or now - clock.parse(self.since) < timedelta(hours=hours):
            return None
        return Phrase("the replica is behind by more than {hours} hours", hours=f"{hours:g}")


def mirror(archive: Archive, config: Config) -> Mirror | None:
    """The state of the replica, without asking the bucket; None without one."""
    settings = settings_of(archive, config)
    if settings is None:
        return None
    state = State(archive.root / STATE, read_only=True)
    try:
        return Mirror(settings.url, settings.lock, state.meta("synced_at") or None, *lag_of(archive))
    finally:
        state.close()


def lag_of(archive: Archive) -> tuple[int, int, str | None]:
    """Materials and bytes that the bucket does not have yet, and since when (RFC 3339); 0 without a replica."""
    if archive.index.replica() is None:
        return 0, 0, None
    state = State(archive.root / STATE, read_only=True)
    try:
        return overview.behind(archive.index, int(state.meta("seq") or 0))
    finally:
        state.close()


def check_replica(archive: Archive, config: Config, policy: Policy, report: VerifyReport, sample: float) -> None:
    """Add to ``report`` what is not as it should be in the bucket; raises BucketProblem, NotFound."""
    with opened(archive, config) as replica:
        check(
            *(archive, replica.bucket, policy, report),
            has_lock=replica.settings.lock,
            parallel=replica.settings.parallel,
            sample=sample,
        )


def sync_replica(
    archive: Archive,
    replica: Replica,
    policy: Policy,
    wait_seconds: float,
    *,
    stopping: threading.Event | None = None,
    progress: Progress = lambda _done, _total: None,
) -> SyncResult:
    """Bring the bucket up to date with the archive, with the settings of ``replica``.

    Raises what :meth:`Replicator.sync` raises.
    """
    replicator = Replicator(
        archive,
        replica.bucket,
        replica.state,
        has_lock=replica.settings.lock,
        parallel=replica.settings.parallel,
        stopping=stopping,
        progress=progress,
    )
    return replicator.sync(policy, wait_seconds)
