"""Turn the events of holds into rows of ``index.db``."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping

from archiver.model import Event
from archiver.store.events.event_kinds import Action
from archiver.store.events.retention_events import HoldLifted, HoldPlaced


def _apply_hold(database: sqlite3.Connection, event: Event) -> None:
    """Record a hold. If the same hold is in force on the same object already, nothing changes."""
    details = HoldPlaced.from_details(event.details)
    user_name = event.actor["user"] or str(event.actor["uid"])
    database.execute(
        'insert or ignore into holds (name, object, reason, "by", user, placed, lifted, lift_reason) '
        "values (?, ?, ?, ?, ?, ?, null, null)",
        (details.name, event.object, details.reason, details.reported_by, user_name, event.at),
    )


def _apply_lift(database: sqlite3.Connection, event: Event) -> None:
    """Record the lifting of a hold. If the hold is not in force, nothing changes."""
    details = HoldLifted.from_details(event.details)
    database.execute(
        "update holds set lifted = ?, lift_reason = ? where name = ? and object = ? and lifted is null",
        (event.at, details.reason, details.name, event.object),
    )


#: The functions raise one of :data:`archiver.store.index.apply.INVALID_EVENT_ERRORS` for a malformed event.
APPLY_BY_HOLD_ACTION: Mapping[str, Callable[[sqlite3.Connection, Event], None]] = {
    Action.HOLD: _apply_hold,
    Action.LIFT: _apply_lift,
}
