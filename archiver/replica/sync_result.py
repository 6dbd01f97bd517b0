"""The outcome of a sync, which brings the bucket up to date with the archive."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from archiver import clock
from archiver.errors import LazyMessage


class ExtendedLock(NamedTuple):
    """A lock that was extended."""

    key: str
    #: The new end.
    locked_until: datetime


class LockedContent(NamedTuple):
    """Disposed or restricted content that cannot be deleted from the bucket yet, because of the lock."""

    sha256: str
    #: The recorded end of the lock, or the time of the sync if no lock is recorded but the bucket still refused to
    #: delete the object.
    locked_until: datetime
    #: True if the archive still has the content, which is restricted.
    is_restricted: bool = False


class HeldBackContent(NamedTuple):
    """The content left out of a sync because of the grace period."""

    object_count: int
    byte_count: int
    #: The wall-clock times from which the first and the last of these objects may be sent.
    first_release: datetime
    last_release: datetime


def held_back_to_json(held_back: HeldBackContent | None) -> dict[str, Any]:
    """Return the member ``held_back`` in the JSON output of ``status`` and ``replica sync``.

    None means that nothing is held back: both numbers are 0 then, and the time is null.
    """
    return {
        "objects": held_back.object_count if held_back else 0,
        "bytes": held_back.byte_count if held_back else 0,
        "until": clock.format_time(held_back.last_release) if held_back else None,
    }


@dataclass(slots=True)
class SyncResult:
    """The work of a sync, and the objects the sync could not send or delete. The lists are in no order."""

    #: Content objects that were uploaded.
    sent_count: int = 0
    #: Bytes of content and of bundles that were uploaded.
    sent_bytes: int = 0
    extended_locks: list[ExtendedLock] = field(default_factory=list)
    #: Legal holds that were placed or lifted.
    changed_holds: int = 0
    #: Content objects that were deleted.
    deleted_count: int = 0
    still_locked: list[LockedContent] = field(default_factory=list)
    #: None if nothing is held back.
    held_back: HeldBackContent | None = None
    #: The SHA-256 of content that neither the archive nor the bucket has.
    missing_content: list[str] = field(default_factory=list)

    def describe(self) -> LazyMessage:
        """Return a summary for users, with all counts."""
        return LazyMessage(
            "Uploaded objects: {sent} ({megabytes} MB). Extended locks: {extended}. Changed holds: {holds}. "
            "Deleted objects: {deleted}.",
            sent=self.sent_count,
            megabytes=f"{self.sent_bytes / 1e6:.1f}",
            extended=len(self.extended_locks),
            holds=self.changed_holds,
            deleted=self.deleted_count,
        )
