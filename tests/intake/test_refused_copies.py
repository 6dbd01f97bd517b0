"""A virus scanner that takes or locks one copy in the archive keeps out one file, and nothing else."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from archiver.config.loader import load_config
from archiver.errors import StorageError
from archiver.intake.capture import Capturer
from archiver.intake.capture_result import CaptureResult
from archiver.intake.folder.access import open_access
from archiver.intake.group_reader import GroupToRead
from archiver.intake.layout import Group
from archiver.intake.snapshot import Snapshot
from archiver.store.archive import Archive
from archiver.store.content.objects import ContentStore
from tests.support.site import Site

SICK = "推荐/首次/带病".encode()


@pytest.fixture
def archive(site: Site) -> Iterator[Archive]:
    with closing(site.open()) as opened:
        yield opened


@pytest.fixture
def capture(site: Site, archive: Archive) -> Iterator[Callable[[], CaptureResult]]:

    config = load_config(site.config)
    states = {}
    with (
        closing(open_access(config.watch, config.archive)) as access,
        closing(Snapshot(site.root / "state.db")) as snapshot,
        closing(Capturer(archive, snapshot, access, config, threading.Event())) as capturer,
    ):

        def capture_files() -> CaptureResult:
            for path in ("推荐/首次/a".encode(), SICK):
                site.write(path, path)
                states[path] = access.look_up(path).stat_data
            group = Group("推荐".encode(), "首次".encode())
            (job,) = capturer.stage([GroupToRead(group, states)])
            return capturer.finish(job, 5)

        yield capture_files


def _assert_only_the_sick_file_is_out(site: Site, result: CaptureResult) -> None:
    assert [(item.path, item.code) for item in result.unreadable] == [(SICK, "path.copy-refused")]
    assert result.tag == "推荐/首次/v1"
    assert [material["path"] for material in site.json("show", "推荐/首次/v1")["materials"]] == ["a"]
    assert list((site.archive / "spool").glob("*/tmp*")) == []


def test_a_copy_that_vanishes_from_the_spool(
    site: Site, capture: Callable[[], CaptureResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = ContentStore.publish_copies

    def take_and_publish(store: ContentStore, copies: Any) -> None:
        copies = list(copies)
        for copy in copies:
            if copy.stat_data.size == len(SICK) and os.path.exists(copy.spool_path):
                os.unlink(copy.spool_path)
        publish(store, copies)

    monkeypatch.setattr(ContentStore, "publish_copies", take_and_publish)
    _assert_only_the_sick_file_is_out(site, capture())


def test_a_copy_that_nobody_may_open(
    site: Site, capture: Callable[[], CaptureResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As fanotify does it: the name is there, and each open ends with EPERM, also for root."""
    publish, open_file, locked = ContentStore.publish_copies, os.open, set()

    def lock_and_publish(store: ContentStore, copies: Any) -> None:
        copies = list(copies)
        locked.update(copy.spool_path for copy in copies if copy.stat_data.size == len(SICK))
        publish(store, copies)

    def open_unless_locked(path: Any, *arguments: Any, **options: Any) -> int:
        if path in locked:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        return open_file(path, *arguments, **options)

    monkeypatch.setattr(ContentStore, "publish_copies", lock_and_publish)
    monkeypatch.setattr(os, "open", open_unless_locked)
    _assert_only_the_sick_file_is_out(site, capture())


def test_an_object_that_vanishes_after_its_publication(
    site: Site, capture: Callable[[], CaptureResult], archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = ContentStore.publish_copies

    def publish_and_take(store: ContentStore, copies: Any) -> None:
        copies = list(copies)
        publish(store, copies)
        for copy in copies:
            if copy.stat_data.size == len(SICK):
                store.path(copy.sha256).unlink()

    monkeypatch.setattr(ContentStore, "publish_copies", publish_and_take)
    _assert_only_the_sick_file_is_out(site, capture())


def test_a_spool_that_cannot_be_written_is_no_scanner(
    site: Site, capture: Callable[[], CaptureResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a full or broken disk would look like a list of single files, and raise no alarm."""
    publish = ContentStore.publish_copies

    def move_spool_away(store: ContentStore, copies: Any) -> None:
        copies = list(copies)
        folder = os.path.dirname(copies[0].spool_path)
        if os.path.isdir(folder):
            os.rename(folder, f"{folder}.away")
        publish(store, copies)

    monkeypatch.setattr(ContentStore, "publish_copies", move_spool_away)
    with pytest.raises(StorageError, match="Cannot write to the archive disk"):
        capture()
