"""Small SQLite databases that are derived: opened by several processes, thrown away when damaged."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from archiver import clock
from archiver.existence import is_there
from archiver.model import JournalPoint
from archiver.store.permissions import mask_of

_BUSY_SECONDS = 30.0


def connect(path: Path) -> sqlite3.Connection:
    """Open, or make, a derived database with a write-ahead log."""
    _make(path)
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
                time.sleep(0.02)
        database.execute("pragma synchronous = normal")
    return database


@contextmanager
def close_on_error(database: sqlite3.Connection) -> Iterator[None]:
    """Close a new connection when the first use of it fails, and let the error pass.

    It lies in a cycle with its cache of statements: its descriptors would stay open until the collector comes.
    """
    try:
        yield
    except BaseException:
        database.close()
        raise


def _make(path: Path) -> None:
    """Make the file of a new one, for those who may read its folder: whoever comes first has any umask.

    SQLite gives the files beside it the same mode, and says itself what stands in the way.
    """
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o666 & ~mask_of(path.parent))
        finally:
            os.close(descriptor)


def create_schema(database: sqlite3.Connection, schema: str, version: int) -> None:
    """Make the tables, unless another process has just made them."""
    database.execute("begin immediate")
    with database:
        if database.execute("pragma user_version").fetchone()[0] == 0:
            for statement in schema.split(";"):
                database.execute(statement)
            database.execute(f"pragma user_version = {version}")


def stored_integer(value: int) -> int | bytes:
    """Return an integer as it is stored: digits where SQLite's 64 bits, which have a sign, do not hold it.

    Filesystems deliver times past the year 2262 and inode numbers of 64 bits without a sign.  Digits are
    stored as bytes: of text, a column for integers would make a number that is not exact.
    """
    return value if -(1 << 63) <= value < 1 << 63 else b"%d" % value


def read_integer(stored: int | bytes) -> int:
    """Return what :func:`stored_integer` was given."""
    return int(stored)


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the file itself is bad; locked, read-only or a full disk are no damage."""
    return not isinstance(error, sqlite3.OperationalError) or "no such" in str(error)


def read_point(database: sqlite3.Connection) -> JournalPoint | None:
    """Return the journal event that a database with a table ``meta`` is bound to; None: it has read none."""
    rows = dict(database.execute("select key, value from meta where key in ('archive', 'seq', 'digest', 'head')"))
    if len(rows) < 4:
        return None
    return JournalPoint(rows["archive"], int(rows["seq"]), rows["digest"], rows["head"])


def point_of(path: Path) -> JournalPoint | None:
    """The same of a database that is not open; None also where there is none, or none that can be read."""
    try:
        with closing(connect_read_only(path)) as opened:
            return read_point(opened)
    except (sqlite3.Error, ValueError, OSError):
        return None


def write_point(database: sqlite3.Connection, point: JournalPoint) -> None:
    """Bind a database to a journal event; the caller commits."""
    values = (
        ("archive", point.archive_id),
        ("seq", str(point.seq)),
        ("digest", point.sha256),
        ("head", point.commit),
    )
    database.executemany("insert or replace into meta values (?, ?)", values)


def file_identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode of a database's file: another process may have put a new one in its place."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def replace(new: Path, path: Path) -> None:
    """Put a closed database into the place of another.

    The old write-ahead log goes first: SQLite would take it for the new file's.
    """
    for suffix in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    os.rename(new, path)


def remove(path: Path) -> None:
    """Delete an index and its companions; it is derived and can be rebuilt."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open without writing a byte, also where the folder cannot be written."""
    # A reader without write access to the folder cannot share the write-ahead log.
    mode = "mode=ro" if is_there(path.with_name(path.name + "-wal")) else "mode=ro&immutable=1"
    return sqlite3.connect(f"{path.as_uri()}?{mode}", uri=True, timeout=30)
