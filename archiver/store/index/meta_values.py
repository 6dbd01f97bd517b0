"""Keep changed values of the table ``meta`` in memory, to write them once for many events instead of for each."""

from __future__ import annotations

import sqlite3


class MetaValues:
    """The values of the table ``meta`` in an open database, with changes that the table does not have yet.

    Values are texts.  The caller owns the transactions of the database.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        """Read from ``database``, without any changes yet.  The database is not closed here."""
        self._db = database
        self._changed: dict[str, str] = {}

    def get(self, key: str) -> str | None:
        """Return the value of ``key``, with any change that is not written yet; None if there is no value."""
        if key in self._changed:
            return self._changed[key]
        row = self._db.execute("select value from meta where key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set(self, key: str, value: str) -> None:
        """Set the value of ``key``, for :meth:`flush` to write.  The properties of ``Index`` explain the keys."""
        self._changed[key] = value

    def changes(self) -> dict[str, str]:
        """Return a copy of the changes that are not written yet, for :meth:`restore`."""
        return dict(self._changed)

    def restore(self, changes: dict[str, str]) -> None:
        """Drop all changes since :meth:`changes` returned ``changes``; not to be called after a later flush."""
        self._changed = changes

    def flush(self) -> None:
        """Write the changes to the table; the caller commits."""
        self._db.executemany("insert or replace into meta (key, value) values (?, ?)", self._changed.items())
        self._changed.clear()
