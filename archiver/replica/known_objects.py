"""``replica.db``: what is known to be in the bucket.  Derived: lost, it is made again from a listing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from archiver import clock
from archiver.existence import is_there
from archiver.store.sqlite import close_on_error, connect, connect_read_only, create_schema, is_damage, remove

_VERSION = 2
_SCHEMA = """
create table objects (
    key text primary key, version text not null, size integer not null, until text, held integer not null)
    without rowid;
create table meta (key text primary key, value text not null) without rowid;
"""


@dataclass(frozen=True, slots=True)
class Known:
    """One object in the bucket; ``until``: the end of its lock, None: it has none."""

    version: str
    size: int
    until: datetime | None
    held: bool


class State:
    """One open ``replica.db``."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open or make it; a damaged one is thrown away, which costs a listing."""
        if read_only:
            if is_there(path):
                self._db = connect_read_only(path)
            else:
                self._db = sqlite3.connect(":memory:")
                self._db.executescript(_SCHEMA)
            return
        try:
            self._db = _open(path)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            remove(path)
            self._db = _open(path)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def objects(self, prefix: str) -> dict[str, Known]:
        """What is known below a prefix, by key."""
        rows = self._db.execute(
            "select key, version, size, until, held from objects where key >= ? and key < ?",
            (prefix, prefix + "\U0010ffff"),
        )
        return {row[0]: _known(*row[1:]) for row in rows}

    def object(self, key: str) -> Known | None:
        """What is known of one key."""
        row = self._db.execute("select version, size, until, held from objects where key = ?", (key,)).fetchone()
        return None if row is None else _known(*row)

    def record(self, found: Iterable[tuple[str, Known]]) -> None:
        """Remember what was sent, moved or found there."""
        with self._db:
            self._db.executemany(
                "insert or replace into objects values (?, ?, ?, ?, ?)",
                (
                    (key, each.version, each.size, clock.stamp(each.until) if each.until else None, each.held)
                    for key, each in found
                ),
            )

    def forget(self, keys: Iterable[str]) -> None:
        """Forget what was deleted there."""
        with self._db:
            self._db.executemany("delete from objects where key = ?", ((key,) for key in keys))

    def meta(self, key: str) -> str:
        """The word under ``key``, or an empty one."""
        row = self._db.execute("select value from meta where key = ?", (key,)).fetchone()
        return "" if row is None else str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        """Leave a word under ``key``."""
        with self._db:
            self._db.execute("insert or replace into meta values (?, ?)", (key, value))


def _known(version: str, size: int, until: str | None, held: int) -> Known:
    return Known(version, size, clock.parse(until) if until else None, bool(held))


def _open(path: Path) -> sqlite3.Connection:
    database = connect(path)
    with close_on_error(database):
        (version,) = database.execute("pragma user_version").fetchone()
        if version == 0:
            create_schema(database, _SCHEMA, _VERSION)
        elif version != _VERSION:
            raise sqlite3.DatabaseError(f"schema {version}")
    return database
