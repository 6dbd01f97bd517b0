"""Record and read the promised retention in ``index.db``.

The table ``promises`` has the longest period of each scope, each time zone, and the rule for live filings.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from archiver.model import Event, Promises, UnreadEvent

if TYPE_CHECKING:
    from archiver.store.events.archive_events import RetentionPromise

#: Inserts a promise, and replaces an earlier one of a shorter period. A time zone and the rule for live filings
#: have 0 years, so that the event that promised them first stays.
_INSERT_PROMISE = """
insert into promises (kind, name, years, seq, at, user) values (?, ?, ?, ?, ?, ?)
on conflict (kind, name) do update
set years = excluded.years, seq = excluded.seq, at = excluded.at, user = excluded.user
where excluded.years > years
"""


class PromiseKind(StrEnum):
    """What is promised; the words in ``index.db`` and in the JSON of ``archiver retention``."""

    #: Calendar years for a scope.
    PERIOD = "period"
    #: The end of each period by a time zone, if the day ends later there.
    TIME_ZONE = "time-zone"
    #: Retention of each version while its filing is live.
    WHILE_LIVE = "while-live"


class AcceptedPromise(NamedTuple):
    """A promise in the journal, with the event that made it."""

    kind: PromiseKind
    name: str  # the scope of a period, or the time zone; otherwise empty
    years: int  # 0 unless the promise is a period
    seq: int  # number of the event
    accepted_at: str  # by the wall clock (RFC 3339, UTC)
    user: str  # name of the user who accepted; the number of a user without a name


def record_promise(database: sqlite3.Connection, event: Event, promise: RetentionPromise) -> None:
    """Combine ``promise``, the retention promised by ``event``, with all earlier promises.

    A later promise must not shorten retention.  So the years of a scope only grow, every promised time zone is
    kept, and the promise to keep versions while a filing is live is never withdrawn.
    """
    rows = [(PromiseKind.PERIOD, scope, years) for scope, years in promise.years_by_scope.items()]
    if promise.timezone:
        rows.append((PromiseKind.TIME_ZONE, promise.timezone, 0))
    if promise.hold_while_live:
        rows.append((PromiseKind.WHILE_LIVE, "", 0))
    user = str(event.actor.get("user") or event.actor.get("uid"))
    database.executemany(_INSERT_PROMISE, [(*row, event.seq, event.at, user) for row in rows])


def combine_promises(
    accepted_promises: Iterable[AcceptedPromise], unread_events: Iterable[UnreadEvent]
) -> Promises:
    """Return all promises as one value, from which the retention policy is computed.

    ``unread_events`` are the events that this release does not understand, each of which may promise more.
    """
    promises = list(accepted_promises)
    return Promises(
        years={promise.name: promise.years for promise in promises if promise.kind is PromiseKind.PERIOD},
        zones=tuple(promise.name for promise in promises if promise.kind is PromiseKind.TIME_ZONE),
        live=any(promise.kind is PromiseKind.WHILE_LIVE for promise in promises),
        unread=tuple(unread_events),
    )


def select_promises(database: sqlite3.Connection) -> list[AcceptedPromise]:
    """Return all promises, sorted by kind and name."""
    promise_rows = database.execute("select kind, name, years, seq, at, user from promises order by kind, name")
    return [AcceptedPromise(PromiseKind(kind), *row) for kind, *row in promise_rows]
