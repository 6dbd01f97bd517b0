"""New content waits before it is locked: for whom, how long, and what people and checks see of it meanwhile."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver import clock
from archiver.config.loader import load_config
from archiver.replica.bucket import Bucket, BucketProblem, ObjectInfo, ObjectMissing, ObjectVersion
from archiver.replica.bucket_settings import read_replica_settings
from archiver.replica.desired_objects import DesiredObject, may_be_held_back, measure_wait
from archiver.replica.inventory_check import check_inventory
from archiver.replica.known_objects import (
    ReplicaState,
    ReplicatedObject,
    UnsentContent,
    open_state,
    replica_state_path,
)
from archiver.replica.object_names import CONTENT_PREFIX, content_key
from archiver.replica.rebuild import rebuild_archive
from archiver.replica.replica_status import ReplicationLag, read_replication_lag
from archiver.replica.sync import Replicator
from archiver.replica.sync_result import SyncResult
from archiver.retention.policy import accepted_policy
from archiver.store.archive import Archive
from archiver.store.events.archive_events import ReplicaCreated
from archiver.store.writing.drafts import Draft
from archiver.verify.findings import VerifyReport
from tests.support.site import Site

HOUR = timedelta(hours=1)
DAY = 24 * HOUR
START = datetime(2026, 1, 1, tzinfo=UTC)
NS_PER_HOUR = 3600 * 10**9


class BucketInMemory(Bucket):
    """A bucket that locks nothing, and counts what it gets."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.is_broken = False

    def upload(self, key: str, source: Path, sha256: str, locked_until: datetime | None) -> str:
        if self.is_broken:
            raise BucketProblem("the connection broke")
        self.contents[key] = source.read_bytes()
        return "1"

    def extend_lock(self, key: str, version_id: str, locked_until: datetime) -> None:
        raise AssertionError("nothing is locked here")

    def set_legal_hold(self, key: str, version_id: str, *, is_held: bool) -> None:
        raise AssertionError("nothing is held here")

    def object_info(self, key: str, version_id: str) -> ObjectInfo | None:
        data = self.contents.get(key)
        if data is None:
            return None
        return ObjectInfo(version_id, len(data), hashlib.sha256(data).hexdigest(), None, has_legal_hold=False)

    def download(self, key: str, version_id: str) -> Iterator[bytes]:
        if key not in self.contents:
            raise ObjectMissing
        yield self.contents[key]

    def list_versions(self, prefix: str, after_key: str = "") -> Iterator[ObjectVersion]:
        for key in sorted(self.contents):
            if key.startswith(prefix) and key > after_key:
                yield ObjectVersion(key, "1", len(self.contents[key]), True, False, START)

    def delete_version(self, key: str, version_id: str) -> None:
        del self.contents[key]

    def is_versioned(self) -> bool:
        return True

    def has_object_lock(self) -> bool:
        return False

    def try_to_break_lock(self, key: str, version_id: str, locked_until: datetime) -> dict[str, bool]:
        raise AssertionError("nothing is locked here")

    def stop_transfers(self) -> None:
        pass

    @property
    def content(self) -> set[bytes]:
        return {data for key, data in self.contents.items() if key.startswith(CONTENT_PREFIX)}


