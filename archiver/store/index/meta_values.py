"""The values of the table ``meta`` while events are applied: written once for many events, not for each."""

from __future__ import annotations

import sqlite3


class MetaValues:
    """Texts by key, over the table ``meta`` of an open database.  The caller owns its transactions."""

    def __init__(self, database: sqlite3.Connection) -> None:
        """Begin without changes."""
        self._db = database
        self._changed: dict[str, str] = {}

    def get(self, key: str) -> str | None:
        """Return the value of ``key``; None if there is none."""
        if key in self._changed:
            return self._changed[key]
        row = self._db.execute("select value from meta where key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set(self, key: str, value: str) -> None:
        """Set a value; the table has it after :meth:`flush`.  The properties of ``Index`` describe the values."""
        self._changed[key] = value

    def changes(self) -> dict[str, str]:
        """Return a copy of the changes that the table does not have yet, for :meth:`restore`."""
        return dict(self._changed)

    def restore(self, changes: dict[str, str]) -> None:
        """Drop all changes since :meth:`changes` returned ``changes``; there was no :meth:`flush` in between."""
        self._changed = changes

    def flush(self) -> None:
        """Write the changes to the table."""
        self._db.executemany("insert or replace into meta (key, value) values (?, ?)", self._changed.items())
        self._changed.clear()
