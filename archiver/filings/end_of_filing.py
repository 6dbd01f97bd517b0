"""Record the end of a filing."""

from __future__ import annotations

from datetime import date

from archiver.errors import UsageError
from archiver.model import Event
from archiver.store.archive import Archive
from archiver.store.events.filing_events import FilingEnded
from archiver.store.writer import Draft


def end_filing(
    archive: Archive, filing_name: str, ended_on: date, reason: str, reported_by: str | None, lock_timeout: float
) -> Event:
    """Record the end of a filing (注销, or the service was closed).

    From then on the retention periods run, counted anew from this event; the next submission makes the filing live
    again.  ``ended_on`` is the day that people mean, which retention never counts from.

    Raises UsageError without a reason, Busy and StorageError as :meth:`Archive.writing` does; nothing is recorded
    then.
    """
    if not reason.strip():
        raise UsageError("A reason is needed, for whoever reads this in three years. Nothing was changed.")
    with archive.writing(lock_timeout) as writer:
        return writer.append(
            Draft(filing_name, FilingEnded(ended_on=ended_on, reason=reason, reported_by=reported_by))
        )