class Clocks:
    """The clocks of this process, set by a test: what runs as another process keeps the clocks of the machine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._read = clock.read_clocks
        self.true_gain = timedelta(0)
        self.wall_jump = timedelta(0)
        self.boot_id: str | None = None
        self.uptime = timedelta(0)
        monkeypatch.setattr(clock, "read_clocks", self.read)

    def read(self) -> clock.ClockReading:
        now = self._read()
        wall = now.wall + self.true_gain + self.wall_jump
        if self.boot_id is not None:
            uptime_ns = int(self.uptime.total_seconds() * 10**9)
            return clock.ClockReading(wall, self.boot_id, uptime_ns, uptime_ns, shifted=False)
        gain_ns = int(self.true_gain.total_seconds() * 10**9)
        return now._replace(wall=wall, boottime_ns=now.boottime_ns + gain_ns, uptime_ns=now.uptime_ns + gain_ns)

    def pass_time(self, gain: timedelta) -> None:
        self.true_gain += gain
        self.uptime += gain

    def start_again(self, boot_id: str, off: timedelta = timedelta(0)) -> None:
        self.true_gain += off
        self.boot_id, self.uptime = boot_id, timedelta(minutes=1)


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    return Clocks(monkeypatch)


class Replicated:
    """A site, and a bucket in this process."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.bucket = BucketInMemory()
        site.write("推荐/首次/自评估", "new")
        site.catch_up()
        with closing(site.open()) as archive, archive.writing(5) as writer:
            writer.append(Draft("replica", ReplicaCreated(url="s3://a-bucket/x", lock=False)))

    def _open_state(self, archive: Archive) -> ReplicaState:
        settings = read_replica_settings(archive, load_config(self.site.config))
        assert settings is not None
        return open_state(archive, settings)

    def sync(self, grace_period: timedelta = DAY) -> SyncResult:
        with (
            closing(self.site.open()) as archive,
            closing(self._open_state(archive)) as state,
        ):
            replicator = Replicator(
                archive, self.bucket, state, uses_object_lock=False, thread_count=1, grace_period=grace_period
            )
            promises = archive.index.retention_promises()
            return replicator.sync(accepted_policy(load_config(self.site.config), promises), 5)

    def verify(self) -> VerifyReport:
        report = VerifyReport()
        with closing(self.site.open()) as archive:
            check_inventory(
                archive,
                self.bucket,
                accepted_policy(load_config(self.site.config), archive.index.retention_promises()),
                report,
                uses_object_lock=False,
                thread_count=1,
                sample_percent=100,
                grace_period=DAY,
            )
        return report

    def lag(self) -> ReplicationLag:
        with closing(self.site.open()) as archive:
            return read_replication_lag(archive, load_config(self.site.config))


@pytest.fixture
def replicated(site: Site) -> Replicated:
    return Replicated(site)


def test_new_content_is_held_back_and_history_is_not(replicated: Replicated, clocks: Clocks) -> None:
    result = replicated.sync()
    assert result.held_back is not None
    assert (result.held_back.object_count, result.held_back.byte_count) == (1, len("new"))
    assert replicated.bucket.content == set()
    assert [key for key in replicated.bucket.contents if key.startswith("history/")]
    clocks.pass_time(23 * HOUR)
    assert replicated.sync().held_back is not None
    assert replicated.bucket.content == set()
    clocks.pass_time(HOUR)
    assert replicated.sync().held_back is None
    assert replicated.bucket.content == {b"new"}


def test_what_is_in_the_bucket_already_is_not_new(replicated: Replicated) -> None:
    replicated.sync(timedelta(0))
    assert replicated.bucket.content == {b"new"}
    result = replicated.sync()
    assert (result.held_back, result.deleted_count, result.sent_count) == (None, 0, 0)


def test_content_that_an_older_version_has_is_not_new(replicated: Replicated, clocks: Clocks) -> None:
    # A company's logo, which each filing has: an old version has it, so a new one does not make it new.
    clocks.pass_time(25 * HOUR)
    replicated.site.write("推荐/首次/又一份", "new")
    replicated.site.catch_up()
    assert replicated.sync().held_back is None


def test_a_submission_ends_the_period_for_what_it_signs_and_for_nothing_else(
    replicated: Replicated, clocks: Clocks
) -> None:
    replicated.site.write("推荐/另一/工资表", "payroll")
    replicated.site.catch_up()
    replicated.sync()
    replicated.site.run("submit", "推荐/首次", "--on", "2026-01-05")
    lag = replicated.lag()
    # The last sync did not know of the submission: what it signs is due, and no longer held back on purpose.
    assert lag.held_back is not None
    assert (lag.held_back.object_count, lag.held_back.byte_count) == (1, len("payroll"))
    assert (lag.material_count, lag.byte_count) == (1, len("new"))
    replicated.sync()
    assert replicated.bucket.content == {b"new"}
    clocks.pass_time(DAY)
    replicated.sync()
    assert replicated.bucket.content == {b"new", b"payroll"}


