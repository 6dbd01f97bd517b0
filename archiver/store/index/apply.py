"""Turn the journal's events into rows of ``index.db``."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from archiver import clock
from archiver.model import Change, Event
from archiver.store.clock_lag import ClockLag
from archiver.store.events.archive_events import (
    ArchiveAdopted,
    ArchiveCreated,
    FormatStated,
    RetentionPromised,
)
from archiver.store.events.chain_rules import filing_of_event
from archiver.store.events.chains import ARCHIVE_CHAIN, HOUSE_CHAIN, EventClass
from archiver.store.events.digests import name_algorithm
from archiver.store.events.event_details import FILING_MEMBER
from archiver.store.events.event_kinds import ACTIONS, UNREADABLE, Action
from archiver.store.events.evidence_events import TimestampReceived
from archiver.store.events.filing_events import VersionSubmitted
from archiver.store.events.value_kinds import INTEGER
from archiver.store.index.capture_rows import apply_capture
from archiver.store.index.correction_rows import apply_correction
from archiver.store.index.disposal_rows import APPLY_BY_DISPOSAL_ACTION
from archiver.store.index.hold_rows import APPLY_BY_HOLD_ACTION
from archiver.store.index.meta_values import MetaValues
from archiver.store.index.promise_rows import record_promise
from archiver.store.index.restriction_rows import APPLY_BY_RESTRICTION_ACTION
from archiver.store.index.watched_folder_values import WATCH_PATH_KEY, apply_watched_folder

#: Errors of :meth:`EventApplier.apply_event` that mean that the event is malformed or contradicts the index. A
#: locked, full or damaged database raises other errors.
INVALID_EVENT_ERRORS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)
#: Events that :mod:`archiver.filings.register` needs with all their details. They go to the table ``life``.
_FILING_ACTIONS = frozenset(
    {
        Action.SUBMIT,
        Action.SUBMISSION_FILE,
        Action.FILING_SET,
        Action.FILING_END,
        Action.NOTICE,
        Action.NOTICE_ANSWER,
        Action.CHANGE_QUESTION,
        Action.CHANGE_DECISION,
        Action.DISPLAY_CHECK,
        Action.SIGNAL,
        Action.REMINDER,
    }
)
#: The events whose tables have a module of their own.
_APPLY_TO_OWN_TABLES: Mapping[str, Callable[[sqlite3.Connection, Event], None]] = {
    **APPLY_BY_DISPOSAL_ACTION,
    **APPLY_BY_HOLD_ACTION,
    **APPLY_BY_RESTRICTION_ACTION,
    Action.CORRECT: apply_correction,
}
# Keys of the table ``meta``. The properties of ``Index`` with these names read the values.
_ARCHIVE_ID_KEY, _LAYOUT_KEY, _CREATED_AT_KEY = "archive", "layout", "made"
#: Digits of the first event's SHA-256 that identify the archive.
_ARCHIVE_ID_LENGTH = 16
#: Inserts a record of a submission to the regulator.
_INSERT_SUBMITTED = """
insert into submitted (tag, version, "on", kind, number, "by", receipt, at, clock, seq)
values (:tag, :version, :submitted_on, :kind, :number, :reported_by, :receipt, :at, :clock, :seq)
"""
#: Records the newest event of a chain. The filing of a chain is known from its first readable event on.
_ADVANCE_CHAIN = """
insert into chains (chain, filing, count, digest) values (:chain, :filing, :count, :digest)
on conflict (chain) do update
set filing = coalesce(filing, excluded.filing), count = excluded.count, digest = excluded.digest
"""


class EventApplier:
    """Turns events into rows of an open database.  The caller owns the connection and the transactions."""

    def __init__(self, database: sqlite3.Connection) -> None:
        """Prepare to write to ``database``, which must have the tables of the index.  It is not closed here."""
        self._db = database
        self._meta = MetaValues(database)
        #: The lag after the last event; None until it is read from the table ``meta``.
        self._clock_lag: ClockLag | None = None

    def flush(self) -> None:
        """Write the values that all events so far have changed to ``meta``; to be called before each commit."""
        if self._clock_lag is not None:
            self._meta.set("lag", json.dumps(self._clock_lag._asdict()))
        self._meta.flush()

    def apply_event(self, event: Event, changes: Iterable[Change]) -> None:
        """Write the rows of ``event``.  The caller calls :meth:`flush` and commits.

        ``changes`` are the changes of the version that a capture event records; other events have none. An event
        of an unknown kind goes to the table ``unread``: no disposal is allowed while that table has a row.

        Raises one of :data:`INVALID_EVENT_ERRORS` if the event is malformed or contradicts the index. Then the
        caller has to roll back and call :meth:`record_unreadable_event`.
        """
        meta_changes, clock_lag = self._meta.changes(), self._clock_lag
        try:
            self._write_rows(event, changes)
        except BaseException:
            # The caller's rollback restores only the tables.
            self._meta.restore(meta_changes)
            self._clock_lag = clock_lag
            raise

    def _write_rows(self, event: Event, changes: Iterable[Change]) -> None:
        """Write the rows of ``event``; raises one of :data:`INVALID_EVENT_ERRORS`."""
        if event.action == UNREADABLE:
            raise ValueError("it cannot be read")
        if event.action == Action.INIT and event.seq != 1:
            raise ValueError("the archive was created before")
        if not event.chain and self._has_chains():
            raise ValueError("it is of format 1, behind events of format 2")
        self._advance_chain(event)
        apply_by_action: Mapping[str, Callable[[Event], None]] = {
            Action.SUBMIT: self._apply_submission,
            Action.FILING_END: self._apply_filing_end,
            Action.TIMESTAMP: self._apply_timestamp,
            Action.CHECKPOINT: self._apply_checkpoint,
            Action.DRILL: self._apply_drill,
            Action.REPLICA_INIT: self._apply_replica,
            Action.INIT: self._apply_creation,
            Action.FORMAT: self._apply_format,
            Action.ADOPT: self._apply_adoption,
            Action.WATCH_PATH: self._apply_watched_folder,
            Action.WATCH_FOLDER: self._apply_watched_folder,
            Action.WATCH_ACCEPT: self._apply_watched_folder,
            Action.POLICY: self._apply_policy,
            Action.KEY_ROTATE: self._apply_key,
            Action.KEY_REPLACE: self._apply_key,
        }
        if event.action == Action.CAPTURE:
            apply_capture(self._db, event, changes)
        elif event.action in _APPLY_TO_OWN_TABLES:
            _APPLY_TO_OWN_TABLES[event.action](self._db, event)
        elif event.action in apply_by_action:
            apply_by_action[event.action](event)
        elif event.action not in ACTIONS and event.event_class != EventClass.NOTE:
            # A note of a newer release has no effect, and so cannot be a hold.
            self._insert_unread_event(event, event.action)
        if event.action in _FILING_ACTIONS:
            self._record_filing_event(event)
        self._update_clock_lag(event)
        self._mark_wall_clock(event)
        self._set_newest_event(event)

    def record_unreadable_event(self, event: Event) -> None:
        """Insert an event into the table ``unread``, for which :meth:`apply_event` raised an error.

        Disposals are refused from then on, because the event may be a hold.  The caller calls :meth:`flush` and
        commits.
        """
        self._insert_unread_event(event, "")
        if event.chain:
            self._db.execute(_ADVANCE_CHAIN, _chain_row(event, self._filing_of_new_chain(event)))
        if event.seq == 1:
            self._set_identity(event)
        self._set_newest_event(event)

    def _set_identity(self, first_event: Event) -> None:
        """Record the identity of the archive, which depends only on the bytes of the first event."""
        self._meta.set(_ARCHIVE_ID_KEY, first_event.sha256[:_ARCHIVE_ID_LENGTH])
        self._meta.set("first", first_event.sha256)

    def _has_chains(self) -> bool:
        """Return True once an event of format 2 was applied."""
        return self._db.execute("select 1 from chains limit 1").fetchone() is not None

    def _filing_of_new_chain(self, event: Event) -> str | None:
        """Return the filing whose chain begins with ``event``, an event that contradicts the index; None if none.

        Later events of that filing continue the chain, so the filing has to be known.
        """
        if event.action == UNREADABLE or event.chain in (ARCHIVE_CHAIN, HOUSE_CHAIN):
            return None
        filing_name = filing_of_event(event.action, event.object, event.details)
        known_chain_rows = self._db.execute(
            "select 1 from chains where filing = ? or chain = ? and filing is not null", (filing_name, event.chain)
        )
        return filing_name if known_chain_rows.fetchone() is None else None

    def _advance_chain(self, event: Event) -> None:
        """Record ``event`` as the newest event of its chain; an event of format 1 has no chain.

        Raises ValueError if the chain belongs to another filing, sqlite3.IntegrityError if the filing has another
        chain.
        """
        if not event.chain:
            return
        filing_name = None
        if event.chain not in (ARCHIVE_CHAIN, HOUSE_CHAIN):
            filing_name = filing_of_event(event.action, event.object, event.details)
            chain_row = self._db.execute("select filing from chains where chain = ?", (event.chain,)).fetchone()
            if chain_row is not None and chain_row[0] not in (None, filing_name):
                raise ValueError("its chain is that of another filing")
        self._db.execute(_ADVANCE_CHAIN, _chain_row(event, filing_name))

    def _set_newest_event(self, event: Event) -> None:
        """Record ``event`` as the newest event in the index."""
        self._meta.set("head", event.commit)
        self._meta.set("seq", str(event.seq))
        self._meta.set("digest", event.sha256)
        self._meta.set("at", event.at)

    def _insert_unread_event(self, event: Event, action: str) -> None:
        """Insert an event that this release does not understand into the table ``unread``.

        ``action`` is empty if the event is malformed or contradicts the index.
        """
        self._db.execute(
            'insert or replace into unread (seq, "commit", action) values (?, ?, ?)',
            (event.seq, event.commit, action),
        )

    def _update_clock_lag(self, event: Event) -> None:
        """Add to the stored lag the time before ``event`` that the compliance clock did not count.

        The clock counts neither while the machine is off, nor while the wall clock is ahead.
        """
        if self._clock_lag is None:
            stored_lag = self._meta.get("lag")
            self._clock_lag = ClockLag() if stored_lag is None else ClockLag(**json.loads(stored_lag))
        self._clock_lag = self._clock_lag.after_event(event)

    def _mark_wall_clock(self, event: Event) -> None:
        """Record by how much the wall clock of ``event`` was behind, if it was; see ``clock.WallClockMark``."""
        mark = clock.mark_wall_clock(event.at, self._meta.get("at"), event.clock["time"])
        if mark is not None:
            self._db.execute("insert into clock_marks values (?, ?, ?)", (event.seq, *mark))

    def _apply_creation(self, event: Event) -> None:
        """Record the properties of a new archive, from the first event of the journal.

        Identity, folder layout, time of creation and minimum retention are permanent. Later events may replace the
        watched folder and the signing key. Raises ValueError if the details are malformed.
        """
        details = ArchiveCreated.from_details(event.details)
        self._set_identity(event)
        self._meta.set(_LAYOUT_KEY, details.layout)
        self._meta.set(_CREATED_AT_KEY, event.at)
        self._meta.set(WATCH_PATH_KEY, details.watch or "")
        self._apply_key(event)
        record_promise(self._db, event, details)

    def _apply_format(self, event: Event) -> None:
        """Record the format of this event and later ones, and the list of keys that an upgrade attaches."""
        details = FormatStated.from_details(event.details)
        self._meta.set("format", str(details.number))
        # In the order of the fields of ``StatedFormat``.
        format_fields = [details.number, details.writing_features, details.reading_features, details.release]
        self._meta.set("stated_format", json.dumps(format_fields))
        if event.attachments:
            self._apply_key(event)

    def _apply_adoption(self, event: Event) -> None:
        """Record the watched folder and the minimum retention of an archive created from a mirror clone."""
        details = ArchiveAdopted.from_details(event.details)
        self._meta.set(WATCH_PATH_KEY, details.watch or "")
        record_promise(self._db, event, details)

    def _apply_policy(self, event: Event) -> None:
        """Record a change of the retention settings, which can only lengthen retention."""
        record_promise(self._db, event, RetentionPromised.from_details(event.details))

    def _apply_watched_folder(self, event: Event) -> None:
        """Record the watched folder's path or identity, and that a person accepted the folder."""
        apply_watched_folder(self._meta, event)

    def _apply_key(self, event: Event) -> None:
        """Record the commit of the event whose attached ``allowed_signers`` names the signing key in force."""
        self._meta.set("key", event.commit)

    def _apply_checkpoint(self, event: Event) -> None:
        """Record number and time of the newest checkpoint in one value, which ``Index.last_checkpoint`` splits."""
        self._meta.set("checkpoint", f"{event.seq} {event.at}")

    def _apply_drill(self, event: Event) -> None:
        """Record the time of the last restore drill."""
        self._meta.set("drill", event.at)

    def _apply_replica(self, event: Event) -> None:
        """Record the details of the replica, which replaces an earlier one."""
        self._meta.set("replica", json.dumps(event.details))

    def _apply_filing_end(self, event: Event) -> None:
        """Record that a filing ended."""
        self._db.execute(
            "insert into ended (seq, filing, clock) values (?, ?, ?)",
            (event.seq, event.object, event.clock["time"]),
        )

    def _apply_timestamp(self, event: Event) -> None:
        """Record a timestamp token with the proven time and the number of the covered event."""
        details = TimestampReceived.from_details(event.details)
        self._db.execute(
            "insert into tokens (seq, time, covered_seq) values (?, ?, ?)",
            # The number may be any JSON value in a foreign event. Without an integer, the token covers no event.
            (event.seq, details.time, details.seq if INTEGER.accepts(details.seq) else 0),
        )

    def _apply_submission(self, event: Event) -> None:
        """Record which version was submitted to the regulator.  Raises TypeError if the version is unknown."""
        details = VersionSubmitted.from_details(event.details)
        version_row = self._db.execute("select id from versions where tag = ?", (details.version,)).fetchone()
        self._db.execute(
            _INSERT_SUBMITTED,
            {
                "tag": details.tag,
                "version": version_row[0],
                "submitted_on": details.submitted_on.isoformat(),
                "kind": details.kind,
                "number": details.number,
                "reported_by": details.reported_by,
                "receipt": details.receipt,
                "at": event.at,
                "clock": event.clock["time"],
                "seq": event.seq,
            },
        )

    def _record_filing_event(self, event: Event) -> None:
        """Record an event of a filing, with the details as JSON.

        The event may be about a submission or a version, whose name begins with that of the filing and a slash.
        """
        filing_name = event.details.get(FILING_MEMBER) or event.object.split("/", 1)[0]
        user_name = event.actor["user"] or str(event.actor["uid"])
        self._db.execute(
            "insert into life (seq, at, user, action, filing, details) values (?, ?, ?, ?, ?, ?)",
            (event.seq, event.at, user_name, event.action, filing_name, json.dumps(event.details)),
        )


def _chain_row(event: Event, filing_name: str | None) -> dict[str, Any]:
    """Return the row of the table ``chains`` after ``event``."""
    return {
        "chain": event.chain,
        "filing": filing_name,
        "count": event.chain_number,
        "digest": name_algorithm("sha256", event.sha256),
    }
