"""Open derived SQLite databases, which several processes share and which are thrown away when damaged."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from archiver import clock
from archiver.model import JournalPoint
from archiver.path_existence import is_there
from archiver.store.permissions import mask_of

#: A shorter wait fails on a busy machine; a longer one hides that a process hangs with a transaction open.
_BUSY_SECONDS = 30.0
_RETRY_SECONDS = 0.02
#: Files that SQLite keeps beside a database.
_COMPANIONS = ("-wal", "-shm", "-journal")


def connect(path: Path) -> sqlite3.Connection:
    """Open or create a derived database with a write-ahead log, for the caller to close; raises sqlite3.Error."""
    _make_file(path)
    database = sqlite3.connect(path, timeout=_BUSY_SECONDS)
    with close_on_error(database):
        deadline = clock.monotonic() + _BUSY_SECONDS
        while True:
            try:
                database.execute("pragma journal_mode = wal")
                break
            except sqlite3.OperationalError as error:
                # Changing the mode does not wait for a process that is just doing the same.
                if "locked" not in str(error) or clock.monotonic() > deadline:
                    raise
                time.sleep(_RETRY_SECONDS)
        database.execute("pragma synchronous = normal")
    return database


@contextmanager
def close_on_error(database: sqlite3.Connection) -> Iterator[None]:
    """Close a new connection if the block fails, and let the error pass.

    A connection is part of a reference cycle with its statements: nothing else would close its descriptors before
    the garbage collector runs.
    """
    try:
        yield
    except BaseException:
        database.close()
        raise


def _make_file(path: Path) -> None:
    """Create the file of a new database with the mode that the folder allows, whatever the umask of this process.

    SQLite gives the files beside it the same mode.
    """
    # If the file exists, SQLite opens it; if the file cannot be created, SQLite reports the reason.
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o666 & ~mask_of(path.parent))
        finally:
            os.close(descriptor)


def open_or_recreate(path: Path, schema: str, version: int) -> sqlite3.Connection:
    """Open a derived database; create one that is missing, and replace one that is damaged or of another schema.

    Raises sqlite3.Error for any other failure: a lock, a full or a read-only disk.
    """
    try:
        return _open_with_schema(path, schema, version)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        remove(path)
        return _open_with_schema(path, schema, version)


def _open_with_schema(path: Path, schema: str, version: int) -> sqlite3.Connection:
    database = connect(path)
    with close_on_error(database):
        (found_version,) = database.execute("pragma user_version").fetchone()
        if found_version == 0:
            create_schema(database, schema, version)
        elif found_version != version:
            raise sqlite3.DatabaseError(f"schema {found_version}")
    return database


def open_or_empty(path: Path, schema: str) -> sqlite3.Connection:
    """Open a derived database with a table ``meta`` without writing; raises sqlite3.Error as above.

    A database that is missing, damaged or just being made by another process reads as an empty one.
    """
    if is_there(path):
        try:
            database = connect_read_only(path)
            with close_on_error(database):
                database.execute("select count(*) from meta").fetchone()
            return database
        except sqlite3.DatabaseError as error:
            # Whoever may write it makes it anew.
            if not is_damage(error):
                raise
    empty_database = sqlite3.connect(":memory:")
    empty_database.executescript(schema)
    return empty_database


def create_schema(database: sqlite3.Connection, schema: str, version: int) -> None:
    """Create the tables of ``schema``, unless another process has just done so."""
    database.execute("begin immediate")
    with database:
        if database.execute("pragma user_version").fetchone()[0] == 0:
            for statement in schema.split(";"):
                database.execute(statement)
            database.execute(f"pragma user_version = {version}")


def stored_integer(value: int) -> int | bytes:
    """Return an integer in the form that is stored: as digits above SQLite's signed 64 bits.

    Filesystems deliver times past the year 2262 and inode numbers of 64 bits without a sign.  Digits are
    stored as bytes: of text, a column for integers would make a number that is not exact.
    """
    return value if -(1 << 63) <= value < 1 << 63 else b"%d" % value


def read_integer(stored: int | bytes) -> int:
    """Return the integer from the result of :func:`stored_integer`."""
    return int(stored)


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Return True if the file itself is bad; False for a lock, a read-only or a full disk."""
    return not isinstance(error, sqlite3.OperationalError) or "no such" in str(error)


def read_point(database: sqlite3.Connection) -> JournalPoint | None:
    """Return the newest event in a database with a table ``meta``; None for a new database."""
    fields = dict(
        database.execute("select key, value from meta where key in ('archive', 'seq', 'digest', 'head')")
    )
    if len(fields) < 4:
        return None
    return JournalPoint(fields["archive"], int(fields["seq"]), fields["digest"], fields["head"])


def point_of(database_path: Path) -> JournalPoint | None:
    """Return :func:`read_point` of a closed database; None also if the file is missing or unreadable."""
    try:
        with closing(connect_read_only(database_path)) as database:
            return read_point(database)
    except (sqlite3.Error, ValueError, OSError):
        # A derived database without a point says nothing about the journal, and is made anew.
        return None


def write_point(database: sqlite3.Connection, point: JournalPoint) -> None:
    """Record the newest event in a database; the caller commits."""
    values = (
        ("archive", point.archive_id),
        ("seq", str(point.seq)),
        ("digest", point.sha256),
        ("head", point.commit),
    )
    database.executemany("insert or replace into meta values (?, ?)", values)


def file_identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode of a file, by which a replaced file is recognized; None if the file is missing."""
    try:
        file_stat = os.stat(path)
    except OSError:
        # Gone, or on a volume that is not mounted now.
        return None
    return file_stat.st_dev, file_stat.st_ino


def replace(new_path: Path, path: Path) -> None:
    """Put the closed database ``new_path`` in the place of another.

    The old write-ahead log is removed first: SQLite would apply it to the new file.
    """
    for suffix in _COMPANIONS:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    os.rename(new_path, path)


def remove(path: Path) -> None:
    """Delete a derived database, which can be rebuilt, and its companions."""
    for suffix in ("", *_COMPANIONS):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open without writing a byte, even in a read-only folder, for the caller to close; raises sqlite3.Error."""
    # A reader without write access to the folder cannot share the write-ahead log.
    uri_options = "mode=ro" if is_there(path.with_name(path.name + "-wal")) else "mode=ro&immutable=1"
    return sqlite3.connect(f"{path.as_uri()}?{uri_options}", uri=True, timeout=_BUSY_SECONDS)
