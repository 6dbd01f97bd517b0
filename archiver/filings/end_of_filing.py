"""The beginning and the end of a filing."""

from __future__ import annotations

from datetime import date

from archiver.errors import UsageError
from archiver.model import Event
from archiver.store.archive import Archive
from archiver.store.events.filing_events import FilingEnded
from archiver.store.writer import Draft


def end(archive: Archive, filing: str, on: date, reason: str, by: str | None, wait_seconds: float) -> Event:
    """Record that a filing has ended (注销, or the service was closed).

    From then on its periods run, counted anew from this event; the next
    handing-in makes it live again.  ``on`` is the day that people mean, which
    retention never counts from.  Raises UsageError without a reason.
    """
    if not reason.strip():
        raise UsageError("A reason is needed, for whoever reads this in three years. Nothing was changed.")
    with archive.writing(wait_seconds) as writer:
        return writer.append(Draft(filing, FilingEnded(ended_on=on, reason=reason, reported_by=by)))
