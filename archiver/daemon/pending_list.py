"""Keep a list of the pending paths in ``state.db`` for ``archiver status``.

A *pending* path is a path in the watched folder that differs from the archive.
"""

from __future__ import annotations

from archiver import clock
from archiver.intake.pipeline import Pipeline
from archiver.intake.snapshot import SkippedPath, Snapshot

#: The time between two updates while paths are pending. With a shorter time, a list of 100,000 pending files would
#: delay capturing at every turn.
_UPDATE_SECONDS = 0.5
#: The most paths in the list. Nobody reads a longer list. The number of all pending paths is stored separately.
_MAX_LISTED_PATHS = 1000


class PendingList:
    """Write the oldest pending paths to ``state.db``, each with a reason, whenever the list has changed."""

    def __init__(self, snapshot: Snapshot, pipeline: Pipeline) -> None:
        """Write the pending paths of ``pipeline`` to ``snapshot``; the caller closes both."""
        self._snapshot = snapshot
        self._pipeline = pipeline
        #: The list as written last, for comparison: each path with the time (RFC 3339) since which it is pending.
        self._written_entries: list[tuple[SkippedPath, str]] = []
        self._next_update_at = 0.0

    def update_if_due(self) -> None:
        """Update the list if an update is due, or at once if nothing is pending; raises sqlite3.Error."""
        if self._pipeline.is_idle or clock.monotonic_seconds() >= self._next_update_at:
            self.update()

    def update(self) -> None:
        """Write the list if a path or a reason has changed; raises sqlite3.Error.

        Paths that another process has captured in the meantime are dropped from the pending paths first.
        """
        self._pipeline.drop_captured_elsewhere()
        entries = self._pipeline.pending(_MAX_LISTED_PATHS)
        # Times are not compared: they are computed again for each list, and always differ a little.
        new_paths = [skipped_path for skipped_path, _ in entries]
        if new_paths != [skipped_path for skipped_path, _ in self._written_entries]:
            self._snapshot.replace_pending_entries(entries)
            self._snapshot.set_meta("pending_count", str(self._pipeline.pending_count))
        self._written_entries = entries
        self._next_update_at = clock.monotonic_seconds() + _UPDATE_SECONDS
