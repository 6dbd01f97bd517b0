"""``index.db``: what the journal says, ready for questions.

Derived: every row can be made again from the git repository alone.  The table
``materials`` holds intervals: a row is true from version ``first`` up to, but
without, version ``until`` (null: still true).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from archiver.model import Change, Event, Hold, Material, Op, Promises, Submission, Submitted, Version
from archiver.store import names
from archiver.store.database import connect, connect_read_only, create_schema, is_damage

_SCHEMA_VERSION = 4
_SCHEMA = """
create table meta (key text primary key, value text not null) without rowid;
create table submissions (
    id integer primary key, filing text not null, name text not null,
    filing_folder blob not null, folder blob not null, unique (filing, name));
create table versions (
    id integer primary key, submission integer not null, number integer not null,
    tag text not null unique, "commit" text not null, seq integer not null,
    captured_at text not null, clock text not null, files integer not null,
    bytes integer not null, added integer not null, modified integer not null,
    deleted integer not null, stored integer not null, unique (submission, number));
create table submitted (
    tag text primary key, version integer not null, "on" text not null, kind text not null,
    number text, "by" text, receipt text, at text not null, clock text not null) without rowid;
create index submitted_version on submitted (version);
create table promises (scope text primary key, years integer not null) without rowid;
create table holds (
    name text not null, object text not null, reason text not null, "by" text, user text not null,
    placed text not null, lifted text, lift_reason text);
create unique index holds_now on holds (name, object) where lifted is null;
create index holds_object on holds (object);
create table materials (
    submission integer not null, path blob not null, sha256 text, size integer not null,
    mtime_ns integer not null, first integer not null, until integer);
create unique index materials_now on materials (submission, path) where until is null;
create index materials_content on materials (sha256);
create index materials_all on materials (submission, path, first);
"""

_HOLD = 'name, object, reason, "by", user, placed, lifted, lift_reason'
_VERSIONS = """
select v.id, s.filing, s.name, s.filing_folder, s.folder, v.number, v."commit", v.captured_at,
       v.clock, v.files, v.bytes, v.added, v.modified, v.deleted,
       (select n.clock from versions n where n.submission = v.submission and n.number = v.number + 1)