def test_what_is_held_back_is_named_and_is_not_behind(replicated: Replicated, clocks: Clocks) -> None:
    replicated.sync()
    clocks.pass_time(20 * HOUR)
    lag = replicated.lag()
    assert (lag.material_count, lag.byte_count, lag.waiting_since) == (0, 0, None)
    assert lag.held_back is not None
    assert lag.held_back.byte_count == len("new")
    status = replicated.site.json("status")["replica"]
    assert status["behind"] == {"materials": 0, "bytes": 0, "since": None}
    assert status["held_back"]["objects"] == 1
    shown = replicated.site.run("status").stdout
    assert "1 new object (0.0 MB)" in shown
    assert "archiver replica sync --now" in shown
    assert "(complete except for new content, " in shown
    assert "the replica is more than" not in shown


def test_content_whose_period_has_ended_is_behind_since_then(replicated: Replicated, clocks: Clocks) -> None:
    # Its event is in the bucket since the first sync: without a record of it, nobody would see that it is missing.
    replicated.sync()
    clocks.pass_time(30 * HOUR)
    replicated.bucket.is_broken = True
    with pytest.raises(BucketProblem):
        replicated.sync()
    lag = replicated.lag()
    assert (lag.material_count, lag.byte_count, lag.held_back) == (1, len("new"), None)
    assert lag.waiting_since is not None
    waited = clock.read_clocks().wall - clock.parse_time(lag.waiting_since)
    assert abs(waited - 6 * HOUR) < timedelta(minutes=5)
    replicated.bucket.is_broken = False
    replicated.sync()
    assert replicated.lag() == ReplicationLag()


def test_verify_notes_what_is_held_back_and_finds_what_is_missing(replicated: Replicated, clocks: Clocks) -> None:
    replicated.sync()
    report = replicated.verify()
    assert report.is_clean
    assert [note.sentence.code for note in report.notes] == ["note.held-back"]
    clocks.pass_time(25 * HOUR)
    assert [finding.code for finding in replicated.verify().findings] == ["A070"]
    replicated.sync()
    assert replicated.verify().is_clean
    del replicated.bucket.contents[content_key(hashlib.sha256(b"new").hexdigest())]
    assert [finding.code for finding in replicated.verify().findings] == ["A070"]


def test_a_rebuilt_archive_names_the_files_that_were_held_back(replicated: Replicated, tmp_path: Path) -> None:
    replicated.sync()
    result = rebuild_archive(replicated.bucket, tmp_path / "back", None, 1)
    assert len(result.missing_content) == 1
    assert [(held.version_tag, held.path) for held in result.held_back_files] == [
        ("推荐/首次/v1", "自评估".encode())
    ]


def test_a_clock_set_forward_does_not_end_the_period(replicated: Replicated, clocks: Clocks) -> None:
    replicated.sync()
    clocks.wall_jump = timedelta(days=400)
    assert replicated.sync().held_back is not None
    assert replicated.lag().waiting_since is None
    assert replicated.bucket.content == set()


def test_a_start_with_a_wrong_clock_does_not_end_the_period(replicated: Replicated, clocks: Clocks) -> None:
    replicated.sync()
    clocks.wall_jump = timedelta(days=400)
    clocks.start_again("another boot")
    assert replicated.sync().held_back is not None


def test_a_machine_that_starts_again_and_again_still_sends(replicated: Replicated, clocks: Clocks) -> None:
    # The compliance clock stands still: nothing is journalled between the starts.
    replicated.sync()
    for number in range(12):
        clocks.start_again(f"boot {number}", off=HOUR)
        replicated.sync()
        clocks.pass_time(HOUR)
        replicated.sync()
    with closing(replicated.site.open()) as archive:
        assert archive.compliance_time() < clock.read_clocks().wall - 12 * HOUR
    assert replicated.bucket.content == {b"new"}


