"""Query ``index.db``, which holds the journal's content in tables.

Every row is derived, and can be rebuilt from the git repository alone.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from archiver.model import (
    Approval,
    Change,
    Disposal,
    Event,
    Hold,
    JournalPoint,
    LifeEvent,
    Material,
    Promises,
    Submission,
    UnreadEvent,
    Version,
)
from archiver.store import names
from archiver.store.clock_lag import ClockLag
from archiver.store.events.archive_events import ReplicaCreated
from archiver.store.events.event_kinds import ACTIONS
from archiver.store.index.apply import MISFIT, EventApplier, material_of, submission_id
from archiver.store.index.index_schema import RECORDS, SCHEMA, SCHEMA_VERSION, IndexDamaged, IndexUnfinished
from archiver.store.index.version_rows import anchor, versions_of
from archiver.store.sqlite import (
    close_on_error,
    connect,
    connect_read_only,
    create_schema,
    file_identity,
    is_damage,
    read_point,
)

#: Events in one transaction: fewer cost more syncs, more a longer write-ahead log, without end if all are in one.
_TRANSACTION_EVENTS = 500
_HOLD_COLUMNS = 'name, object, reason, "by", user, placed, lifted, lift_reason'


class Index:
    """An open ``index.db``; for a single thread, and closed by the opener."""

    def __init__(self, path: Path, read_only: bool = False) -> None:
        """Open the index, or create a new one unless ``read_only``; raises IndexDamaged, sqlite3.Error."""
        self.path = path
        self._read_only = read_only
        self._open_database()

    @classmethod
    def in_memory(cls) -> Index:
        """Create an index in memory, for an archive whose own cannot be written."""
        return cls(Path(":memory:"))

    def _open_database(self) -> None:
        try:
            self._db = connect_read_only(self.path) if self._read_only else connect(self.path)
            with close_on_error(self._db):
                self._prepare_schema(self._read_only)
        except sqlite3.DatabaseError as error:
            if is_damage(error):
                raise IndexDamaged(str(error)) from error
            raise
        self._file_identity = file_identity(self.path)

    def reopen(self, *, at: Path) -> None:
        """Open the file at ``at`` for writing in place of the present one, for all holders of this object.

        Raises IndexDamaged.
        """
        self._db.close()
        self.path, self._read_only = at, False
        self._open_database()

    @property
    def is_replaced(self) -> bool:
        """Return True if another process has replaced the open file."""
        return file_identity(self.path) != self._file_identity

    def _prepare_schema(self, read_only: bool) -> None:
        (schema_version,) = self._db.execute("pragma user_version").fetchone()
        if schema_version == 0 and not read_only:
            create_schema(self._db, SCHEMA, SCHEMA_VERSION)
        elif schema_version == 0:
            raise IndexUnfinished("it is being made")
        elif schema_version != SCHEMA_VERSION:
            raise IndexDamaged(f"its layout is {schema_version}, that of this release {SCHEMA_VERSION}")
        self._db.execute("select count(*) from meta").fetchone()
        # An older release passed over events that this one understands.
        if newly_known_actions := sorted({event.action for event in self.unread()} & ACTIONS):
            raise IndexDamaged(f"made before {', '.join(newly_known_actions)}")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _read_meta(self, key: str) -> str | None:
        row = self._db.execute("select value from meta where key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    @property
    def head(self) -> str | None:
        """Return the journal commit up to which the index is complete; None for an empty index."""
        return self._read_meta("head")

    @property
    def point(self) -> JournalPoint | None:
        """Return the newest event in the index; None before the first."""
        return read_point(self._db)

    @property
    def archive_id(self) -> str:
        """Return the archive's identity: the beginning of the SHA-256 of its first event."""
        return self._read_meta("archive") or ""

    def lag(self) -> ClockLag:
        """Return why the compliance clock was behind the wall clock at the newest event."""
        value = self._read_meta("lag")
        return ClockLag() if value is None else ClockLag(**json.loads(value))

    @property
    def key_commit(self) -> str:
        """Return the journal commit that names the signing key in force."""
        return self._read_meta("key") or ""

    def replica(self) -> ReplicaCreated | None:
        """Return the replica's address and settings, as journalled last; None without a replica."""
        value = self._read_meta("replica")
        return None if value is None else ReplicaCreated.from_details(json.loads(value))

    @property
    def made_at(self) -> str:
        """Return when the archive was created (RFC 3339)."""
        return self._read_meta("made") or ""

    @property
    def watch_path(self) -> bytes | None:
        """Return the path of the watched folder, as journalled last; None if no event names one."""
        return names.raw(self._read_meta("watch") or "") or None

    @property
    def layout(self) -> str:
        """Return the folder layout that the archive was created for."""
        return self._read_meta("layout") or ""

    def promises(self) -> Promises:
        """Return the strictest retention that was ever in force: a promise is never shortened."""
        scope_rows = self._db.execute("select scope, years from promises")
        timezone_rows = self._db.execute("select key from meta where key like 'zone:%' order by key")
        live_row = self._db.execute("select 1 from meta where key = 'live'").fetchone()
        timezones = tuple(row[0].removeprefix("zone:") for row in timezone_rows)
        return Promises(dict(scope_rows.fetchall()), timezones, live_row is not None, tuple(self.unread()))

    def unread(self) -> list[UnreadEvent]:
        """Return the events that this release does not understand, oldest first."""
        rows = self._db.execute('select seq, "commit", action from unread order by seq')
        return [UnreadEvent(*row) for row in rows]

    def apply(self, events: Iterable[tuple[Event, Iterable[Change]]]) -> None:
        """Apply events with their changes, each completely or not at all.

        An event that contradicts the index is recorded as unread: one such event must not stop the archive.
        """
        applier = EventApplier(self._db)
        try:
            for number, (event, changes) in enumerate(events):
                if number % _TRANSACTION_EVENTS == 0:
                    self._db.commit()
                    self._db.execute("begin")
                self._db.execute("savepoint event")
                try:
                    applier.apply(event, changes)
                except MISFIT:
                    self._db.execute("rollback to event")
                    applier.pass_over(event)
                except BaseException:
                    self._db.execute("rollback to event")
                    raise
                self._db.execute("release event")
        finally:
            self._db.commit()

    # --- reading

    def query(self, sql: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query of :mod:`archiver.store.index.overview`."""
        yield from self._db.execute(sql, values)

    def holds(self, lifted: bool = False) -> list[Hold]:
        """Return the holds in force, with ``lifted`` the lifted ones too, oldest first."""
        condition = "1" if lifted else "lifted is null"
        rows = self._db.execute(
            f"select {_HOLD_COLUMNS} from holds where {condition} order by placed, name, object"
        )
        return [Hold(*row) for row in rows]

    def records(self) -> list[tuple[str, str, str]]:
        """Return the records besides versions: action, object and time (RFC 3339) of each."""
        return self._db.execute(RECORDS).fetchall()

    def last_checkpoint(self) -> tuple[int, str] | None:
        """Return event number and time (RFC 3339) of the newest checkpoint; None before the first."""
        value = self._read_meta("checkpoint")
        if value is None:
            return None
        seq, _, at = value.partition(" ")
        return int(seq), at

    def last_drill(self) -> str | None:
        """Return the time (RFC 3339) of the last restore drill; None before the first."""
        return self._read_meta("drill")

    def last_token(self) -> tuple[int, str] | None:
        """Return event number and time (RFC 3339) of the newest time-stamp token; None before the first."""
        row = self._db.execute("select seq, time from tokens order by seq desc limit 1").fetchone()
        return None if row is None else (int(row[0]), str(row[1]))

    def disposals(self, disposal_id: str | None = None) -> list[Disposal]:
        """Return the disposal plans, newest first; with ``disposal_id`` only that plan."""
        rows = self._db.execute(
            'select id, seq, "commit", at, uid, user, plan_sha256, cooling_off_days, '
            "begun, certified, certified_commit from disposals where ? in (id, '') order by seq desc",
            (disposal_id or "",),
        ).fetchall()
        return [Disposal(*row[:8], self._approvals(row[0]), *row[8:]) for row in rows]  # type: ignore[call-arg]

    def _approvals(self, disposal_id: str) -> tuple[Approval, ...]:
        rows = self._db.execute(
            f"select uid, user, reason, at, {anchor('approvals')} from approvals where disposal = ? order by seq",
            (disposal_id,),
        )
        return tuple(Approval(*row) for row in rows)

    def submissions(self) -> list[Submission]:
        """Return every submission, by filing and name."""
        rows = self._db.execute(
            "select filing, name, filing_folder, folder from submissions order by filing, name"
        )
        return [Submission(*row) for row in rows]

    def versions(self, filing: str | None = None, name: str | None = None) -> list[Version]:
        """Return the versions of the archive, of a filing or of a submission, newest first."""
        conditions, values = ["1"], []
        for column, value in (("s.filing", filing), ("s.name", name)):
            if value is not None:
                conditions.append(f"{column} = ?")
                values.append(value)
        return self._select_versions(" and ".join(conditions), values, "order by v.seq desc")

    def version(self, tag: str) -> Version | None:
        """Return the version with this tag, or submitted to the regulator under this tag; None without one."""
        condition = "v.tag = ? or v.id = (select version from submitted where tag = ?)"
        return next(iter(self._select_versions(condition, [tag, tag])), None)

    def latest(self, submission: Submission) -> Version | None:
        """Return the newest version of a submission; None before the first."""
        condition = (
            "v.id = (select v.id from versions v join submissions s on s.id = v.submission "
            "where s.filing = ? and s.name = ? order by v.number desc limit 1)"
        )
        return next(iter(self._select_versions(condition, [submission.filing, submission.name])), None)

    def counts(self) -> tuple[int, int]:
        """Return the number of versions, and the bytes of all versions together."""
        row = self._db.execute("select count(*), coalesce(sum(bytes), 0) from versions").fetchone()
        return int(row[0]), int(row[1])

    def first_capture(self) -> str | None:
        """Return the time (RFC 3339) of the first capture; None before."""
        row = self._db.execute("select min(captured_at) from versions").fetchone()
        return None if row[0] is None else str(row[0])

    def stored(self, since: str = "") -> int:
        """Return the bytes of new content since a time (RFC 3339), each content counted once."""
        query = "select coalesce(sum(stored), 0) from versions where captured_at >= ?"
        return int(self._db.execute(query, (since,)).fetchone()[0])

    def branches(self) -> dict[str, str]:
        """Return the branch of each submission with the commit of the newest version, which the ref must name."""
        rows = self._db.execute(
            'select s.filing, s.name, v."commit" from versions v join submissions s on s.id = v.submission '
            "where v.number = (select max(n.number) from versions n where n.submission = v.submission)"
        )
        return {Submission(filing, name).branch: commit for filing, name, commit in rows}

    def tags(self) -> list[str]:
        """Return the tags of all versions and of all submissions to the regulator."""
        rows = self._db.execute("select tag from versions union select tag from submitted order by 1")
        return [row[0] for row in rows]

    def _select_versions(self, condition: str, values: Sequence[str], order_clause: str = "") -> list[Version]:
        return versions_of(self._db, condition, values, order_clause, self.holds())

    def materials(self, submission: Submission, number: int | None = None) -> Iterator[Material]:
        """Yield the materials of a version (None: the newest) in the order of their paths."""
        submission_row = submission_id(self._db, submission.filing, submission.name)
        if number is None:
            rows = self._db.execute(
                "select path, sha256, size, mtime_ns, health from materials "
                "where submission = ? and until is null order by path",
                (submission_row,),
            )
        else:
            rows = self._db.execute(
                "select path, sha256, size, mtime_ns, health from materials where submission = ? "
                "and first <= ? and (until is null or until > ?) order by path",
                (submission_row, number, number),
            )
        for row in rows:
            yield material_of(row)

    def life(self, filing: str | None = None, until: str = "") -> list[LifeEvent]:
        """Return the events that concern filings, oldest first; ``until``: recorded by that time (RFC 3339)."""
        rows = self._db.execute(
            "select seq, at, user, action, filing, details from life "
            "where (?1 is null or filing = ?1) and (?2 = '' or at <= ?2) order by seq",
            (filing, until),
        )
        return [
            LifeEvent(seq, at, user, action, event_filing, json.loads(details))
            for seq, at, user, action, event_filing, details in rows
        ]

    def holding(self, sha256: str) -> list[Version]:
        """Return the versions that hold a content."""
        condition = (
            "v.id in (select w.id from materials m join versions w on w.submission = m.submission "
            "where m.sha256 = ? and m.first <= w.number and (m.until is null or m.until > w.number))"
        )
        return self._select_versions(condition, [sha256])

    def newest_materials_at(self, submission: Submission, paths: Iterable[bytes]) -> dict[bytes, Material]:
        """Return the materials of the newest version at ``paths``; paths without a material are left out."""
        submission_row = submission_id(self._db, submission.filing, submission.name)
        if submission_row is None:
            return {}
        query = (
            "select path, sha256, size, mtime_ns, health from materials "
            "where submission = ? and path = ? and until is null"
        )
        # In one transaction: otherwise each of 100,000 queries takes and releases the file locks.
        self._db.execute("begin")
        try:
            rows = (self._db.execute(query, (submission_row, path)).fetchone() for path in paths)
            return {row[0]: material_of(row) for row in rows if row is not None}
        finally:
            self._db.rollback()
