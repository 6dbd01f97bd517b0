"""The side job that reads all files again, where a change may not show in their state."""

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
from archiver.errors import LazyMessage, message_from
from archiver.intake.folder.mounts import Mount
from archiver.intake.path_reasons import UNREADABLE_FILE
from archiver.intake.scan import ScanResult
from archiver.intake.snapshot import SkippedPath, Snapshot
from archiver.store.archive import Archive
from archiver.store.content.source import StatData
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

        def compare(access: object, digests: dict[bytes, str]) -> object:
            self.read += digests
            return real_compare(access, digests)  # type: ignore[arg-type]

        monkeypatch.setattr(rereading, "compare_contents", compare)

    def run(self, times: int = 1) -> list[bytes]:
        """Run the job as after so many restarts; return the files that it has read."""
        self.read = []
        for _ in range(times):
            config = load_config(self.site.config)
            job = Rereading(config, os.fsencode(self.site.watch), self._report, 5)
            with closing(Archive(self.site.archive)) as archive:
                assert job.is_due(archive)
                job.run(archive)
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
    config = load_config(job.site.config)
    with closing(Archive(job.site.archive)) as archive:
        assert not Rereading(config, b"", job._report, 5).is_due(archive)


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


def test_what_cannot_be_read_is_told(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job.run()
    job.now += timedelta(days=8)
    unreadable = [SkippedPath(b"f/s/a", UNREADABLE_FILE.code, "Input/output error")]
    comparison = rereading.compare_contents
    monkeypatch.setattr(
        rereading,
        "compare_contents",
        lambda access, digests: comparison(access, digests)._replace(
            unreadable=unreadable if b"f/s/a" in digests else []
        ),
    )
    job.run()
    [message] = job.messages
    assert message.startswith("reread: ")
    assert "f/s/a" in message
    assert "Input/output error" in message
