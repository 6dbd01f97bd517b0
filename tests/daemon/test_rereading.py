"""The thread that reads all files again, where a change may not show in their state."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from archiver import clock
from archiver.config.loader import load_config
from archiver.daemon import rereading
from archiver.daemon.rereading import Rereading
from archiver.daemon.watching.missed_events import find_missed_changes
from archiver.errors import LazyMessage, StorageError, message_from
from archiver.intake.folder.access import DirectAccess
from archiver.intake.folder.mounts import Mount
from archiver.intake.scan import ScanResult
from archiver.intake.snapshot import Snapshot
from archiver.store.archive import Archive
from archiver.store.content.source import FileSource, StatData
from tests.support.site import Site

pytestmark = pytest.mark.needs("processes")

NAMES = ("f/s/a", "f/s/b", "f/t/a", "g/s/模型", "z")


class Job:
    """The job of a site, at a time that the test sets."""

    def __init__(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        self.site = site
        self.now = datetime(2026, 11, 1, tzinfo=UTC)
        self.messages: list[str] = []
        self.read: list[bytes] = []
        real_clocks, real_compare = clock.read_clocks(), rereading.compare_contents
        monkeypatch.setattr(clock, "read_clocks", lambda: real_clocks._replace(wall=self.now))

        def compare(access: object, digests: dict[bytes, str], check_stop: object) -> object:
            self.read += digests
            return real_compare(access, digests, check_stop)  # type: ignore[arg-type]

        monkeypatch.setattr(rereading, "compare_contents", compare)

    def run(self, times: int = 1) -> list[bytes]:
        """Run the job as after so many restarts; return the files that it has read."""
        self.read = []
        for _ in range(times):
            config = load_config(self.site.config)
            job = Rereading(config, os.fsencode(self.site.watch), self._report, 5)
            with closing(Archive(self.site.archive)) as archive:
                job.read_due_files(archive)
        return self.read

    def _report(self, template: str | LazyMessage, /, *, problem: str = "", **fields: object) -> None:
        self.messages.append(f"{problem}: {message_from(template, fields)}")


@pytest.fixture
def job(site: Site, monkeypatch: pytest.MonkeyPatch) -> Job:
    for name in NAMES:
        site.write(name, name)
    site.catch_up()
    monkeypatch.setattr(Mount, "has_ctime", property(lambda _: False))
    return Job(site, monkeypatch)


@pytest.fixture
def snapshot(site: Site) -> Iterator[Snapshot]:
    with closing(Snapshot(site.archive / "state.db")) as snapshot:
        yield snapshot


def change_without_trace(job: Job, snapshot: Snapshot, name: str) -> None:
    """Give a file other bytes, and let ``state.db`` have its present state, as if there were no ctime."""
    path = job.site.write(name, "x" * len(name.encode()))
    snapshot.record({name.encode(): StatData.from_stat_result(path.stat())})


def test_each_file_is_read_once_in_a_period(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rereading, "_RUN_SECONDS", 0)
    # Those of a new database are read by the service.
    assert job.run(3) == []
    for _ in range(2):
        job.now += timedelta(days=6)
        assert job.run() == []
        job.now += timedelta(days=2)
        # One file in each run, and at last the note that all were read.
        assert sorted(job.run(len(NAMES) + 1)) == sorted(name.encode() for name in NAMES)
        assert job.run(2) == []


def test_a_changed_file_is_found_by_the_next_scan_and_is_no_missed_notification(
    job: Job, snapshot: Snapshot
) -> None:
    job.run()
    change_without_trace(job, snapshot, "f/s/b")
    job.now += timedelta(days=8)
    job.run()
    unknown = [path for path, state in snapshot.file_entries() if state == StatData.unknown()]
    assert unknown == [b"f/s/b"]
    found = ScanResult(changed={b"f/s/b": StatData(1, 1, 1, 1), b"z": StatData(1, 1, 1, 1)})
    assert find_missed_changes(found, set(), snapshot) == [b"z"]
    job.site.catch_up()
    assert "f/s/v2" in job.site.tags()
    assert "f/t/v2" not in job.site.tags()


def test_a_clock_that_was_set_back_does_not_put_it_off(job: Job) -> None:
    job.run()
    job.now -= timedelta(days=3000)
    assert len(job.run()) == len(NAMES)
    assert job.run() == []


def test_without_a_period_nothing_is_read_again(job: Job) -> None:
    job.site.set("watch", "reread_days", 0)
    rereading_job = Rereading(load_config(job.site.config), b"", job._report, 5)
    rereading_job.start_if_due()
    assert rereading_job._thread is None


def test_where_changes_are_stored_nothing_is_read(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job.run()
    monkeypatch.setattr(Mount, "has_ctime", property(lambda _: True))
    job.now += timedelta(days=8)
    assert job.run() == []


def test_what_the_scan_finds_anyway_is_left_to_it(job: Job, snapshot: Snapshot) -> None:
    job.run()
    job.now += timedelta(days=8)
    job.site.write("f/s/a", "changed, and the scan sees it")
    Path(job.site.watch / "f/s/b").unlink()
    snapshot.record({b"z": StatData.unknown()})
    before = dict(snapshot.file_entries())
    assert b"z" not in job.run()
    assert dict(snapshot.file_entries()) == before


def test_what_is_ignored_by_now_stays_as_it_was_archived(job: Job) -> None:
    job.run()
    job.site.set("watch", "ignore", '["b"]')
    job.now += timedelta(days=8)
    assert b"f/s/b" not in job.run()


def fail_to_read(monkeypatch: pytest.MonkeyPatch, *names: bytes) -> None:
    real_open = FileSource.readinto

    def readinto(source: FileSource, buffer: memoryview) -> int:
        if source._name in names:
            raise OSError(5, "Input/output error")
        return real_open(source, buffer)

    monkeypatch.setattr(FileSource, "readinto", readinto)


def test_what_cannot_be_read_is_told_and_keeps_nothing_back(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job.run()
    job.now += timedelta(days=8)
    fail_to_read(monkeypatch, b"b")
    with pytest.raises(StorageError, match="could not be read again") as raised:
        job.run()
    assert "f/s/b" in str(raised.value)
    assert "Input/output error" in str(raised.value)
    assert len(job.read) == len(NAMES)
    assert job.run() == []


def test_where_nothing_can_be_read_the_reading_goes_on_later(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """A share that hangs, a program behind it that died: no file was read, and none counts as read."""
    job.run()
    job.now += timedelta(days=8)

    def hang(_: DirectAccess) -> object:
        raise TimeoutError(110, "Connection timed out")

    with monkeypatch.context() as broken:
        fail_to_read(broken, *(name.rpartition("/")[2].encode() for name in NAMES))
        broken.setattr(DirectAccess, "root_identity", hang)
        with pytest.raises(TimeoutError):
            job.run()
        assert len(job.read) == 1
    assert len(job.run()) == len(NAMES)


def test_a_service_that_ends_waits_for_no_large_file(job: Job) -> None:
    rereading_job = Rereading(load_config(job.site.config), os.fsencode(job.site.watch), job._report, 5)
    job.run()
    job.now += timedelta(days=8)
    rereading_job.stop()
    rereading_job.start_if_due()
    assert rereading_job._thread is not None
    rereading_job._thread.join(10)
    assert not rereading_job._thread.is_alive()
    assert job.messages == []
    # It goes on after the next start.
    assert len(job.run()) == len(NAMES)
