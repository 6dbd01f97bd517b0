"""Derived files name the archive and the event that they were made from: no other archive or history believes them."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from archiver import clock
from archiver.config.loader import load_config
from archiver.documents.cache import CacheOrigin, DocumentCache, open_document_cache
from archiver.documents.document import Document
from archiver.intake.snapshot_opening import open_snapshot, open_snapshot_read_only
from archiver.model import JournalPoint
from archiver.replica.bucket_settings import BucketSettings
from archiver.replica.known_objects import ReplicatedObject, open_state, replica_state_path
from archiver.replica.replica_status import read_replica_status
from archiver.store.archive import Archive
from archiver.store.events.archive_events import ReplicaCreated
from archiver.store.lock import hold_lock
from archiver.store.writing.drafts import Draft
from tests.support.site import Site

BUCKET = BucketSettings("a-bucket", "x/")
OTHER_BUCKET = BucketSettings("another-bucket", "x/")
SHA256 = "ab" * 32


def _copy_database(source: Site, target: Site, name: str) -> None:
    """Put a database in the place of another, with the files that SQLite keeps beside it."""
    for path in target.archive.glob(f"{name}*"):
        path.unlink()
    for path in source.archive.glob(f"{name}*"):
        shutil.copy2(path, target.archive / path.name)


@pytest.fixture
def mine(site: Site) -> Site:
    """This archive, with one version."""
    site.write("甲/首次/报告.md", "mine")
    site.catch_up()
    assert site.tags() == ["甲/首次/v1"]
    return site


@pytest.fixture
def theirs(tmp_path: Path) -> Site:
    """An archive with the same names: only the first event's digest tells them apart."""
    other = Site(tmp_path / "theirs").init()
    other.write("甲/首次/报告.md", "theirs, which is longer")
    other.write("乙/首次/报告.md", "only theirs")
    other.catch_up()
    return other


# --- index.db


def _tags(archive: Archive) -> set[str]:
    return {version.tag for version in archive.index.versions()}


