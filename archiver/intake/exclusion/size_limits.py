"""The administrator's limits for the size of files and of filings.  Pure."""

from __future__ import annotations

from typing import NamedTuple

from archiver.config.settings import Config
from archiver.store.content.source import Source


class TooLarge(Exception):
    """A file exceeds ``watch.max_file_bytes``; ``counted_bytes`` is its size for this limit."""

    def __init__(self, counted_bytes: int) -> None:
        """Remember the size."""
        super().__init__()
        self.counted_bytes = counted_bytes


class SizeLimits(NamedTuple):
    """The limits for single files."""

    max_file_bytes: int | None  # None for no limit
    are_set: bool  # True if there is a limit of any kind, for which sparse files count less than their size

    @classmethod
    def from_settings(cls, config: Config) -> SizeLimits:
        """Return the limits of the settings."""
        quotas = (config.filing_quota_bytes, *(filing.quota_bytes for filing in config.filings.values()))
        return cls(config.max_file_bytes, any(limit is not None for limit in (config.max_file_bytes, *quotas)))

    def check_file(self, source: Source) -> None:
        """Raise TooLarge if an open file exceeds the limit for single files."""
        if self.max_file_bytes is not None and source.stat_data.size > self.max_file_bytes:
            counted_bytes = count_bytes(source)
            if counted_bytes > self.max_file_bytes:
                raise TooLarge(counted_bytes)


#: For readers whose files the caller has checked already.
NO_LIMITS = SizeLimits(None, are_set=False)


def count_bytes(source: Source) -> int:
    """Return the size of an open file for the limits: a sparse file counts with the space that it occupies."""
    return min(source.stat_data.size, source.allocated_bytes)
