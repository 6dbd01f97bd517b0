"""Derived databases that cannot be opened."""

from __future__ import annotations

import gc
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from archiver.intake.snapshot import Snapshot
from archiver.replica.known_objects import ReplicaState
from archiver.store.creation.archive_creation import create_archive
from archiver.store.index import index_files
from archiver.store.index.index_schema import IndexDamaged
from archiver.store.index.queries import Index
from archiver.store.sqlite import connect, connect_read_only
from tests.store.test_store import CREATED


def open_files() -> set[str]:
    found = set()
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found.add(os.readlink(f"/proc/self/fd/{descriptor}").removesuffix(" (deleted)"))
    return found


@pytest.mark.parametrize("damage", ["other bytes", "other layout"])
@pytest.mark.parametrize(
    "opened",
    [Snapshot, partial(Snapshot, read_only=True), ReplicaState, Index, partial(Index, read_only=True)],
    ids=["snapshot", "snapshot read only", "replica state", "index", "index read only"],
)
def test_what_cannot_be_opened_is_closed_at_once(
    tmp_path: Path, opened: Callable[[Path], Any], damage: str
) -> None:
    path = tmp_path / "a.db"
    if damage == "other bytes":
        path.write_bytes(b"not a database, not at all" * 400)
    else:
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("pragma user_version = 99")
            database.execute("create table something (name text)")
    gc.disable()
    try:
        with suppress(IndexDamaged, sqlite3.DatabaseError):
            # A new one in its place is closed below; a descriptor of the old one would still be there.
            opened(path).close()
        assert os.fspath(path) not in open_files()
    finally:
        gc.enable()


@pytest.mark.parametrize("shown", [lambda path: _skipped_paths(path), lambda path: _replica_objects(path)])
@pytest.mark.parametrize("state", ["without tables", "empty", "damaged"])
def test_a_database_that_is_just_being_made_reads_as_an_empty_one(
    tmp_path: Path, shown: Callable[[Path], Any], state: str
) -> None:
    # Between the making of the file and of its tables, "archiver status" may look at it.
    path = tmp_path / "a.db"
    if state == "without tables":
        connect(path).close()
    else:
        path.write_bytes(b"" if state == "empty" else b"not a database, not at all" * 400)
    assert not shown(path)


def _skipped_paths(path: Path) -> object:
    with closing(Snapshot(path, read_only=True)) as snapshot:
        return snapshot.skipped()


def _replica_objects(path: Path) -> object:
    with closing(ReplicaState(path, read_only=True)) as state:
        return state.objects_below("")


@pytest.mark.needs("processes")
def test_an_index_that_is_just_being_made_is_not_called_damaged(tmp_path: Path) -> None:
    connect(tmp_path / "index.db").close()
    with closing(create_archive(tmp_path / "archive", CREATED)) as archive:
        index = index_files.open_index_read_only(tmp_path / "index.db", archive.journal)
        assert index.head_commit == archive.index.head_commit
        index.close()


def test_an_index_in_memory_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite takes the name ``:memory:`` for no file, whatever the current folder is."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with closing(Index.in_memory()) as index:
        assert index.head_commit is None
        assert not index.is_file_replaced
    assert os.listdir() == []


def test_every_name_of_a_file_can_be_part_of_the_address(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode("备案 a?b#c%41&mode=rw+\n".encode() + b"\xff")
    folder.mkdir()
    with closing(connect(folder / "a.db")) as database, database:
        database.execute("create table something (name text)")
    with closing(connect_read_only(folder / "a.db")) as database:
        assert database.execute("select name from sqlite_master").fetchall() == [("something",)]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            database.execute("drop table something")
