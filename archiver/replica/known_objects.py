"""``replica.db``: the objects known to be in the bucket, and the progress of the last sync.

Derived: a lost database costs a listing of the bucket, nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from archiver import clock
from archiver.store.sqlite import open_or_empty, open_or_recreate

_SCHEMA_VERSION = 2
_SCHEMA = """
create table objects (
    key text primary key, version text not null, size integer not null, until text, held integer not null)
    without rowid;
create table meta (key text primary key, value text not null) without rowid;
"""
# Keys of the table meta.
_LISTED = "listed"
_UNFINISHED = "unfinished"
_SYNCED_AT = "synced_at"
_LAST_SENT_EVENT = "seq"


@dataclass(frozen=True, slots=True)
class ReplicatedObject:
    """An object known to be in the bucket; ``locked_until`` is None for an object without a lock."""

    version_id: str
    size: int
    locked_until: datetime | None
    has_legal_hold: bool


def state_path(archive_root: Path) -> Path:
    """Return the path of the database in an archive."""
    return archive_root / "replica.db"


class ReplicaState:
    """An open ``replica.db``; the opener closes the database.

    Not safe for several threads. Every method commits before it returns, so a crash loses only the last call.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open or create the database.

        Read-only, a database that is missing, damaged or just being created reads as an empty one. Otherwise a
        damaged database, or one of another schema, is deleted and created again.

        Raises sqlite3.Error for any other failure.
        """
        self._database = (
            open_or_empty(path, _SCHEMA) if read_only else open_or_recreate(path, _SCHEMA, _SCHEMA_VERSION)
        )

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    # --- objects

    def objects_below(self, prefix: str) -> dict[str, ReplicatedObject]:
        """Return the known objects whose keys begin with ``prefix``, by key."""
        rows = self._database.execute(
            "select key, version, size, until, held from objects where key >= ? and key < ?",
            (prefix, prefix + "\U0010ffff"),
        )
        return {row[0]: _object_of_row(*row[1:]) for row in rows}

    def find_object(self, key: str) -> ReplicatedObject | None:
        """Return the known object under ``key``, if any."""
        query = "select version, size, until, held from objects where key = ?"
        row = self._database.execute(query, (key,)).fetchone()
        return None if row is None else _object_of_row(*row)

    def record_objects(self, objects: Iterable[tuple[str, ReplicatedObject]]) -> None:
        """Record objects by key; earlier records of the same keys are replaced."""
        rows = (
            (
                key,
                replicated.version_id,
                replicated.size,
                clock.stamp(replicated.locked_until) if replicated.locked_until else None,
                replicated.has_legal_hold,
            )
            for key, replicated in objects
        )
        with self._database:
            self._database.executemany("insert or replace into objects values (?, ?, ?, ?, ?)", rows)

    def forget_objects(self, keys: Iterable[str]) -> None:
        """Remove the records of objects deleted from the bucket."""
        with self._database:
            self._database.executemany("delete from objects where key = ?", ((key,) for key in keys))

    # --- progress

    def is_complete(self) -> bool:
        """Return True if the records are complete: the bucket was listed, and no sync broke off since."""
        return bool(self._meta(_LISTED)) and not self._meta(_UNFINISHED)

    def mark_listed(self) -> None:
        """Record the end of a listing: all objects of the bucket are recorded."""
        self._set_meta({_LISTED: "1"})

    def begin_sync(self) -> None:
        """Record the beginning of a sync: without a recorded end the next sync lists the bucket."""
        self._set_meta({_UNFINISHED: "1"})

    def finish_sync(self, finished_at: datetime) -> None:
        """Record the end of a complete sync."""
        self._set_meta({_UNFINISHED: "", _SYNCED_AT: clock.stamp(finished_at)})

    def last_sync_time(self) -> str | None:
        """Return when a sync last sent everything (RFC 3339), None if none ever did."""
        return self._meta(_SYNCED_AT) or None

    def last_sent_event(self) -> int:
        """Return the number of the newest event in the bucket, 0 for an empty bucket."""
        return int(self._meta(_LAST_SENT_EVENT) or 0)

    def set_last_sent_event(self, seq: int) -> None:
        """Record the number of the newest event in the bucket."""
        self._set_meta({_LAST_SENT_EVENT: str(seq)})

    def _meta(self, key: str) -> str:
        row = self._database.execute("select value from meta where key = ?", (key,)).fetchone()
        return "" if row is None else str(row[0])

    def _set_meta(self, values: dict[str, str]) -> None:
        with self._database:
            self._database.executemany("insert or replace into meta values (?, ?)", values.items())


def _object_of_row(version_id: str, size: int, locked_until: str | None, has_legal_hold: int) -> ReplicatedObject:
    return ReplicatedObject(
        version_id, size, clock.parse(locked_until) if locked_until else None, bool(has_legal_hold)
    )
