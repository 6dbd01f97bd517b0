"""Look after the daemon's own process and archive: apply [sensitive] patterns, and return memory."""

from __future__ import annotations

import json

from archiver.config.settings import Config
from archiver.intake.pipeline import Pipeline
from archiver.intake.snapshot import Snapshot
from archiver.store import sensitive
from archiver.store.archive import Archive
from archiver.store.fsync import release_memory

#: With more pending files than this, the allocator keeps enough memory afterwards to make returning it worthwhile.
_MEMORY_RELEASE_PATHS = 5000


def apply_sensitive_patterns(archive: Archive, config: Config, snapshot: Snapshot) -> None:
    """Apply the [sensitive] patterns, if they have changed, to materials that are archived already.

    The patterns that were applied last are in ``state.db``.
    """
    encoded_patterns = json.dumps(config.sensitive)
    if encoded_patterns != (snapshot.meta("sensitive") or "[]"):
        sensitive.withdraw_group_access(archive.index, archive.content, config.sensitive)
        snapshot.set_meta("sensitive", encoded_patterns)


class MemoryReleaser:
    """Return memory to the system after the capture of many files: the allocator would keep it for months."""

    def __init__(self, pipeline: Pipeline) -> None:
        """Watch the number of pending paths of ``pipeline``."""
        self._pipeline = pipeline
        #: Many paths were pending since memory was returned last.
        self._had_many_paths = False

    def release_if_idle(self) -> None:
        """Return memory once nothing is pending any more.  The daemon calls this at every turn."""
        if self._pipeline.pending_count > _MEMORY_RELEASE_PATHS:
            self._had_many_paths = True
        elif self._had_many_paths and self._pipeline.is_idle:
            self._had_many_paths = False
            release_memory()