def test_a_busy_writer_does_not_make_another_archives_index_believed(
    mine: Site, theirs: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    _copy_database(theirs, mine, "index.db")
    before = (mine.archive / "index.db").read_bytes()
    messages: list[str] = []
    monkeypatch.setattr("archiver.store.lock._RETRY_SECONDS", 0.01, raising=False)
    with (
        hold_lock(mine.archive / "lock", 0),
        closing(Archive(mine.archive, lambda message: messages.append(str(message)))) as archive,
    ):
        assert _tags(archive) == {"甲/首次/v1"}
    assert messages == ["The index belongs to another archive. It is not used."]
    assert (mine.archive / "index.db").read_bytes() == before
    with closing(mine.open()) as archive:
        assert _tags(archive) == {"甲/首次/v1"}


def test_versions_of_another_archive_are_not_called_lost(mine: Site, theirs: Site) -> None:
    for name in ("index.db", "state.db"):
        _copy_database(theirs, mine, name)
    mine.catch_up()
    status = mine.json("status")
    assert status["set_aside"] == 2
    assert (status["lost_versions"], status["lost_records"]) == ([], [])


@pytest.fixture
def set_back(mine: Site) -> Callable[[], None]:
    """Put an older ``archive.git`` back beside the databases of today."""
    backup = mine.root / "backup"
    shutil.copytree(mine.repository, backup, symlinks=True)

    def put_back() -> None:
        shutil.rmtree(mine.repository)
        shutil.copytree(backup, mine.repository, symlinks=True)

    return put_back


def test_an_older_journal_is_reported_before_the_index_is_rebuilt(
    mine: Site, set_back: Callable[[], None]
) -> None:
    mine.run("hold", "place", "审计", "甲", "--reason", "spot check")
    with closing(mine.open()) as archive:
        assert archive.index.journal_point is not None
        newest = archive.index.journal_point.seq
    set_back()
    before = (mine.archive / "index.db").read_bytes()
    refused = mine.run("reindex", code=8).stderr
    assert f"it ends with event {newest - 1}, and the index with event {newest}" in refused
    assert "Nothing was changed." in refused
    assert "archiver reindex --accept" in refused
    assert (mine.archive / "index.db").read_bytes() == before
    assert not list(mine.archive.glob("set-aside/*"))
    # A command that only reads reports it as well, and keeps what proves the loss.
    shown = mine.run("log").stderr
    assert "The journal is older than the index" in shown
    assert mine.json("status")["lost_records"] != []
    assert "Nothing was changed." in mine.run("reindex", code=8).stderr
    assert "Lost: hold 审计 甲" in mine.run("reindex", "--accept", "--yes").stdout
    mine.run("reindex")


def test_an_index_of_another_archive_is_rebuilt_without_a_question(mine: Site, theirs: Site) -> None:
    _copy_database(theirs, mine, "index.db")
    assert "The index belongs to another archive." in mine.run("reindex").stderr
    assert mine.tags() == ["甲/首次/v1"]


@pytest.mark.parametrize("damage", ["empty", "cut"])
@pytest.mark.parametrize("name", ["index.db", "state.db", "replica.db"])
def test_an_empty_or_cut_database_is_made_again(mine: Site, name: str, damage: str) -> None:
    with closing(mine.open()) as archive:
        open_state(archive, BUCKET).close()
    path = mine.archive / name
    for companion in mine.archive.glob(f"{name}-*"):
        companion.unlink()
    path.write_bytes(b"" if damage == "empty" else path.read_bytes()[:5000])
    mine.write("甲/首次/报告.md", "later")
    mine.catch_up()
    assert mine.tags() == ["甲/首次/v2", "甲/首次/v1"]
    with closing(mine.open()) as archive:
        open_state(archive, BUCKET).close()
    mine.verified()


# --- state.db


def test_readers_do_not_believe_another_archives_state(mine: Site, theirs: Site) -> None:
    (theirs.watch / "甲/首次/管道").parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(theirs.watch / "甲/首次/管道")
    theirs.catch_up()
    assert theirs.json("status")["skipped"] != []
    _copy_database(theirs, mine, "state.db")
    assert mine.json("status")["skipped"] == []
    with closing(mine.open()) as archive, closing(open_snapshot_read_only(archive)) as snapshot:
        assert snapshot.captured_tags() == {}


def test_a_new_state_names_its_archive_before_it_has_anything_to_record(site: Site, theirs: Site) -> None:
    with closing(site.open()) as archive:
        open_snapshot(archive, 5).close()
        with closing(open_snapshot_read_only(archive)) as snapshot:
            assert snapshot.journal_point == archive.index.journal_point
    _copy_database(site, theirs, "state.db")
    with closing(theirs.open()) as archive, closing(open_snapshot_read_only(archive)) as snapshot:
        assert snapshot.journal_point is None


def test_a_state_that_names_no_archive_is_emptied(mine: Site) -> None:
    with closing(sqlite3.connect(mine.archive / "state.db")) as database, database:
        database.execute("delete from meta where key = 'digest'")
    with closing(mine.open()) as archive, closing(open_snapshot(archive, 5)) as snapshot:
        assert snapshot.captured_tags() == {}
        assert snapshot.journal_point == archive.index.journal_point


# --- replica.db


def _record_upload(site: Site, settings: BucketSettings = BUCKET) -> None:
    with closing(site.open()) as archive, closing(open_state(archive, settings)) as state:
        state.record_objects([("objects/a", ReplicatedObject("1", 5, None, has_legal_hold=False))])
        state.set_last_sent_event(3)
        state.mark_bucket_listed()
        state.finish_sync(clock.read_clocks().wall)


def _has_upload(site: Site, settings: BucketSettings = BUCKET, *, read_only: bool = False) -> bool:
    with closing(site.open()) as archive, closing(open_state(archive, settings, read_only=read_only)) as state:
        is_recorded = state.find_object("objects/a") is not None
        assert is_recorded == state.has_complete_records() == (state.last_sent_event() == 3)
        return is_recorded


def test_uploads_of_another_archive_are_not_believed(mine: Site, theirs: Site) -> None:
    _record_upload(mine)
    _copy_database(mine, theirs, "replica.db")
    assert not _has_upload(theirs, read_only=True)
    assert not _has_upload(theirs)
    assert _has_upload(mine)
    assert _has_upload(mine, read_only=True)


def test_uploads_to_another_bucket_are_not_believed(mine: Site) -> None:
    # An older copy of replica.db from before "replica init" with another address.
    _record_upload(mine, OTHER_BUCKET)
    assert not _has_upload(mine, read_only=True)
    assert not _has_upload(mine)


def test_uploads_of_a_later_history_are_not_believed(mine: Site, set_back: Callable[[], None]) -> None:
    mine.write("甲/首次/报告.md", "later")
    mine.catch_up()
    _record_upload(mine)
    set_back()
    assert not _has_upload(mine, read_only=True)
    assert not _has_upload(mine)


def test_uploads_of_an_earlier_event_are_believed(mine: Site) -> None:
    _record_upload(mine)
    mine.write("甲/首次/报告.md", "later")
    mine.catch_up()
    assert _has_upload(mine)


def test_status_does_not_take_over_what_another_archive_sent(mine: Site, theirs: Site) -> None:
    for each in (mine, theirs):
        with closing(each.open()) as archive, archive.writing(5) as writer:
            writer.append(Draft("replica", ReplicaCreated(url=BUCKET.url, lock=False)))
    _record_upload(theirs)
    _copy_database(theirs, mine, "replica.db")
    with closing(mine.open()) as archive:
        status = read_replica_status(archive, load_config(mine.config))
    assert status is not None
    assert status.synced_at is None
    assert status.lag.material_count == 1
    assert replica_state_path(mine.archive).exists()


# --- documents


def _cache_document(archive: Archive, text: str) -> None:
    content_path = archive.root / "lock"  # the cache asks only whether the content still exists
    open_document_cache(archive).put(SHA256, True, Document("text", (text,)), content_path)


def _cached_text(archive: Archive) -> str | None:
    document = open_document_cache(archive).get(SHA256, "text", True)
    return None if document is None else str(document.lines[0])


def test_documents_of_another_archive_are_not_believed(mine: Site, theirs: Site) -> None:
    with closing(mine.open()) as archive:
        _cache_document(archive, "mine")
        assert _cached_text(archive) == "mine"
    shutil.copytree(mine.archive / "documents", theirs.archive / "documents")
    with closing(theirs.open()) as archive:
        assert _cached_text(archive) is None
    assert not list((theirs.archive / "documents").glob("*/*"))


def test_documents_without_an_origin_are_not_believed(mine: Site) -> None:
    with closing(mine.open()) as archive:
        _cache_document(archive, "mine")
        (mine.archive / "documents" / "origin.json").write_text("{")
        assert _cached_text(archive) is None


@pytest.fixture
def cached(tmp_path: Path) -> tuple[DocumentCache, CacheOrigin, CacheOrigin]:
    """A cache with one document, its origin, and that of the same archive after one more disposal."""
    point = JournalPoint("0" * 16, 7, "1" * 64, "2" * 40)
    before, after = CacheOrigin(point, 0), CacheOrigin(point, 1)
    cache = DocumentCache(tmp_path)
    cache.bind(before, lambda origin: origin == before)
    (tmp_path / "content").touch()
    cache.put(SHA256, True, Document("text", ("the text",)), tmp_path / "content")
    return cache, before, after


def _text_at(folder: Path, present: CacheOrigin) -> Document | None:
    cache = DocumentCache(folder)
    cache.bind(present, lambda origin: origin == present)
    return cache.get(SHA256, "text", True)


def test_a_restored_cache_does_not_bring_back_what_was_disposed_of(
    cached: tuple[DocumentCache, CacheOrigin, CacheOrigin], tmp_path: Path
) -> None:
    _, before, after = cached
    assert _text_at(tmp_path, before) is not None
    assert _text_at(tmp_path, after) is None
    assert not list((tmp_path / "documents").glob("*/*"))


def test_a_disposal_keeps_the_documents_that_it_leaves(
    cached: tuple[DocumentCache, CacheOrigin, CacheOrigin], tmp_path: Path
) -> None:
    cache, _, after = cached
    cache.renew(after)
    assert _text_at(tmp_path, after) is not None
