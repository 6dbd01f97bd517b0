"""Reasons for a daemon to end unasked: the service opens everything anew and starts the next daemon."""

from __future__ import annotations


class ArchiveGone(Exception):
    """The archive's volume is gone, or another volume is mounted in the same place."""


class HistoryReplaced(Exception):
    """The repository was put back to another state: the snapshot of the folder does not fit any more."""


class FolderRemounted(Exception):
    """The watched folder has to be read in another way from now on: directly, or through children."""
