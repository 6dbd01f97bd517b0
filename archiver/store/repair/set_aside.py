"""Keep databases that do not fit the journal, until a person has accepted the loss that the databases prove.

For example, if the repository is restored from last night's backup, the databases are still those of today.  They
must not be used, but nothing else shows which versions were lost.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Container, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from archiver.naming.ref_names import RefName
from archiver.path_existence import is_there
from archiver.store import sqlite
from archiver.store.index.index_schema import COMPARABLE_RECORDS_QUERIES

FOLDER = "set-aside"


class LostVersion(NamedTuple):
    """A version that a database or a ref has and the journal lacks.

    ``captured_at`` is the time of its capture (RFC 3339); empty if unknown.
    """

    tag: RefName
    captured_at: str = ""


@dataclass(frozen=True, slots=True, order=True)
class LostRecord:
    """A hold, a submission to the regulator, or another record that a database has and the journal lacks."""

    action: str
    object: RefName
    at: str

    def __str__(self) -> str:
        return f"{self.action} {self.object.for_people}"


def set_aside(root: Path, name: str) -> Path:
    """Move the closed database ``name`` of the archive at ``root`` to the folder of files set aside.

    Returns the new path.  Raises OSError.
    """
    with suppress(sqlite3.Error), closing(sqlite3.connect(root / name)) as database:
        # Write the newest rows from the write-ahead log, which is deleted below, to the database.  A damaged
        # database is moved as it is.
        database.execute("pragma wal_checkpoint(truncate)")
    aside_path = put_away(root, root / name)
    for suffix in ("-wal", "-shm", "-journal"):
        (root / (name + suffix)).unlink(missing_ok=True)
    return aside_path


def put_away(root: Path, path: Path) -> Path:
    """Move ``path``, if it exists, to the archive's folder of files set aside, under an unused name.

    Returns the new path, even if there was nothing to move.  Raises OSError.
    """
    folder = root / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    number = 1
    while is_there(aside_path := folder / f"{path.name}.{number}", follow_links=False):
        number += 1
    if is_there(path, follow_links=False):
        os.rename(path, aside_path)
    return aside_path


def databases(root: Path) -> list[Path]:
    """Return the sorted paths of the databases set aside; ``archiver status`` warns as long as there are any."""
    try:
        return sorted(path for path in (root / FOLDER).iterdir() if ".db." in path.name)
    except (FileNotFoundError, PermissionError):
        # Nothing was ever set aside, or this user is not the owner, who alone may read the folder.
        return []


def databases_of_archive(root: Path, archive_id: str) -> list[Path]:
    """Return the paths of the databases set aside, except databases of another archive, which prove no loss here.

    ``archive_id`` is the hexadecimal digest of the first event, or the first digits of it, as in a JournalPoint.
    A database that names no archive, such as a damaged one, is included.
    """
    return [
        path
        for path in databases(root)
        if (point := sqlite.read_journal_point_of_file(path)) is None or archive_id.startswith(point.archive_id)
    ]


def lost_versions(root: Path, archive_id: str, commits_by_tag: Mapping[RefName, str]) -> list[LostVersion]:
    """Return the versions that databases set aside have and the journal lacks, sorted by tag.

    ``commits_by_tag`` has the commit of each version in the journal.  An unreadable database adds no version, but
    :func:`databases` lists the file.
    """
    lost_by_tag: dict[str, LostVersion] = {}
    for path in databases_of_archive(root, archive_id):
        # An unreadable database adds no version.
        with suppress(sqlite3.Error):
            for tag, commit, captured_at in _read_versions(path):
                if commits_by_tag.get(RefName(tag)) != commit:
                    lost_by_tag[tag] = LostVersion(
                        RefName(tag), captured_at or (lost_by_tag[tag].captured_at if tag in lost_by_tag else "")
                    )
    return [lost_by_tag[tag] for tag in sorted(lost_by_tag)]


def lost_records(
    root: Path, archive_id: str, journal_records: Container[tuple[str, str, str]]
) -> list[LostRecord]:
    """Return the records that databases set aside have and the journal lacks, sorted.

    ``journal_records`` are the records of the journal: action, object and time of each.
    """
    lost: set[LostRecord] = set()
    for path in databases_of_archive(root, archive_id):
        # An unreadable database adds no record.
        with suppress(sqlite3.Error), closing(sqlite.connect_read_only(path)) as database:
            for query in COMPARABLE_RECORDS_QUERIES:
                # A database of an earlier release lacks some of the tables.
                with suppress(sqlite3.OperationalError):
                    rows = database.execute(query).fetchall()
                    lost.update(
                        LostRecord(action, RefName(record_object), at)
                        for action, record_object, at in rows
                        if (action, record_object, at) not in journal_records
                    )
    return sorted(lost)


def newest_events(root: Path, archive_id: str) -> list[int]:
    """Return the number of the newest event in each readable database that was set aside."""
    points = [sqlite.read_journal_point_of_file(path) for path in databases_of_archive(root, archive_id)]
    return [point.seq for point in points if point is not None]


def _read_versions(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield tag, commit and time of capture of each version in a database; raises sqlite3.Error.

    ``state.db`` has only the newest version of each submission, and no times: the yielded times are empty.
    """
    query = 'select tag, "commit", captured_at from versions'
    if path.name.startswith("state.db"):
        query = """select tag, "commit", '' from captured"""
    with closing(sqlite.connect_read_only(path)) as database:
        yield from database.execute(query)


def discard(root: Path) -> None:
    """Delete the databases set aside, after the caller has journalled the loss that they prove. Raises OSError."""
    for path in databases(root):
        sqlite.delete_database(path)
