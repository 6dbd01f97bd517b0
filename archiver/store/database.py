"""Small SQLite databases that are derived: opened by several processes, thrown away when damaged."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from archiver import clock

_BUSY_SECONDS = 30.0


def connect(path: Path) -> sqlite3.Connection:
    """Open, or make, a derived database with a write-ahead log."""
    database = sqlite3.connect(path, timeout=_BUSY_SECONDS)
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


def create_schema(database: sqlite3.Connection, schema: str, version: int) -> None:
    """Make the tables, unless another process has just made them."""
    database.execute("begin immediate")
    with database:
        if database.execute("pragma user_version").fetchone()[0] == 0:
            for statement in schema.split(";"):
                database.execute(statement)
            database.execute(f"pragma user_version = {version}")


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the file itself is bad; locked, read-only or a full disk are no damage."""
    return not isinstance(error, sqlite3.OperationalError) or "no such" in str(error)


def remove(path: Path) -> None:
    """Delete an index and its companions; it is derived and can be rebuilt."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open without writing a byte, also where the folder cannot be written."""
    # A reader without write access to the folder cannot share the write-ahead log.
    mode = "mode=ro" if path.with_name(path.name + "-wal").exists() else "immutable=1"
    return sqlite3.connect(f"{path.as_uri()}?{mode}", uri=True, timeout=30)