from versions v join submissions s on s.id = v.submission
"""


class IndexDamaged(Exception):
    """The file is not a usable index; it can be rebuilt."""


class Index:
    """One open ``index.db``."""

    def __init__(self, path: Path, read_only: bool = False) -> None:
        """Open or make the index; raises IndexDamaged."""
        self.path = path
        try:
            self._db = _connect(path, read_only)
            self._prepare(read_only)
        except sqlite3.DatabaseError as error:
            if is_damage(error):
                raise IndexDamaged(str(error)) from error
            raise

    def _prepare(self, read_only: bool) -> None:
        (version,) = self._db.execute("pragma user_version").fetchone()
        if version == 0 and not read_only:
            create_schema(self._db, _SCHEMA, _SCHEMA_VERSION)
        elif version != _SCHEMA_VERSION:
            raise IndexDamaged(f"schema {version}")
        self._db.execute("select count(*) from meta").fetchone()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @property
    def head(self) -> str | None:
        """The journal commit up to which the index is complete."""
        row = self._db.execute("select value from meta where key = 'head'").fetchone()
        return None if row is None else str(row[0])

    @property
    def layout(self) -> str:
        """The folder layout that the archive was made for."""
        row = self._db.execute("select value from meta where key = 'layout'").fetchone()
        return "" if row is None else str(row[0])

    def promises(self) -> Promises:
        """The strictest retention that was ever in force: what was promised stays promised."""
        rows = self._db.execute("select scope, years from promises")
        zones = self._db.execute("select key from meta where key like 'zone:%' order by key")
        live = self._db.execute("select 1 from meta where key = 'live'").fetchone()
        names = tuple(row[0].removeprefix("zone:") for row in zones)
        return Promises(dict(rows.fetchall()), names, live is not None)

    # --- writing

    def apply(self, event: Event, changes: Iterable[Change]) -> None:
        """Take in one event; the whole event or nothing of it."""
        with self._db:
            if event.action == "capture":
                self._capture(event, changes)
            elif event.action == "submit":
                self._submit(event)
            elif event.action == "hold":
                self._hold(event)
            elif event.action == "lift":
                self._lift(event)
            elif event.action in ("init", "policy"):
                self._settings(event)
            self._db.execute("insert or replace into meta values ('head', ?)", (event.commit,))
            self._db.execute("insert or replace into meta values ('seq', ?)", (str(event.seq),))

    def _settings(self, event: Event) -> None:
        if event.action == "init":
            self._db.execute("insert into meta values ('layout', ?)", (event.details["layout"],))
        details = event.details
        scopes = {"": details["retention_years"], **details.get("scopes", {})}
        for scope, years in scopes.items():
            self._db.execute(
                "insert into promises values (?, ?) on conflict (scope) do update set years = max(years, ?)",
                (scope, years, years),
            )
        if zone := details.get("timezone"):
            self._db.execute("insert or ignore into meta values (?, '')", (f"zone:{zone}",))
        if details.get("hold_while_live"):
            self._db.execute("insert or ignore into meta values ('live', '')")

    def _capture(self, event: Event, changes: Iterable[Change]) -> None:
        details = event.details
        filing, name, _ = event.object.rsplit("/", 2)
        submission = self._submission_id(filing, name, details)
        number = details["version"]
        branch = f"refs/heads/filings/{filing}/{name}"
        listed = list(changes)
        counts = [details[key] for key in ("files", "bytes", "added", "modified", "deleted")]
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

    def _submission_id(self, filing: str, name: str, details: dict[str, Any]) -> int:
        self._db.execute(
            "insert or ignore into submissions values (null, ?, ?, ?, ?)",
            (filing, name, names.raw(details["filing"]), names.raw(details["submission"])),
        )
        return self._id_of(filing, name) or 0

    def _id_of(self, filing: str, name: str) -> int | None:
        row = self._db.execute(
            "select id from submissions where filing = ? and name = ?", (filing, name)
        ).fetchone()
        return None if row is None else int(row[0])

    def _materials(self, submission: int, number: int, changes: list[Change]) -> None:
        # All endings first: in a chain of renames a new name is another's old one.
        gone = [change.source for change in changes if change.source is not None]
        gone += [c.path for c in changes if c.op in (Op.MODIFY, Op.DELETE, Op.RMDIR)]
        self._db.executemany(
            "update materials set until = ? where submission = ? and path = ? and until is null",
            ((number, submission, path) for path in gone),
        )
        self._db.executemany(
            "insert into materials values (?, ?, ?, ?, ?, ?, null)",
            (
                (submission, c.path, c.sha256, c.size, c.mtime_ns, number)
                for c in changes
                if c.op not in (Op.DELETE, Op.RMDIR)
            ),
        )

    def _submit(self, event: Event) -> None:
        details = event.details
        version = self._db.execute("select id from versions where tag = ?", (details["version"],))
        self._db.execute(
            "insert into submitted values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(details["tag"], version.fetchone()[0], details["on"], details["kind"]),
                *(details["number"], details["by"], details["receipt"], event.at, event.clock["time"]),
            ),
        )

    def _hold(self, event: Event) -> None:
        details = event.details
        self._db.execute(
            "insert into holds values (?, ?, ?, ?, ?, ?, null, null)",
            (
                *(details["name"], event.object, details["reason"], details["by"]),
                *(event.actor["user"] or str(event.actor["uid"]), event.at),
            ),
        )

    def _lift(self, event: Event) -> None:
        self._db.execute(
            "update holds set lifted = ?, lift_reason = ? where name = ? and object = ? and lifted is null",
            (event.at, event.details["reason"], event.details["name"], event.object),
        )

    # --- reading

    def holds(self, lifted: bool = False) -> list[Hold]:
        """The holds in force, or with ``lifted`` every one there ever was, oldest first."""
        where = "1" if lifted else "lifted is null"
        rows = self._db.execute(f"select {_HOLD} from holds where {where} order by placed, name, object")
        return [Hold(*row) for row in rows]

    def submissions(self) -> list[Submission]:
        """Every submission, by filing and name."""
        rows = self._db.execute(
            "select filing, name, filing_folder, folder from submissions order by filing, name"
        )
        return [Submission(*row) for row in rows]

    def versions(self, filing: str | None = None, name: str | None = None) -> list[Version]:
        """Versions, newest first, of everything, one filing or one submission."""
        where, values = ["1"], []
        for column, value in (("s.filing", filing), ("s.name", name)):
            if value is not None:
                where.append(f"{column} = ?")
                values.append(value)
        rows = self._db.execute(f"{_VERSIONS} where {' and '.join(where)} order by v.seq desc", values).fetchall()
        return [self._version(row) for row in rows]

    def version(self, tag: str) -> Version | None:
        """The version with this tag, also by one of its submitted tags."""
        row = self._db.execute(
            f"{_VERSIONS} where v.tag = ? or v.id = (select version from submitted where tag = ?)",
            (tag, tag),
        ).fetchone()
        return None if row is None else self._version(row)

    def latest(self, submission: Submission) -> Version | None:
        """The newest version of a submission."""
        row = self._db.execute(
            f"{_VERSIONS} where s.filing = ? and s.name = ? order by v.number desc limit 1",
            (submission.filing, submission.name),
        ).fetchone()
        return None if row is None else self._version(row)

    def counts(self) -> tuple[int, int]:
        """Number of versions, and of bytes that all versions hold together."""
        row = self._db.execute("select count(*), coalesce(sum(bytes), 0) from versions").fetchone()
        return int(row[0]), int(row[1])

    def first_capture(self) -> str | None:
        """When the first version was captured (RFC 3339)."""
        row = self._db.execute("select min(captured_at) from versions").fetchone()
        return None if row[0] is None else str(row[0])

    def stored(self, since: str = "") -> int:
        """Bytes of content, each counted once, that came in since then (RFC 3339)."""
        query = "select coalesce(sum(stored), 0) from versions where captured_at >= ?"
        return int(self._db.execute(query, (since,)).fetchone()[0])

    def tags(self) -> list[str]:
        """Every version's and every handing-in's tag."""
        rows = self._db.execute("select tag from versions union select tag from submitted order by 1")
        return [row[0] for row in rows]

    def _version(self, row: tuple[Any, ...]) -> Version:
        identity, filing, name, filing_folder, folder, *rest = row
        handed_in = self._db.execute(
            'select tag, "on", kind, number, "by", receipt, at, clock from submitted '
            "where version = ? order by at",
            (identity,),
        )
        held = self._db.execute(
            f"select {_HOLD} from holds where object in (?, ?, ?) and lifted is null order by placed, name",
            (filing, f"{filing}/{name}", f"{filing}/{name}/v{rest[0]}"),
        )
        number, commit, captured_at, clock, files, size, added, modified, deleted, superseded = rest
        return Version(
            Submission(filing, name, filing_folder, folder),
            number,
            commit,
            captured_at,
            clock,
            files,
            size,
            added,
            modified,
            deleted,
            tuple(Submitted(*each) for each in handed_in),
            tuple(Hold(*each) for each in held),
            superseded,
        )

    def materials(self, submission: Submission, number: int | None = None) -> Iterator[Material]:
        """The materials of a version (None: of the newest), by raw path."""
        identity = self._id_of(submission.filing, submission.name)
        if number is None:
            rows = self._db.execute(
                "select path, sha256, size, mtime_ns from materials "
                "where submission = ? and until is null order by path",
                (identity,),
            )
        else:
            rows = self._db.execute(
                "select path, sha256, size, mtime_ns from materials where submission = ? "
                "and first <= ? and (until is null or until > ?) order by path",
                (identity, number, number),
            )
        for row in rows:
            yield Material(*row)

    def holding(self, sha256: str) -> list[Version]:
        """Every version that holds this content."""
        rows = self._db.execute(
            f"{_VERSIONS} join materials m on m.submission = v.submission where m.sha256 = ? "
            "and m.first <= v.number and (m.until is null or m.until > v.number) group by v.id",
            (sha256,),
        ).fetchall()
        return [self._version(row) for row in rows]

    def material(self, submission: Submission, path: bytes) -> Material | None:
        """What the newest version holds under ``path``."""
        row = self._db.execute(
            "select path, sha256, size, mtime_ns from materials "
            "where submission = ? and path = ? and until is null",
            (self._id_of(submission.filing, submission.name), path),
        ).fetchone()
        return None if row is None else Material(*row)


def _connect(path: Path, read_only: bool) -> sqlite3.Connection:
    if read_only:
        return connect_read_only(path)
    return connect(path)
