"""Keep in ``state.db`` which paths are pending, for ``archiver status``."""

from __future__ import annotations

from archiver import clock
from archiver.intake.pipeline import Pipeline
from archiver.intake.snapshot import SkippedPath, Snapshot

#: The list is for people; with 100,000 pending files it costs too much for every turn of the daemon.
_PERIOD_SECONDS = 0.5
_MAX_LISTED = 1000


class PendingList:
    """Write the oldest pending paths, each with a reason, and remember the written list."""

    def __init__(self, snapshot: Snapshot, pipeline: Pipeline) -> None:
        self._snapshot = snapshot
        self._pipeline = pipeline
        self._written: list[tuple[SkippedPath, str]] = []
        self._next_update = 0.0

    def update_if_due(self) -> None:
        """Write the list if its period is over, or at once if nothing is pending; raises sqlite3.Error."""
        if self._pipeline.is_idle or clock.monotonic() >= self._next_update:
            self.update()

    def update(self) -> None:
        """Write the list if paths or reasons have changed; raises sqlite3.Error."""
        self._pipeline.drop_captured_elsewhere()
        pending = self._pipeline.pending(_MAX_LISTED)
        if [item for item, _ in pending] != [item for item, _ in self._written]:
            self._snapshot.note_pending(pending)
            self._snapshot.set_meta("pending_count", str(self._pipeline.pending_count))
        self._written = pending
        self._next_update = clock.monotonic() + _PERIOD_SECONDS
