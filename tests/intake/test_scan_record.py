"""The time of the last scan: in memory while a service runs, so that the disk of an idle archive can sleep."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from archiver import clock
from archiver.intake.folder import volatile_folder
from archiver.intake.folder.volatile_folder import VolatileFolder, find_volatile_folder
from archiver.intake.scan_record import ScanRecord, read_last_scan
from archiver.intake.snapshot import Snapshot


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "memory"
    folder.mkdir()
    monkeypatch.setattr(volatile_folder, "_MEMORY_FOLDER", os.fspath(folder))
    return folder


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    (tmp_path / "archive").mkdir()
    return tmp_path / "archive"


@pytest.fixture
def snapshot(archive: Path) -> Iterator[Snapshot]:
    opened = Snapshot(archive / "state.db")
    yield opened
    opened.close()


def test_a_scan_without_news_writes_to_memory_only(memory: Path, archive: Path, snapshot: Snapshot) -> None:
    record = ScanRecord(snapshot, archive)
    record.volatile_folder.ensure()
    record.note(has_news=True)
    on_disk = snapshot.meta("last_scan")
    record.note(has_news=False)
    assert snapshot.meta("last_scan") == on_disk
    last = read_last_scan(snapshot, archive)
    assert last.is_known
    assert last.time > on_disk
    record.close()
    assert read_last_scan(snapshot, archive) == last
    assert list(memory.iterdir()) == []


def test_the_disk_knows_the_day(
    memory: Path, archive: Path, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = ScanRecord(snapshot, archive)
    record.volatile_folder.ensure()
    record.note(has_news=False)
    on_disk = snapshot.meta("last_scan")
    assert on_disk
    monkeypatch.setattr("archiver.intake.scan_record._MAX_AGE_ON_DISK", timedelta(0))
    record.note(has_news=False)
    assert snapshot.meta("last_scan") > on_disk


def test_without_memory_every_scan_is_on_the_disk(
    archive: Path, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volatile_folder, "_MEMORY_FOLDER", "/nonexistent")
    record = ScanRecord(snapshot, archive)
    assert record.volatile_folder.ensure() is None
    for _ in range(2):
        record.note(has_news=False)
        assert read_last_scan(snapshot, archive) == (snapshot.meta("last_scan"), True)


def test_a_time_that_cannot_be_seen_is_not_known(memory: Path, archive: Path, snapshot: Snapshot) -> None:
    """The service runs in a container, and this process does not: no alarm, and no wrong time either."""
    record = ScanRecord(snapshot, archive)
    folder = record.volatile_folder.ensure()
    assert folder is not None
    record.note(has_news=False)
    for damage in ("another owner's", "no time", "gone"):
        if damage == "another owner's" and os.geteuid() == 0:
            os.chown(folder, 65534, -1)
            assert find_volatile_folder(archive) is None
            assert not read_last_scan(snapshot, archive).is_known
            os.chown(folder, 0, -1)
        elif damage == "no time":
            (folder / "last_scan").write_text("yesterday")
        else:
            (folder / "last_scan").unlink(missing_ok=True)
    assert read_last_scan(snapshot, archive) == (snapshot.meta("last_scan"), False)
    record.note(has_news=False)
    assert read_last_scan(snapshot, archive).is_known


def test_a_folder_that_somebody_else_made_first_is_not_used(memory: Path, archive: Path) -> None:
    folder = VolatileFolder(archive)
    made = folder.ensure()
    assert made is not None
    folder.close()
    made.symlink_to(archive)
    assert VolatileFolder(archive).ensure() is None
    made.unlink()
    made.write_text("")
    assert VolatileFolder(archive).ensure() is None


def test_after_a_kill_the_next_service_uses_the_same_folder(
    memory: Path, archive: Path, snapshot: Snapshot
) -> None:
    killed = ScanRecord(snapshot, archive)
    killed.volatile_folder.ensure()
    killed.note(has_news=True)
    time = read_last_scan(snapshot, archive).time
    following = ScanRecord(snapshot, archive)
    assert following.volatile_folder.ensure() == killed.volatile_folder.path
    assert read_last_scan(snapshot, archive) == (time, True)
    assert clock.parse_time(time)
