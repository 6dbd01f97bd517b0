"""Open derived SQLite databases, which several processes share.

A derived database contains nothing that the journal lacks, so a damaged one is deleted and built again.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote_from_bytes

from archiver import clock
from archiver.model import JournalPoint
from archiver.path_existence import is_there
from archiver.store.permissions import umask_for

#: How long to wait for another process's lock.  A shorter wait fails on a busy machine; a longer one hides that a
#: process hangs with a transaction open.
_BUSY_SECONDS = 30.0
_RETRY_SECONDS = 0.02
#: SQLite's own name for a database without a file.
IN_MEMORY = Path(":memory:")
#: The keys in the table ``meta`` under which a JournalPoint is stored, in the order of its fields.
_JOURNAL_POINT_KEYS = ("archive", "seq", "digest", "head")
#: Suffixes of the files that SQLite keeps next to a database.
_COMPANION_SUFFIXES = ("-wal", "-shm", "-journal")


def connect(path: Path) -> sqlite3.Connection:
    """Open a derived database for writing, with a write-ahead log; create an empty one if the file is missing.

    IN_MEMORY as ``path`` stands for a database without a file.  The caller closes the connection.  Raises
    sqlite3.Error.
    """
    if path != IN_MEMORY:
        _create_database_file(path)
    database = sqlite3.connect(path, timeout=_BUSY_SECONDS)
    with close_on_error(database):
        deadline = clock.monotonic_seconds() + _BUSY_SECONDS
        while True:
            try:
                database.execute("pragma journal_mode = wal")
                break
            except sqlite3.OperationalError as error:
                # SQLite does not apply its timeout when two processes change the mode at the same moment.
                if "locked" not in str(error) or clock.monotonic_seconds() > deadline:
                    raise
                time.sleep(_RETRY_SECONDS)
        database.execute("pragma synchronous = normal")
    return database


@contextmanager
def close_on_error(database: sqlite3.Connection) -> Iterator[None]:
    """Close ``database`` if the block raises an error, and raise the same error.

    This is for a block that prepares a new connection.  Without it, the descriptors would stay open until the
    garbage collector runs, because a connection and its statements refer to each other.
    """
    try:
        yield
    except BaseException:
        database.close()
        raise


def _create_database_file(path: Path) -> None:
    """Create an empty file for a new database, with the mode that suits the access to its folder.

    The process's umask is ignored.  SQLite gives its companion files the same mode.  Does nothing if the file
    exists, or if it cannot be created.
    """
    # If the file cannot be created, SQLite fails to open it, and reports the reason.
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o666 & ~umask_for(path.parent))
        finally:
            os.close(descriptor)


def open_or_recreate(path: Path, schema: str, version: int) -> sqlite3.Connection:
    """Open a derived database with the tables of ``schema``; the caller closes it.

    ``schema`` holds SQL statements separated by semicolons, and ``version`` is its number, above 0.  A missing
    database is created.  A damaged one, or one of another version, is deleted and created again, empty.

    Raises sqlite3.Error for any other failure: a lock, a full or a read-only disk.
    """
    try:
        return _open_with_schema(path, schema, version)
    except sqlite3.DatabaseError as error:
        if not is_damage_error(error):
            raise
        delete_database(path)
        return _open_with_schema(path, schema, version)


def _open_with_schema(path: Path, schema: str, version: int) -> sqlite3.Connection:
    """Open a database, and create the tables if it is new; raises sqlite3.Error, also for another version."""
    database = connect(path)
    with close_on_error(database):
        # SQLite leaves user_version to the program; it is 0 in a new database.
        (stored_version,) = database.execute("pragma user_version").fetchone()
        if stored_version == 0:
            create_schema(database, schema, version)
        elif stored_version != version:
            raise sqlite3.DatabaseError(f"schema {stored_version}")
    return database


def open_read_only_or_empty(path: Path, schema: str, version: int) -> sqlite3.Connection:
    """Open a derived database read-only; the caller closes it.

    If the database is missing, damaged, of another version, or just being created by another process, an empty
    database in memory is returned instead.  It has the tables of ``schema``, which must include ``meta``.  Raises
    sqlite3.Error for any other failure.
    """
    if is_there(path):
        try:
            database = connect_read_only(path)
            with close_on_error(database):
                database.execute("select count(*) from meta").fetchone()
                (stored_version,) = database.execute("pragma user_version").fetchone()
                if stored_version != version:
                    raise sqlite3.DatabaseError(f"schema {stored_version}")
            return database
        except sqlite3.DatabaseError as error:
            # A damaged database is left alone here: a process that may write replaces it.
            if not is_damage_error(error):
                raise
    empty_database = sqlite3.connect(IN_MEMORY)
    empty_database.executescript(schema)
    return empty_database


def create_schema(database: sqlite3.Connection, schema: str, version: int) -> None:
    """Create the tables of ``schema`` and record its version, unless another process has just created them.

    Commits both in one transaction.  Raises sqlite3.Error.
    """
    database.execute("begin immediate")
    with database:
        if database.execute("pragma user_version").fetchone()[0] == 0:
            for statement in schema.split(";"):
                database.execute(statement)
            database.execute(f"pragma user_version = {version}")


def to_stored_integer(value: int) -> int | bytes:
    """Return ``value`` in the form for storing: unchanged, or as decimal digits if outside SQLite's range.

    SQLite's integers have 64 bits with a sign.  Unsigned inode numbers can exceed them, and so can times past the
    year 2262 in nanoseconds.  The digits are bytes, because SQLite would turn digits that are text into an inexact
    floating-point number in a column for integers.
    """
    return value if -(1 << 63) <= value < 1 << 63 else b"%d" % value


def from_stored_integer(stored: int | bytes) -> int:
    """Return the integer from which :func:`to_stored_integer` made ``stored``."""
    return int(stored)


def is_damage_error(error: sqlite3.DatabaseError) -> bool:
    """Return True if the error shows that the file itself is bad; False for a lock, a read-only or a full disk."""
    # SQLite reports a missing table or column ("no such table") as an operational error, but it is damage too.
    return not isinstance(error, sqlite3.OperationalError) or "no such" in str(error)


def read_journal_point(database: sqlite3.Connection) -> JournalPoint | None:
    """Return the newest journal event that a derived database includes; None without events.

    Raises sqlite3.Error, for example if the table ``meta`` is missing, and ValueError if the stored number of the
    event is not a number.
    """
    stored_values = dict(
        database.execute("select key, value from meta where key in (?, ?, ?, ?)", _JOURNAL_POINT_KEYS)
    )
    if len(stored_values) < len(_JOURNAL_POINT_KEYS):
        return None
    archive_id, seq, sha256, commit = (stored_values[key] for key in _JOURNAL_POINT_KEYS)
    return JournalPoint(archive_id, int(seq), sha256, commit)


def read_journal_point_of_file(database_path: Path) -> JournalPoint | None:
    """Return the newest journal event that a database file includes; None for an empty or unusable database.

    The file is open only during the call, and nothing is written.
    """
    try:
        with closing(connect_read_only(database_path)) as database:
            return read_journal_point(database)
    except (sqlite3.Error, ValueError, OSError):
        # Without a JournalPoint, the database says nothing about the journal, and will be rebuilt.
        return None


def write_journal_point(database: sqlite3.Connection, point: JournalPoint) -> None:
    """Record ``point`` as the newest journal event that a derived database includes; the caller commits."""
    stored_values = (point.archive_id, str(point.seq), point.sha256, point.commit)
    database.executemany(
        "insert or replace into meta (key, value) values (?, ?)",
        zip(_JOURNAL_POINT_KEYS, stored_values, strict=True),
    )


def file_identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode of a file, which change if the file is replaced; None if it cannot be reached."""
    try:
        file_stat = os.stat(path)
    except OSError:
        # The file is missing, or its volume is not mounted.
        return None
    return file_stat.st_dev, file_stat.st_ino


def replace_database(new_path: Path, path: Path) -> None:
    """Replace the database file ``path`` by the file ``new_path``, which is renamed; raises OSError.

    Both databases must be closed.  The write-ahead log of the old database is removed first, because SQLite would
    apply it to the new file.
    """
    for suffix in _COMPANION_SUFFIXES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    os.rename(new_path, path)


def delete_database(path: Path) -> None:
    """Delete a derived database, which can be rebuilt, and any companion files, if present; raises OSError."""
    for suffix in ("", *_COMPANION_SUFFIXES):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open a database for reading, without writing a byte; this also works in a read-only folder.

    The caller closes the connection.  Raises sqlite3.Error, for example if the file is missing.
    """
    # If there is no write-ahead log, nobody is writing.  The option "immutable" then keeps SQLite from creating a
    # log, for which it needs write access to the folder.
    uri_options = "mode=ro" if is_there(path.with_name(path.name + "-wal")) else "mode=ro&immutable=1"
    # Path.as_uri() gives the same, but since Python 3.14 imports urllib.request, which takes tens of milliseconds.
    uri = f"file://{quote_from_bytes(os.fsencode(path.absolute()))}?{uri_options}"
    return sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS)
