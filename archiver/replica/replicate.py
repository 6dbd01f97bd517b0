"""Bring the bucket up to the archive, with the settings of one run."""

from __future__ import annotations

import threading

from archiver.replica.connect import Replica
from archiver.replica.sync import Progress, Replicator, SyncResult
from archiver.retention.policy import Policy
from archiver.store.archive import Archive


def replicate(
    archive: Archive,
    replica: Replica,
    policy: Policy,
    wait_seconds: float,
    *,
    stopping: threading.Event | None = None,
    progress: Progress = lambda _done, _total: None,
) -> SyncResult:
    """As :meth:`Replicator.sync`, and raises the same."""
    return Replicator(
        archive,
        replica.bucket,
        replica.state,
        has_lock=replica.settings.lock,
        parallel=replica.settings.parallel,
        stopping=stopping,
        progress=progress,
    ).sync(policy, wait_seconds)
