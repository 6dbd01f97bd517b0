"""Open ``index.db``, and apply the journal's events to the tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from archiver.model import Change, Event, UnreadEvent
from archiver.naming.ref_names import SHORTENED_MARK, remember_folder_name
from archiver.store.events.event_kinds import ACTIONS
from archiver.store.index.index_schema import SCHEMA, SCHEMA_VERSION, IndexDamaged, IndexUnfinished
from archiver.store.sqlite import (
    IN_MEMORY,
    close_on_error,
    connect,
    connect_read_only,
    create_schema,
    file_identity,
    is_damage_error,
)

#: Events in one transaction. Fewer would cost more syncs; more would make the write-ahead log longer.
_TRANSACTION_EVENTS = 500


class IndexConnection:
    """An open ``index.db`` for a single thread, to be closed by the opener."""

    def __init__(self, path: Path, read_only: bool = False) -> None:
        """Open the index at ``path``.  A missing file is created unless ``read_only``.

        Raises IndexDamaged if the file is not a usable index of this release, sqlite3.Error for any other failure.
        """
        self.path = path
        self._read_only = read_only
        self._open_database()

    @classmethod
    def in_memory(cls) -> Self:
        """Create an empty index in memory, for an archive whose own index cannot be written."""
        return cls(IN_MEMORY)

    def _open_database(self) -> None:
        """Open the database at ``self.path``, check or create the schema, and remember the file's identity.

        Raises IndexDamaged if the file is not a usable index of this release, sqlite3.Error for any other failure.
        """
        try:
            database = connect_read_only(self.path) if self._read_only else connect(self.path)
            with close_on_error(database):
                _prepare_schema(database, self._read_only)
                _remember_long_names(database)
        except sqlite3.DatabaseError as error:
            if is_damage_error(error):
                raise IndexDamaged(str(error)) from error
            raise
        self._file_identity = file_identity(self.path)
        self._db = database

    def reopen(self, *, at: Path) -> None:
        """Close the present file, and open the file at ``at`` for writing.

        All users of this object query the new file from then on. Raises IndexDamaged if the file at ``at`` is not
        a usable index of this release, sqlite3.Error if it cannot be opened. The index is closed then.
        """
        self._db.close()
        self.path, self._read_only = at, False
        self._open_database()

    @property
    def is_file_replaced(self) -> bool:
        """True if another process has replaced or removed the open file."""
        return file_identity(self.path) != self._file_identity

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def unread_events(self) -> list[UnreadEvent]:
        """Return the events that this release does not understand, oldest first."""
        return _select_unread_events(self._db)

    def query(self, sql: str, sql_parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of the query ``sql``, with ``sql_parameters`` for the placeholders."""
        yield from self._db.execute(sql, sql_parameters)

    def apply_events(self, events: Iterable[tuple[Event, Iterable[Change]]]) -> None:
        """Apply events of the journal, oldest first, each with the changes of its version, and commit.

        An event is applied completely or not at all. An event that is malformed or contradicts the index goes to
        the table ``unread``, because a single bad event must not stop the archive. If an error occurs, for example
        in the iterator ``events``, the events applied before are committed.

        Raises sqlite3.Error if the index cannot be written.
        """
        # Imported here because most commands find the index up to date.
        from archiver.store.index.apply import INVALID_EVENT_ERRORS, EventApplier

        applier = EventApplier(self._db)
        try:
            for applied_count, (event, changes) in enumerate(events):
                if applied_count % _TRANSACTION_EVENTS == 0:
                    applier.flush()
                    self._db.commit()
                    self._db.execute("begin")
                self._db.execute("savepoint event")
                try:
                    applier.apply_event(event, changes)
                except INVALID_EVENT_ERRORS:
                    # The error is not lost: the event is recorded as unread, and ``status`` shows that.
                    self._db.execute("rollback to event")
                    applier.record_unreadable_event(event)
                except BaseException:
                    self._db.execute("rollback to event")
                    raise
                self._db.execute("release event")
        finally:
            applier.flush()
            self._db.commit()

    def _read_meta(self, key: str) -> str | None:
        """Return the value of ``key`` in the table ``meta``; None if there is none."""
        meta_row = self._db.execute("select value from meta where key = ?", (key,)).fetchone()
        return None if meta_row is None else str(meta_row[0])


def _prepare_schema(database: sqlite3.Connection, read_only: bool) -> None:
    """Create the tables of a new database, unless ``read_only``, and check any existing tables.

    Raises IndexUnfinished if the tables do not exist yet, IndexDamaged if they are those of another release,
    sqlite3.DatabaseError if the file is corrupt.
    """
    (schema_version,) = database.execute("pragma user_version").fetchone()
    if schema_version == 0 and not read_only:
        create_schema(database, SCHEMA, SCHEMA_VERSION)
    elif schema_version == 0:
        raise IndexUnfinished("it is being made")
    elif schema_version != SCHEMA_VERSION:
        raise IndexDamaged(f"its layout is {schema_version}, that of this release {SCHEMA_VERSION}")
    # This fails if the file is corrupt or the tables are missing.
    database.execute("select count(*) from meta").fetchone()
    # An older release may have skipped events that this release understands. These events have to be applied.
    if newly_known_actions := sorted({event.action for event in _select_unread_events(database)} & ACTIONS):
        raise IndexDamaged(f"made before {', '.join(newly_known_actions)}")


def _remember_long_names(database: sqlite3.Connection) -> None:
    """Remember the names of the folders whose ref components are shortened, for people to see the names."""
    long_names = database.execute(
        "select filing, filing_folder from submissions where instr(filing, ?1) "
        "union select name, folder from submissions where instr(name, ?1)",
        (SHORTENED_MARK,),
    )
    for component, raw_name in long_names:
        remember_folder_name(component, raw_name)


def _select_unread_events(database: sqlite3.Connection) -> list[UnreadEvent]:
    """Return the events in the table ``unread``, oldest first."""
    unread_rows = database.execute('select seq, "commit", action from unread order by seq')
    return [UnreadEvent(seq, commit, action) for seq, commit, action in unread_rows]
