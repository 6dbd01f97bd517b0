"""Holds: a named reason not to dispose of something, whatever the date.

Highest reference: the legal hold of S3 Object Lock, which has no date either.
"""

from __future__ import annotations

from archiver.errors import NotFoundError, UsageError
from archiver.model import Event
from archiver.store.archive import Archive
from archiver.store.events.retention_events import HoldLifted, HoldPlaced
from archiver.store.writer import Draft

_LONGEST_NAME = 100


def place(archive: Archive, name: str, target: str, reason: str, by: str | None, wait_seconds: float) -> Event:
    """Hold ``target``: a filing, a submission or a version's tag, as in refs.

    Raises UsageError for a name or reason that says nothing and for a hold that
    is there already.
    """
    _check(name, reason)
    with archive.writing(wait_seconds) as writer:
        if any(hold.name == name and hold.object == target for hold in archive.index.holds()):
            raise UsageError(
                "{object} is held by {name} already. Nothing was changed. Choose another name for another reason.",
                object=target,
                name=name,
            )
        return writer.append(Draft(target, HoldPlaced(name=name, reason=reason, reported_by=by)))


def lift(
    archive: Archive, name: str, target: str | None, reason: str, by: str | None, wait_seconds: float
) -> list[Event]:
    """Lift the hold ``name`` from ``target``, or from everything that it holds.

    Raises UsageError without a reason, NotFoundError where there is no such hold.
    """
    _check(name, reason)
    with archive.writing(wait_seconds) as writer:
        held = [hold for hold in archive.index.holds() if hold.name == name and target in (None, hold.object)]
        if not held:
            raise NotFoundError(
                "No hold {name} is in force there. Nothing was changed. See them with: archiver hold list",
                name=name,
            )
        details = HoldLifted(name=name, reason=reason, reported_by=by)
        return [writer.append(Draft(hold.object, details)) for hold in held]


def _check(name: str, reason: str) -> None:
    if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise UsageError(
            "A hold needs a name of at most {longest} printable characters. Nothing was changed.",
            longest=_LONGEST_NAME,
        )
    if not reason.strip():
        raise UsageError("A reason is needed, for whoever reads this in three years. Nothing was changed.")
