"""Turn the events of disposals into rows of ``index.db``.

The caller owns the transaction.  Each function raises ValueError if the event is malformed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping

from archiver.model import Event
from archiver.store.events.event_kinds import Action
from archiver.store.events.retention_events import DisposalApproved, DisposalBegun, DisposalPlanned

#: Inserts a disposal plan.
_INSERT_DISPOSAL = """
insert into disposals (
    id, seq, "commit", at, uid, user, plan_sha256, cooling_off_days, filing, act, begun, certified,
    certified_commit)
values (
    :id, :seq, :commit, :at, :uid, :user, :plan_sha256, :cooling_off_days, :filing, :act, null, null, null)
"""


def apply_disposal_plan(database: sqlite3.Connection, event: Event) -> None:
    """Record a disposal plan, which has neither begun nor been certified yet."""
    details = DisposalPlanned.from_details(event.details)
    database.execute(
        _INSERT_DISPOSAL,
        {
            "id": event.object,
            "seq": event.seq,
            "commit": event.commit,
            "at": event.at,
            "uid": event.actor["uid"],
            "user": event.actor["user"],
            "plan_sha256": details.plan_sha256,
            "cooling_off_days": details.cooling_off_days,
            "filing": details.filing,
            "act": details.act,
        },
    )


def apply_approval(database: sqlite3.Connection, event: Event) -> None:
    """Record an approval of a disposal plan."""
    details = DisposalApproved.from_details(event.details)
    uid, user_name = event.actor["uid"], event.actor["user"]
    database.execute(
        "insert into approvals (disposal, uid, user, reason, at, clock, seq) values (?, ?, ?, ?, ?, ?, ?)",
        (event.object, uid, user_name, details.reason, event.at, event.clock["time"], event.seq),
    )


def apply_disposal_begin(database: sqlite3.Connection, event: Event) -> None:
    """Record the start of a disposal, and mark its versions as disposed of."""
    details = DisposalBegun.from_details(event.details)
    database.execute("update disposals set begun = ? where id = ?", (event.at, event.object))
    database.executemany(
        "insert into disposed (version, disposal) values (?, ?)",
        ((tag, event.object) for tag in details.versions),
    )


def apply_certificate(database: sqlite3.Connection, event: Event) -> None:
    """Record the completion of a disposal, and the commit with the certificate."""
    database.execute(
        "update disposals set certified = ?, certified_commit = ? where id = ?",
        (event.at, event.commit, event.object),
    )


#: Action -> function that applies its event.
APPLY_BY_DISPOSAL_ACTION: Mapping[str, Callable[[sqlite3.Connection, Event], None]] = {
    Action.DISPOSE_PLAN: apply_disposal_plan,
    Action.DISPOSE_APPROVE: apply_approval,
    Action.DISPOSE_BEGIN: apply_disposal_begin,
    Action.DISPOSE_CERTIFY: apply_certificate,
}
