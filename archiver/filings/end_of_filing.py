"""Record the end of a filing."""

from __future__ import annotations

from datetime import date

from archiver.model import Event
from archiver.naming.ref_names import RefName
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.events.filing_events import FilingEnded
from archiver.store.writing.drafts import Draft


def end_filing(
    archive: Archive,
    filing_name: RefName,
    ended_on: date,
    reason: str,
    reported_by: str | None,
    lock_timeout: float,
) -> Event:
    """Journal the end of a filing (its deregistration 注销, or the end of the service), and return the event.

    The end starts a further retention period, which counts from the time of this event.  ``ended_on`` is the day
    that a person reported; retention never counts from it.  ``reported_by`` is the person who reported the end, if
    not the archive's actor.  The next submission makes the filing live again.

    Raises UsageError if ``reason`` is blank, Busy if the archive is still locked after ``lock_timeout`` seconds,
    StorageError if it cannot be written.  Nothing is recorded then.
    """
    names.check_reason(reason)
    with archive.writing(lock_timeout) as writer:
        return writer.append(
            Draft(filing_name, FilingEnded(ended_on=ended_on, reason=reason, reported_by=reported_by))
        )
