"""Why a daemon ends although nobody stopped it: the service opens everything anew and starts another one."""

from __future__ import annotations


class ArchiveGone(Exception):
    """The archive's volume is gone, or another one is mounted in its place."""


class HistoryReplaced(Exception):
    """The repository was put back to another state: the snapshot of the folder does not fit it any more."""


class FolderRemounted(Exception):
    """The watched folder has to be read in another way from now on: directly, or through children."""
