"""One run: bring the bucket up to the archive, then let leave the disk what may live there alone."""

from __future__ import annotations

import threading

from archiver.config import Config
from archiver.replica.cache import evict
from archiver.replica.opened import Replica
from archiver.replica.sync import Outcome, Progress, Replicator
from archiver.retention.policy import Policy
from archiver.store.archive import Archive


def replicate(
    archive: Archive,
    replica: Replica,
    config: Config,
    policy: Policy,
    wait_seconds: float,
    *,
    stopping: threading.Event | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Outcome:
    """As :meth:`Replicator.sync`, and raises the same."""
    done = Replicator(
        archive,
        replica.bucket,
        replica.state,
        has_lock=replica.settings.lock,
        parallel=replica.settings.parallel,
        stopping=stopping,
        progress=progress,
    ).sync(policy, wait_seconds)
    if config.store.is_cache:
        evict(archive, replica, config.store.cache_gb)
    return done
