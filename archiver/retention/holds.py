"""Place and lift holds: named reasons not to dispose of something, whatever the date.

Holds follow the legal hold of S3 Object Lock, which has no end date either.
"""

from __future__ import annotations

from archiver.errors import NotFoundError, UsageError
from archiver.model import Event
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.events.retention_events import HoldLifted, HoldPlaced
from archiver.store.writing.drafts import Draft

#: Characters. People type the name again to lift the hold, and messages quote it. A longer name would be a reason,
#: which has a field of its own; a much shorter limit would exclude a case number with a title.
_MAX_NAME_LENGTH = 100


def place_hold(
    archive: Archive, hold_name: str, held_object: str, reason: str, reported_by: str | None, lock_timeout: float
) -> Event:
    """Place a hold on ``held_object``, and return the event.

    ``held_object`` is a filing, a submission or a version's tag, as in refs; the caller checks that it exists.
    ``reported_by`` is the person who wants the hold, if not the archive's actor.

    Raises UsageError if the name is not valid, the reason is blank, or ``held_object`` already has a hold with
    this name; Busy if the archive is still locked after ``lock_timeout`` seconds; StorageError if it cannot be
    written. Nothing is journalled then.
    """
    _check_name_and_reason(hold_name, reason)
    with archive.writing(lock_timeout) as writer:
        if any(hold.name == hold_name and hold.object == held_object for hold in archive.index.holds()):
            raise UsageError(
                "{object} already has a hold named {name}. Nothing was changed. Choose another name.",
                object=held_object,
                name=hold_name,
            )
        return writer.append(
            Draft(held_object, HoldPlaced(name=hold_name, reason=reason, reported_by=reported_by))
        )


def lift_hold(
    archive: Archive,
    hold_name: str,
    held_object: str | None,
    reason: str,
    reported_by: str | None,
    lock_timeout: float,
) -> list[Event]:
    """Lift the hold named ``hold_name`` from ``held_object`` or, if that is None, every hold with this name.

    Returns an event for each lifted hold. The events are journalled one by one, so after a crash some holds may
    still be in force: call this again then. ``reported_by`` is the person who wants the hold lifted, if not the
    archive's actor.

    Raises UsageError if the name is not valid or the reason is blank, NotFoundError if no such hold is in force,
    Busy if the archive is still locked after ``lock_timeout`` seconds. Nothing is journalled then. Raises
    StorageError if the archive cannot be written; holds lifted before the error remain lifted.
    """
    _check_name_and_reason(hold_name, reason)
    with archive.writing(lock_timeout) as writer:
        holds_to_lift = [
            hold for hold in archive.index.holds() if hold.name == hold_name and held_object in (None, hold.object)
        ]
        if not holds_to_lift:
            raise NotFoundError(
                "No matching hold {name} is in force. Nothing was changed. To list the holds, run: archiver hold "
                "list",
                name=hold_name,
            )
        lift_details = HoldLifted(name=hold_name, reason=reason, reported_by=reported_by)
        return [writer.append(Draft(hold.object, lift_details)) for hold in holds_to_lift]


def _check_name_and_reason(hold_name: str, reason: str) -> None:
    """Raise UsageError if the name is blank, too long or not printable, or if the reason is blank."""
    if not hold_name.strip() or len(hold_name) > _MAX_NAME_LENGTH or not hold_name.isprintable():
        raise UsageError(
            "A hold needs a name of at most {longest} printable characters. Nothing was changed.",
            longest=_MAX_NAME_LENGTH,
        )
    names.check_reason(reason)
