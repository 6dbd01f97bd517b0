"""Turn the journal's events into rows of ``index.db``."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from archiver.model import Change, Event, Material, Op
from archiver.store import names
from archiver.store.clock_lag import ClockLag
from archiver.store.events.archive_events import (
    ArchiveAdopted,
    ArchiveCreated,
    RetentionPromise,
    RetentionPromised,
)
from archiver.store.events.capture_events import VersionCaptured, WatchPathChanged
from archiver.store.events.event_kinds import ACTIONS, UNREADABLE, Action
from archiver.store.events.evidence_events import TimestampReceived
from archiver.store.events.filing_events import VersionSubmitted
from archiver.store.events.retention_events import (
    DisposalApproved,
    DisposalBegun,
    DisposalPlanned,
    HoldLifted,
    HoldPlaced,
)
from archiver.store.sqlite import read_integer, stored_integer

#: Errors of an event that contradicts the index; a locked, full or damaged database raises other ones.
MISFIT = (
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
#: Events of a filing's life, kept with their details for :mod:`archiver.filings.register`.
_FILING_ACTIONS = frozenset(
    {
        Action.SUBMIT,
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


def submission_id(database: sqlite3.Connection, filing: str, name: str) -> int | None:
    """Return the row id of a submission; None if no version of the submission was captured."""
    row = database.execute("select id from submissions where filing = ? and name = ?", (filing, name)).fetchone()
    return None if row is None else int(row[0])


def material_of(row: tuple[Any, ...]) -> Material:
    """Return the material of a row with path, sha256, size, mtime_ns and health."""
    path, sha256, size, mtime_ns, health = row
    return Material(path, sha256, size, read_integer(mtime_ns), health)


class EventApplier:
    """Apply events to one open database; the caller owns connection and transactions."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._db = database

    def apply(self, event: Event, changes: Iterable[Change]) -> None:
        """Write the rows of one event; the caller commits.

        Raises one of :data:`MISFIT` for an event that contradicts the index: the caller rolls back and calls
        :meth:`pass_over`.
        """
        if event.action == UNREADABLE:
            raise ValueError("it cannot be read")
        handlers: Mapping[str, Callable[[Event], None]] = {
            Action.SUBMIT: self._apply_submission,
            Action.FILING_END: self._apply_filing_end,
            Action.HOLD: self._apply_hold,
            Action.LIFT: self._apply_lift,
            Action.TIMESTAMP: self._apply_timestamp,
            Action.DISPOSE_PLAN: self._apply_disposal_plan,
            Action.DISPOSE_APPROVE: self._apply_approval,
            Action.DISPOSE_BEGIN: self._apply_disposal_begin,
            Action.DISPOSE_CERTIFY: self._apply_certificate,
            Action.CHECKPOINT: self._apply_checkpoint,
            Action.DRILL: self._apply_drill,
            Action.REPLICA_INIT: self._apply_replica,
            Action.INIT: self._apply_creation,
            Action.ADOPT: self._apply_adoption,
            Action.WATCH_PATH: self._apply_watch_path,
            Action.POLICY: self._apply_policy,
            Action.KEY_ROTATE: self._apply_key,
            Action.KEY_REPLACE: self._apply_key,
        }
        if event.action == Action.CAPTURE:
            self._apply_capture(event, changes)
        elif event.action in handlers:
            handlers[event.action](event)
        elif event.action not in ACTIONS:
            self._record_unread(event, event.action)
        if event.action in _FILING_ACTIONS:
            self._record_filing_event(event)
        self._update_clock_lag(event)
        self._set_point(event)

    def _set_meta(self, key: str, value: str) -> None:
        self._db.execute("insert or replace into meta values (?, ?)", (key, value))

    def pass_over(self, event: Event) -> None:
        """Record an event as unread, because it contradicts the index.

        No disposal is possible from then on: the event may be a hold.
        """
        self._record_unread(event, "")
        if event.seq == 1:
            self._set_meta("archive", event.sha256[:16])
        self._set_point(event)

    def _set_point(self, event: Event) -> None:
        """Record that the index is complete through this event."""
        self._set_meta("head", event.commit)
        self._set_meta("seq", str(event.seq))
        self._set_meta("digest", event.sha256)

    def _record_unread(self, event: Event, action: str) -> None:
        self._db.execute("insert or replace into unread values (?, ?, ?)", (event.seq, event.commit, action))

    def _update_clock_lag(self, event: Event) -> None:
        """Add the time that the compliance clock did not count: with the machine off, or the clock set forward."""
        row = self._db.execute("select value from meta where key = 'lag'").fetchone()
        lag = ClockLag(**json.loads(row[0])) if row is not None else ClockLag()
        self._set_meta("lag", json.dumps(asdict(lag.after(event))))

    def _apply_creation(self, event: Event) -> None:
        details = ArchiveCreated.from_details(event.details)
        self._set_meta("layout", details.layout)
        self._set_meta("archive", event.sha256[:16])
        self._set_meta("made", event.at)
        self._apply_key(event)
        self._set_meta("watch", details.watch or "")
        self._raise_promises(details)

    def _apply_adoption(self, event: Event) -> None:
        details = ArchiveAdopted.from_details(event.details)
        self._set_meta("watch", details.watch or "")
        self._raise_promises(details)

    def _apply_policy(self, event: Event) -> None:
        self._raise_promises(RetentionPromised.from_details(event.details))

    def _apply_watch_path(self, event: Event) -> None:
        self._set_meta("watch", WatchPathChanged.from_details(event.details).new_path)

    def _apply_key(self, event: Event) -> None:
        self._set_meta("key", event.commit)

    def _apply_checkpoint(self, event: Event) -> None:
        self._set_meta("checkpoint", f"{event.seq} {event.at}")

    def _apply_drill(self, event: Event) -> None:
        self._set_meta("drill", event.at)

    def _apply_replica(self, event: Event) -> None:
        self._set_meta("replica", json.dumps(event.details))

    def _apply_filing_end(self, event: Event) -> None:
        self._db.execute("insert into ended values (?, ?, ?)", (event.seq, event.object, event.clock["time"]))

    def _apply_timestamp(self, event: Event) -> None:
        self._db.execute(
            "insert into tokens values (?, ?)", (event.seq, TimestampReceived.from_details(event.details).time)
        )

    def _raise_promises(self, promise: RetentionPromise) -> None:
        """Keep the strictest of everything that was ever promised.

        Shortening a setting later must not shorten retention, so years only grow per scope, every time zone that
        was ever in force stays known, and "held while live" is never taken back.
        """
        for scope, years in promise.years_by_scope.items():
            self._db.execute(
                "insert into promises values (?, ?) on conflict (scope) do update set years = max(years, ?)",
                (scope, years, years),
            )
        if timezone := promise.timezone:
            self._db.execute("insert or ignore into meta values (?, '')", (f"zone:{timezone}",))
        if promise.hold_while_live:
            self._db.execute("insert or ignore into meta values ('live', '')")

    def _apply_capture(self, event: Event, changes: Iterable[Change]) -> None:
        details = VersionCaptured.from_details(event.details)
        filing, submission_name, _ = event.object.rsplit("/", 2)
        submission_row = self._ensure_submission(filing, submission_name, details)
        number = details.version
        branch = f"refs/heads/filings/{filing}/{submission_name}"
        change_list = list(changes)
        counts = (details.files, details.bytes, details.added, details.modified, details.deleted)
        self._db.execute(
            "insert into versions values (null, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(submission_row, number, event.object, event.refs[branch], event.seq),
                *(event.at, event.clock["time"], *counts, self._count_new_bytes(change_list)),
            ),
        )
        self._apply_changes(submission_row, number, change_list)

    def _count_new_bytes(self, changes: list[Change]) -> int:
        """Return the bytes of content that no earlier version has, each content counted once."""
        sizes = {
            change.sha256: change.size for change in changes if change.sha256 and change.op in (Op.ADD, Op.MODIFY)
        }
        query = "select 1 from materials where sha256 = ? limit 1"
        return sum(size for sha256, size in sizes.items() if self._db.execute(query, (sha256,)).fetchone() is None)

    def _ensure_submission(self, filing: str, submission_name: str, captured: VersionCaptured) -> int:
        folder = names.raw(captured.submission)
        self._db.execute(
            "insert or ignore into submissions values (null, ?, ?, ?, ?)",
            (filing, submission_name, names.raw(captured.filing), folder),
        )
        self._db.execute("insert or ignore into folders values (?)", (folder,))
        return submission_id(self._db, filing, submission_name) or 0

    def _apply_changes(self, submission_row: int, number: int, changes: list[Change]) -> None:
        # End all old intervals first: in a chain of renames, the new path of one is the old path of another.
        ended_paths = [change.source for change in changes if change.source is not None]
        ended_paths += [change.path for change in changes if change.op in (Op.MODIFY, Op.DELETE, Op.RMDIR)]
        self._db.executemany(
            "update materials set until = ? where submission = ? and path = ? and until is null",
            ((number, submission_row, path) for path in ended_paths),
        )
        self._db.executemany(
            "insert into materials values (?, ?, ?, ?, ?, ?, null, ?)",
            (
                (
                    submission_row,
                    change.path,
                    change.sha256,
                    change.size,
                    stored_integer(change.mtime_ns),
                    number,
                    change.health,
                )
                for change in changes
                if change.op not in (Op.DELETE, Op.RMDIR)
            ),
        )
        # Folder names are looked up often, and a lookup must not read a million paths.
        folder_names = {name for change in changes if change.sha256 for name in change.path.split(b"/")[:-1]}
        self._db.executemany("insert or ignore into folders values (?)", ((name,) for name in folder_names))

    def _apply_submission(self, event: Event) -> None:
        details = VersionSubmitted.from_details(event.details)
        version_rows = self._db.execute("select id from versions where tag = ?", (details.version,))
        self._db.execute(
            "insert into submitted values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(details.tag, version_rows.fetchone()[0], details.submitted_on.isoformat(), details.kind),
                *(details.number, details.reported_by, details.receipt),
                *(event.at, event.clock["time"], event.seq),
            ),
        )

    def _record_filing_event(self, event: Event) -> None:
        filing, user = event.object.split("/", 1)[0], event.actor["user"] or str(event.actor["uid"])
        values = (event.seq, event.at, user, event.action, filing, json.dumps(event.details))
        self._db.execute("insert into life values (?, ?, ?, ?, ?, ?)", values)

    def _apply_disposal_plan(self, event: Event) -> None:
        details = DisposalPlanned.from_details(event.details)
        values = (event.object, event.seq, event.commit, event.at, event.actor["uid"], event.actor["user"])
        self._db.execute(
            "insert into disposals values (?, ?, ?, ?, ?, ?, ?, ?, null, null, null)",
            (*values, details.plan_sha256, details.cooling_off_days),
        )

    def _apply_approval(self, event: Event) -> None:
        approver = (event.actor["uid"], event.actor["user"])
        details = DisposalApproved.from_details(event.details)
        self._db.execute(
            "insert into approvals values (?, ?, ?, ?, ?, ?, ?)",
            (event.object, *approver, details.reason, event.at, event.clock["time"], event.seq),
        )

    def _apply_disposal_begin(self, event: Event) -> None:
        details = DisposalBegun.from_details(event.details)
        self._db.execute("update disposals set begun = ? where id = ?", (event.at, event.object))
        self._db.executemany(
            "insert into disposed values (?, ?)", ((tag, event.object) for tag in details.versions)
        )

    def _apply_certificate(self, event: Event) -> None:
        self._db.execute(
            "update disposals set certified = ?, certified_commit = ? where id = ?",
            (event.at, event.commit, event.object),
        )

    def _apply_hold(self, event: Event) -> None:
        details = HoldPlaced.from_details(event.details)
        # A hold that is already in force stays as it was placed first.
        self._db.execute(
            "insert or ignore into holds values (?, ?, ?, ?, ?, ?, null, null)",
            (
                *(details.name, event.object, details.reason, details.reported_by),
                *(event.actor["user"] or str(event.actor["uid"]), event.at),
            ),
        )

    def _apply_lift(self, event: Event) -> None:
        details = HoldLifted.from_details(event.details)
        self._db.execute(
            "update holds set lifted = ?, lift_reason = ? where name = ? and object = ? and lifted is null",
            (event.at, details.reason, details.name, event.object),
        )
