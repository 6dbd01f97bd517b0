"""Keep databases that do not belong to the journal until a person has accepted the loss that they prove.

After a restore of the repository from last night's backup, the databases are of today.  They must not be used, but
nothing else shows which versions were lost with the newer history.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Container, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from archiver.path_existence import is_there
from archiver.store import sqlite
from archiver.store.index.index_schema import RECORDS

FOLDER = "set-aside"


@dataclass(frozen=True, slots=True)
class LostVersion:
    """A version in a database and not in the journal; ``captured_at`` is empty if unknown."""

    tag: str
    captured_at: str = ""


@dataclass(frozen=True, slots=True, order=True)
class LostRecord:
    """A hold, a submission to the regulator, or another record in a database and not in the journal."""

    action: str
    object: str
    at: str

    def __str__(self) -> str:
        return f"{self.action} {self.object}"


def set_aside(root: Path, name: str) -> Path:
    """Move the closed database ``name`` of the archive at ``root`` out of use; return the new path.

    Raises OSError.
    """
    with suppress(sqlite3.Error), closing(sqlite3.connect(root / name)) as database:
        # The write-ahead log may hold the newest rows.  A damaged database is moved as it is.
        database.execute("pragma wal_checkpoint(truncate)")
    aside_path = put_away(root, root / name)
    for suffix in ("-wal", "-shm", "-journal"):
        (root / (name + suffix)).unlink(missing_ok=True)
    return aside_path


def put_away(root: Path, path: Path) -> Path:
    """Move a file, folder or link, if any, out of use; return the new path.  Raises OSError."""
    folder = root / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    number = 1
    while is_there(aside_path := folder / f"{path.name}.{number}", follow_links=False):
        number += 1
    if is_there(path, follow_links=False):
        os.rename(path, aside_path)
    return aside_path


def databases(root: Path) -> list[Path]:
    """Return the databases set aside whose loss is not accepted yet; ``archiver status`` warns of them."""
    try:
        return sorted(path for path in (root / FOLDER).iterdir() if ".db." in path.name)
    except (FileNotFoundError, PermissionError):
        # Nothing was ever set aside, or this reader of the archive may not see it: the folder is for the owner.
        return []


def lost_versions(root: Path, commits_by_tag: Mapping[str, str]) -> list[LostVersion]:
    """Return the versions in databases set aside that the journal lacks.

    ``commits_by_tag`` are the versions of the journal.  An unreadable database contributes none; :func:`databases`
    lists it all the same.
    """
    lost_by_tag: dict[str, LostVersion] = {}
    for path in databases(root):
        # Contributes none: see above.
        with suppress(sqlite3.Error):
            for tag, commit, captured_at in _read_versions(path):
                if commits_by_tag.get(tag) != commit:
                    lost_by_tag[tag] = LostVersion(
                        tag, captured_at or (lost_by_tag[tag].captured_at if tag in lost_by_tag else "")
                    )
    return [lost_by_tag[tag] for tag in sorted(lost_by_tag)]


def lost_records(root: Path, journal_records: Container[tuple[str, str, str]]) -> list[LostRecord]:
    """Return the other records in databases set aside that are not among ``journal_records``, sorted."""
    lost: set[LostRecord] = set()
    for path in databases(root):
        # An unreadable database contributes none, as in lost_versions.
        with suppress(sqlite3.Error), closing(sqlite.connect_read_only(path)) as database:
            lost.update(LostRecord(*row) for row in database.execute(RECORDS) if row not in journal_records)
    return sorted(lost)


def newest_events(root: Path) -> list[int]:
    """Return the number of the newest event in each database set aside."""
    points = [sqlite.point_of(path) for path in databases(root)]
    return [point.seq for point in points if point is not None]


def _read_versions(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield tag, commit and time of each version in a database; ``state.db`` has the newest without times."""
    query = 'select tag, "commit", captured_at from versions'
    if path.name.startswith("state.db"):
        query = """select tag, "commit", '' from captured"""
    with closing(sqlite.connect_read_only(path)) as database:
        yield from database.execute(query)


def discard(root: Path) -> None:
    """Delete the databases set aside, once the journal lists their loss."""
    for path in databases(root):
        sqlite.remove(path)
