"""How the journal's events become rows of ``index.db``."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from archiver.model import Change, Event, Material, Op
from archiver.store import names
from archiver.store.clock_lag import ClockLag
from archiver.store.events.actions import ACTIONS, UNREADABLE, Action
from archiver.store.events.archive_events import (
    ArchiveAdopted,
    ArchiveCreated,
    RetentionPromise,
    RetentionPromised,
)
from archiver.store.events.capture_events import VersionCaptured, WatchPathChanged
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

#: What an event may cause that does not fit; a database that is locked, full or damaged is none of these.
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
#: What happens to a filing; :mod:`archiver.filings.register` tells what it means.
_LIFE = frozenset(
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
    """The row of a submission, if it has one."""
    row = database.execute("select id from submissions where filing = ? and name = ?", (filing, name)).fetchone()
    return None if row is None else int(row[0])


def material_of(row: tuple[Any, ...]) -> Material:
    """Return the material of a row with path, sha256, size, mtime_ns and health."""
    path, sha256, size, mtime_ns, health = row
    return Material(path, sha256, size, read_integer(mtime_ns), health)


class Intake:
    """Takes events into one open database."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._db = database

    def apply(self, event: Event, changes: Iterable[Change]) -> None:
        """Take in one event; the caller commits.

        Raises one of :data:`MISFIT` for an event that does not fit: the caller undoes it, and passes it over.
        """
        if event.action == UNREADABLE:
            raise ValueError("it cannot be read")
        handlers: Mapping[str, Callable[[Event], None]] = {
            Action.SUBMIT: self._submit,
            Action.FILING_END: self._filing_end,
            Action.HOLD: self._hold,
            Action.LIFT: self._lift,
            Action.TIMESTAMP: self._timestamp,
            Action.DISPOSE_PLAN: self._plan,
            Action.DISPOSE_APPROVE: self._approval,
            Action.DISPOSE_BEGIN: self._begin,
            Action.DISPOSE_CERTIFY: self._certify,
            Action.CHECKPOINT: self._checkpoint,
            Action.DRILL: self._drill,
            Action.REPLICA_INIT: self._replica,
            Action.INIT: self._init,
            Action.ADOPT: self._adopt,
            Action.WATCH_PATH: self._watch_path,
            Action.POLICY: self._policy,
            Action.KEY_ROTATE: self._key,
            Action.KEY_REPLACE: self._key,
        }
        if event.action == Action.CAPTURE:
            self._capture(event, changes)
        elif event.action in handlers:
            handlers[event.action](event)
        elif event.action not in ACTIONS:
            self._unread(event, event.action)
        if event.action in _LIFE:
            self._life(event)
        self._lag(event)
        self._reach(event)

    def _meta(self, key: str, value: str) -> None:
        self._db.execute("insert or replace into meta values (?, ?)", (key, value))

    def pass_over(self, event: Event) -> None:
        """Note that an event does not fit: nothing of it is taken in, and it may be a hold."""
        self._unread(event, "")
        if event.seq == 1:
            self._meta("archive", event.sha256[:16])
        self._reach(event)

    def _reach(self, event: Event) -> None:
        """Note the event that the index is complete up to."""
        self._meta("head", event.commit)
        self._meta("seq", str(event.seq))
        self._meta("digest", event.sha256)

    def _unread(self, event: Event, action: str) -> None:
        self._db.execute("insert or replace into unread values (?, ?, ?)", (event.seq, event.commit, action))

    def _lag(self, event: Event) -> None:
        """Why the compliance clock is behind: machines that were off, or clocks that were set forward."""
        row = self._db.execute("select value from meta where key = 'lag'").fetchone()
        lag = ClockLag(**json.loads(row[0])) if row is not None else ClockLag()
        self._meta("lag", json.dumps(asdict(lag.after(event))))

    def _init(self, event: Event) -> None:
        details = ArchiveCreated.from_details(event.details)
        self._meta("layout", details.layout)
        self._meta("archive", event.sha256[:16])
        self._meta("made", event.at)
        self._key(event)
        self._meta("watch", details.watch or "")
        self._promise(details)

    def _adopt(self, event: Event) -> None:
        details = ArchiveAdopted.from_details(event.details)
        self._meta("watch", details.watch or "")
        self._promise(details)

    def _policy(self, event: Event) -> None:
        self._promise(RetentionPromised.from_details(event.details))

    def _watch_path(self, event: Event) -> None:
        self._meta("watch", WatchPathChanged.from_details(event.details).new_path)

    def _key(self, event: Event) -> None:
        self._meta("key", event.commit)

    def _checkpoint(self, event: Event) -> None:
        self._meta("checkpoint", f"{event.seq} {event.at}")

    def _drill(self, event: Event) -> None:
        self._meta("drill", event.at)

    def _replica(self, event: Event) -> None:
        self._meta("replica", json.dumps(event.details))

    def _filing_end(self, event: Event) -> None:
        self._db.execute("insert into ended values (?, ?, ?)", (event.seq, event.object, event.clock["time"]))

    def _timestamp(self, event: Event) -> None:
        self._db.execute(
            "insert into tokens values (?, ?)", (event.seq, TimestampReceived.from_details(event.details).time)
        )

    def _promise(self, promise: RetentionPromise) -> None:
        """Keep the strictest of everything that was ever promised.

        Shortening a setting later must not shorten retention, so years only grow per scope, every time zone that
        was ever in force stays known, and "held while live" is never taken back.
        """
        for scope, years in promise.years_by_scope.items():
            self._db.execute(
                "insert into promises values (?, ?) on conflict (scope) do update set years = max(years, ?)",
                (scope, years, years),
            )
        if zone := promise.timezone:
            self._db.execute("insert or ignore into meta values (?, '')", (f"zone:{zone}",))
        if promise.hold_while_live:
            self._db.execute("insert or ignore into meta values ('live', '')")

    def _capture(self, event: Event, changes: Iterable[Change]) -> None:
        details = VersionCaptured.from_details(event.details)
        filing, name, _ = event.object.rsplit("/", 2)
        submission = self._submission_id(filing, name, details)
        number = details.version
        branch = f"refs/heads/filings/{filing}/{name}"
        listed = list(changes)
        counts = (details.files, details.bytes, details.added, details.modified, details.deleted)
        self._db.execute(
            "insert into versions values (null, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(submission, number, event.object, event.refs[branch], event.seq),
                *(event.at, event.clock["time"], *counts, self._new_bytes(listed)),
            ),
        )
        self._materials(submission, number, listed)

    def _new_bytes(self, changes: list[Change]) -> int:
        """Bytes of the content that no version had before."""
        sizes = {c.sha256: c.size for c in changes if c.sha256 and c.op in (Op.ADD, Op.MODIFY)}
        query = "select 1 from materials where sha256 = ? limit 1"
        return sum(size for sha, size in sizes.items() if self._db.execute(query, (sha,)).fetchone() is None)

    def _submission_id(self, filing: str, name: str, captured: VersionCaptured) -> int:
        folder = names.raw(captured.submission)
        self._db.execute(
            "insert or ignore into submissions values (null, ?, ?, ?, ?)",
            (filing, name, names.raw(captured.filing), folder),
        )
        self._db.execute("insert or ignore into folders values (?)", (folder,))
        return submission_id(self._db, filing, name) or 0

    def _materials(self, submission: int, number: int, changes: list[Change]) -> None:
        # All endings first: in a chain of renames a new name is another's old one.
        gone = [change.source for change in changes if change.source is not None]
        gone += [c.path for c in changes if c.op in (Op.MODIFY, Op.DELETE, Op.RMDIR)]
        self._db.executemany(
            "update materials set until = ? where submission = ? and path = ? and until is null",
            ((number, submission, path) for path in gone),
        )
        self._db.executemany(
            "insert into materials values (?, ?, ?, ?, ?, ?, null, ?)",
            (
                (submission, c.path, c.sha256, c.size, stored_integer(c.mtime_ns), number, c.health)
                for c in changes
                if c.op not in (Op.DELETE, Op.RMDIR)
            ),
        )
        # Whether any folder was ever called so is asked often, and must not cost a walk over a million paths.
        folders = {name for c in changes if c.sha256 for name in c.path.split(b"/")[:-1]}
        self._db.executemany("insert or ignore into folders values (?)", ((name,) for name in folders))

    def _submit(self, event: Event) -> None:
        details = VersionSubmitted.from_details(event.details)
        version = self._db.execute("select id from versions where tag = ?", (details.version,))
        self._db.execute(
            "insert into submitted values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(details.tag, version.fetchone()[0], details.submitted_on.isoformat(), details.kind),
                *(details.number, details.reported_by, details.receipt),
                *(event.at, event.clock["time"], event.seq),
            ),
        )

    def _life(self, event: Event) -> None:
        filing, user = event.object.split("/", 1)[0], event.actor["user"] or str(event.actor["uid"])
        values = (event.seq, event.at, user, event.action, filing, json.dumps(event.details))
        self._db.execute("insert into life values (?, ?, ?, ?, ?, ?)", values)

    def _plan(self, event: Event) -> None:
        details = DisposalPlanned.from_details(event.details)
        values = (event.object, event.seq, event.commit, event.at, event.actor["uid"], event.actor["user"])
        self._db.execute(
            "insert into disposals values (?, ?, ?, ?, ?, ?, ?, ?, null, null, null)",
            (*values, details.plan_sha256, details.cooling_off_days),
        )

    def _approval(self, event: Event) -> None:
        who = (event.actor["uid"], event.actor["user"])
        details = DisposalApproved.from_details(event.details)
        self._db.execute(
            "insert into approvals values (?, ?, ?, ?, ?, ?, ?)",
            (event.object, *who, details.reason, event.at, event.clock["time"], event.seq),
        )

    def _begin(self, event: Event) -> None:
        details = DisposalBegun.from_details(event.details)
        self._db.execute("update disposals set begun = ? where id = ?", (event.at, event.object))
        self._db.executemany(
            "insert into disposed values (?, ?)", ((tag, event.object) for tag in details.versions)
        )

    def _certify(self, event: Event) -> None:
        self._db.execute(
            "update disposals set certified = ?, certified_commit = ? where id = ?",
            (event.at, event.commit, event.object),
        )

    def _hold(self, event: Event) -> None:
        details = HoldPlaced.from_details(event.details)
        # The same hold once more changes nothing.
        self._db.execute(
            "insert or ignore into holds values (?, ?, ?, ?, ?, ?, null, null)",
            (
                *(details.name, event.object, details.reason, details.reported_by),
                *(event.actor["user"] or str(event.actor["uid"]), event.at),
            ),
        )

    def _lift(self, event: Event) -> None:
        details = HoldLifted.from_details(event.details)
        self._db.execute(
            "update holds set lifted = ?, lift_reason = ? where name = ? and object = ? and lifted is null",
            (event.at, details.reason, details.name, event.object),
        )