def test_without_its_state_the_period_goes_on_from_the_capture(replicated: Replicated, clocks: Clocks) -> None:
    replicated.sync()
    clocks.pass_time(20 * HOUR)
    replica_state_path(replicated.site.archive).unlink()
    result = replicated.sync()
    assert result.held_back is not None
    assert timedelta(0) < result.held_back.last_release - clock.read_clocks().wall <= 4 * HOUR
    clocks.pass_time(4 * HOUR)
    assert replicated.sync().held_back is None


def test_a_person_ends_the_period(replicated: Replicated) -> None:
    replicated.sync()
    replicated.sync(grace_period=timedelta(0))
    assert replicated.bucket.content == {b"new"}
    assert replicated.lag() == ReplicationLag()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["run", "off", "wall", "container"]),
            st.integers(min_value=0, max_value=48),
            st.integers(min_value=-20_000, max_value=20_000),
        ),
        max_size=30,
    )
)
def test_a_wait_is_never_longer_than_true_time_and_a_credit_for_each_start(
    history: list[tuple[str, int, int]],
) -> None:
    wall, boot, since_boot, uptime = START, 0, 0, 0
    reading, waited, true_wait, starts = clock.ClockReading(START, "0", 0, 0, False), timedelta(0), timedelta(0), 0
    for what, hours, jump in history:
        true_wait += hours * HOUR
        wall += hours * HOUR
        since_boot, uptime = since_boot + hours, uptime + hours
        if what == "off":
            boot, since_boot, uptime, starts = boot + 1, 0, 0, starts + 1
        elif what == "container":
            uptime = 0  # as some containers count it, and a time namespace besides
        elif what == "wall":
            wall += jump * HOUR
        now = clock.ClockReading(
            wall, str(boot), since_boot * NS_PER_HOUR, uptime * NS_PER_HOUR, what == "container"
        )
        gain = clock.measure_waiting(reading, now, 3 * HOUR)
        assert gain >= timedelta(0)
        waited, reading = waited + gain, now
        assert waited <= true_wait + starts * 3 * HOUR


def test_the_longer_of_two_waits_counts() -> None:
    new = DesiredObject(1, START, False, False, new_since=START)
    assert measure_wait(new, START + HOUR, 2 * HOUR) == 2 * HOUR
    assert measure_wait(new, START + 3 * HOUR, 2 * HOUR) == 3 * HOUR
    # A timestamp token may prove a capture to be later than the compliance clock has come since.
    assert measure_wait(new, START - HOUR, timedelta(0)) == timedelta(0)
    assert measure_wait(new._replace(new_since=None), START, timedelta(0)) is None


@pytest.mark.parametrize(
    ("compliance", "wall", "is_excused"),
    [
        (23 * HOUR, 23 * HOUR, True),
        (24 * HOUR, 24 * HOUR, False),
        # The machine was off over the holidays, and the compliance clock stood still.
        (HOUR, 21 * DAY, True),
        # It stands still forever, as in some containers: content that is still missing then is lost.
        (HOUR, 40 * DAY, False),
    ],
)
def test_a_check_does_not_excuse_forever(compliance: timedelta, wall: timedelta, is_excused: bool) -> None:
    new = DesiredObject(1, START, False, False, new_since=START)
    assert may_be_held_back(new, DAY, START + compliance, START + wall) == is_excused
    assert not may_be_held_back(new._replace(new_since=None), DAY, START, START)


def test_the_state_keeps_what_waits(tmp_path: Path) -> None:
    path = tmp_path / "replica.db"
    reading = clock.read_clocks()
    with closing(ReplicaState(path)) as state:
        assert state.waits_measured_at() is None
        unsent = {"objects/a": UnsentContent(5, HOUR), "objects/b": UnsentContent(6, timedelta(0))}
        state.record_unsent(unsent, reading)
    with closing(ReplicaState(path, read_only=True)) as state:
        assert state.unsent_content() == unsent
        assert state.waits_measured_at() == reading
    with closing(ReplicaState(path)) as state:
        state.record_objects([("objects/a", ReplicatedObject("1", 5, None, has_legal_hold=False))])
        assert state.unsent_content() == {"objects/b": UnsentContent(6, timedelta(0))}
        state.record_unsent({}, reading)
        assert state.unsent_content() == {}
