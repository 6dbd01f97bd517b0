"""Reasons for a daemon to end by itself, so that the service opens everything again and starts the next daemon."""

from __future__ import annotations


class ArchiveGone(Exception):
    """The archive's repository is missing, or another is at the path, for example on another volume."""


class HistoryReplaced(Exception):
    """The repository was restored to another state, so the snapshot in ``state.db`` no longer matches it."""


class FolderRemounted(Exception):
    """The watched folder is on another kind of mount now, so it has to be read in another way."""
