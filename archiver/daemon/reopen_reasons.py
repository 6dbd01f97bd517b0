"""Define the reasons for a daemon to end by itself.  The service then opens everything again in a new daemon."""

from __future__ import annotations


class ArchiveGone(Exception):
    """The archive's repository is missing, or another repository is at its path, for example on another volume."""


class HistoryReplaced(Exception):
    """The repository was restored to another state, so the snapshot in ``state.db`` no longer matches it."""


class FolderRemounted(Exception):
    """The kind of mount that holds the watched folder has changed, so the folder has to be read in another way."""
