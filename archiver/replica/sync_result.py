"""The outcome of a sync."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from archiver.errors import LazyMessage


@dataclass(slots=True)
class SyncResult:
    """The counts and leftovers of a sync."""

    sent_count: int = 0
    sent_bytes: int = 0
    #: Key and new end of each lock that was extended.
    extended_locks: list[tuple[str, datetime]] = field(default_factory=list)
    changed_holds: int = 0
    deleted_count: int = 0
    #: SHA-256 and end of the lock of content that was disposed of here, and cannot be deleted there yet.
    still_locked: list[tuple[str, datetime]] = field(default_factory=list)
    #: SHA-256 of content that neither the archive nor the bucket has.
    missing_content: list[str] = field(default_factory=list)

    def describe(self) -> LazyMessage:
        """Return a sentence for people."""
        return LazyMessage(
            "Sent {sent} objects ({megabytes} MB), moved {extended} locks and {holds} holds, deleted {deleted}.",
            sent=self.sent_count,
            megabytes=f"{self.sent_bytes / 1e6:.1f}",
            extended=len(self.extended_locks),
            holds=self.changed_holds,
            deleted=self.deleted_count,
        )
