"""Databases that do not belong to the journal, kept until somebody has seen what they knew.

A repository that came back from last night's backup lies beside the databases of today.  These
may not be believed, but they are all that tells which versions were lost with the newer history.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Container, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from archiver.existence import is_there
from archiver.store import sqlite
from archiver.store.index.index_schema import RECORDS

FOLDER = "set-aside"


@dataclass(frozen=True, slots=True)
class LostVersion:
    """A version that a database knew and the journal does not; ``captured_at`` is empty where it is not known."""

    tag: str
    captured_at: str = ""


@dataclass(frozen=True, slots=True, order=True)
class LostRecord:
    """A hold, a handing-in or the like that a database knew and the journal does not."""

    action: str
    object: str
    at: str

    def __str__(self) -> str:
        return f"{self.action} {self.object}"


def set_aside(root: Path, name: str) -> Path:
    """Move the closed database ``name`` of the archive at ``root`` out of use; returns where it lies now.

    Raises OSError.
    """
    with suppress(sqlite3.Error), closing(sqlite3.connect(root / name)) as opened:
        # What is still in the write-ahead log has to come along.
        opened.execute("pragma wal_checkpoint(truncate)")
    target = put_away(root, root / name)
    for suffix in ("-wal", "-shm", "-journal"):
        (root / (name + suffix)).unlink(missing_ok=True)
    return target


def put_away(root: Path, path: Path) -> Path:
    """Move a file, folder or link out of use, if it is there; returns where it lies now.  Raises OSError."""
    folder = root / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    number = 1
    while is_there(target := folder / f"{path.name}.{number}", follow_links=False):
        number += 1
    if is_there(path, follow_links=False):
        os.rename(path, target)
    return target


def databases(root: Path) -> list[Path]:
    """Every database that was set aside and not accepted yet, for ``archiver status`` to be red."""
    try:
        return sorted(path for path in (root / FOLDER).iterdir() if ".db." in path.name)
    except (FileNotFoundError, PermissionError):
        return []


def lost_versions(root: Path, known: Mapping[str, str]) -> list[LostVersion]:
    """The versions that databases set aside knew beyond the journal; ``known``: tags and commits of the journal's.

    A database that cannot be read tells nothing: it is listed by :func:`databases` all the same.
    """
    lost: dict[str, LostVersion] = {}
    for path in databases(root):
        with suppress(sqlite3.Error):
            for tag, commit, captured_at in _versions(path):
                if known.get(tag) != commit:
                    lost[tag] = LostVersion(tag, captured_at or (lost[tag].captured_at if tag in lost else ""))
    return [lost[tag] for tag in sorted(lost)]


def lost_records(root: Path, known: Container[tuple[str, str, str]]) -> list[LostRecord]:
    """What else databases set aside knew beyond the journal; ``known``: the records of the journal's index."""
    lost: set[LostRecord] = set()
    for path in databases(root):
        with suppress(sqlite3.Error), closing(sqlite.connect_read_only(path)) as opened:
            lost.update(LostRecord(*each) for each in opened.execute(RECORDS) if each not in known)
    return sorted(lost)


def newest_events(root: Path) -> list[int]:
    """The number of the newest event that each database set aside knew."""
    points = [sqlite.point_of(path) for path in databases(root)]
    return [point.seq for point in points if point is not None]


def _versions(path: Path) -> Iterator[tuple[str, str, str]]:
    """Tag, commit and time of each version that a database knows; ``state.db`` knows the newest, without times."""
    query = 'select tag, "commit", captured_at from versions'
    if path.name.startswith("state.db"):
        query = """select tag, "commit", '' from captured"""
    with closing(sqlite.connect_read_only(path)) as opened:
        yield from opened.execute(query)


def discard(root: Path) -> None:
    """Remove what was set aside, once the journal has a list of it."""
    for path in databases(root):
        sqlite.remove(path)
