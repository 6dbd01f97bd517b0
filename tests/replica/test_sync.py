"""What goes to the bucket, once, locked; what is moved, held and deleted there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from archiver import clock
from archiver.config.loader import load_config
from archiver.replica import object_names
from archiver.replica.bucket import BucketProblem
from archiver.replica.bundles import write_bundle
from archiver.replica.connect import open_replica, sync_replica
from archiver.replica.create import create_replica, settings_from_options
from archiver.replica.known_objects import ReplicaState, ReplicatedObject, replica_state_path
from archiver.replica.s3 import S3Bucket
from archiver.retention.policy import accepted_policy
from archiver.store import lock
from archiver.store.archive import Archive
from archiver.store.git.repository import Repository
from archiver.store.writing.writer import Writer
from tests.replica.conftest import give_keys
from tests.replica.proxy import proxied
from tests.replica.server import Server
from tests.retention.test_disposal import FOUR_YEARS, Later
from tests.support.site import COMMAND, Site, wait_until

OpenBucket = Callable[[str], S3Bucket]


def inventory(server: Server, url: str) -> dict[str, int]:
    """How many versions each key has."""
    found: dict[str, int] = {}
    name = url.split("/")[2]
    for page in server.client().get_paginator("list_object_versions").paginate(Bucket=name):
        for each in page.get("Versions", []):
            found[each["Key"].split("/", 1)[1]] = found.get(each["Key"].split("/", 1)[1], 0) + 1
    return found


def objects(server: Server, url: str) -> dict[str, int]:
    return {
        key: count for key, count in inventory(server, url).items() if key.startswith(("objects/", "history/"))
    }


def dispose_first_version(site: Site) -> None:
    """Mark version 1 as disposed of in the index.

    Approvals need other users; what the bucket sees is what a disposal leaves behind.
    """
    archive = site.open()
    disposed = next(each for each in archive.index.versions() if each.number == 1)
    archive.index._db.execute("insert into disposed values (?, ?)", (disposed.tag, "a plan"))
    archive.index._db.commit()
    archive.close()


def lose_reply(monkeypatch: pytest.MonkeyPatch, method_name: str, number: int) -> None:
    """Let the bucket carry out a request, and lose its reply to the call with this number, as a crash would."""
    method, calls = getattr(S3Bucket, method_name), []

    def request(self: S3Bucket, *arguments: object, **options: object) -> None:
        method(self, *arguments, **options)
        calls.append(arguments)
        if len(calls) == number:
            raise BucketProblem("the connection broke")

    monkeypatch.setattr(S3Bucket, method_name, request)


def sync_here(site: Site) -> None:
    """Synchronise in this process, where a request can be made to fail, instead of in a command."""
    config, archive = load_config(site.config), site.open()
    try:
        with open_replica(archive, config) as replica:
            sync_replica(
                archive, replica, accepted_policy(config, archive.index.retention_promises()), lock_timeout=5
            )
    finally:
        archive.close()


def legal_holds(bucket: S3Bucket) -> set[bool]:
    found = [
        bucket.object_info(each.key, each.version_id) for each in bucket.list_versions(object_names.CONTENT_PREFIX)
    ]
    return {each.has_legal_hold for each in found if each}


def test_it_is_sent_once(replicated: Site, server: Server, url: str) -> None:
    first = objects(server, url)
    assert sorted(key.split("/")[0] for key in first) == ["history", "objects", "objects"]
    assert replicated.run("replica", "sync").stdout.startswith("Uploaded objects: 0 (0.0 MB). Extended locks: 0.")
    assert objects(server, url) == first
    replicated.write("推荐/首次/又一份", "first draft")
    replicated.catch_up()
    # The same content under another name: only history is new.
    assert replicated.run("replica", "sync").stdout.startswith("Uploaded objects: 0 ")
    assert len(objects(server, url)) == len(first) + 1
    assert replicated.json("verify", "--replica-sample", "100")["ok"]


def test_a_lost_state_costs_a_listing_and_nothing_else(replicated: Site, server: Server, url: str) -> None:
    before = objects(server, url)
    (replicated.archive / "replica.db").unlink()
    assert replicated.run("replica", "sync").stdout.startswith("Uploaded objects: 0 (0.0 MB). Extended locks: 0.")
    assert objects(server, url) == before
    (replicated.archive / "replica.db").write_bytes(b"no database" * 1000)
    assert replicated.run("replica", "sync").stdout.startswith("Uploaded objects: 0 ")
    assert objects(server, url) == before


def test_killed_in_the_middle_it_goes_on(plain: Site, server: Server, url: str) -> None:
    for number in range(40):
        plain.write(f"推荐/首次/材料{number}", os.urandom(100_000))
    plain.catch_up()
    plain.run("replica", "init", "--url", url, "--endpoint", server.endpoint)
    sync_command = [COMMAND, "--config", plain.config, "replica", "sync"]
    process = subprocess.Popen(sync_command, stderr=subprocess.DEVNULL)
    wait_until(lambda: len(objects(server, url)) > 3 or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    process.wait()
    plain.run("replica", "sync")
    assert set(objects(server, url).values()) == {1}
    assert plain.json("verify", "--replica-sample", "100")["ok"]


def test_every_lock_ends_with_the_period_or_later(replicated: Site, bucket_of: OpenBucket, url: str) -> None:
    bucket = bucket_of(url)
    in_three_years = clock.read_clocks().wall + timedelta(days=3 * 365)
    for listed in bucket.list_versions(""):
        if not listed.key.startswith(object_names.PROBE_PREFIX):
            stored = bucket.object_info(listed.key, listed.version_id)
            assert stored is not None
            assert stored.locked_until is not None
            assert stored.locked_until > in_three_years


def test_a_lock_is_moved_later_never_sooner(
    replicated: Site, server: Server, bucket_of: OpenBucket, url: str
) -> None:
    replicated.configure(retention={"years": 5})
    # A lock cannot be shortened, and the settings can: it waits until a person accepts them.
    assert replicated.json("replica", "sync")["extended"] == []
    assert replicated.json("verify", "--replica")["ok"]
    replicated.run("retention", "accept")
    extended = replicated.json("replica", "sync")["extended"]
    assert len(extended) == 4
    assert all(each["until"] > str(clock.read_clocks().wall.year + 5) for each in extended)
    bucket = bucket_of(url)
    in_five_years = clock.read_clocks().wall + timedelta(days=5 * 365)
    locks = {
        listed.key: bucket.object_info(listed.key, listed.version_id)
        for listed in bucket.list_versions(object_names.CONTENT_PREFIX)
    }
    assert all(each and each.locked_until and each.locked_until > in_five_years for each in locks.values())
    replicated.configure(retention={"years": 3})
    assert "Extended locks: 0." in replicated.run("replica", "sync").stdout
    # Nearly three years on, what is still live is renewed long before it runs out.
    later = Later(replicated, 3 * 365 - 30)
    assert "Extended locks: 0." in Later(replicated, 30).run("replica", "sync").stdout
    assert "Extended locks: " in later.run("replica", "sync").stdout


def test_a_hold_is_a_legal_hold(replicated: Site, bucket_of: OpenBucket, url: str) -> None:
    bucket = bucket_of(url)

    replicated.run("hold", "place", "抽查", "推荐", "--reason", "spot check")
    assert "Changed holds: 2." in replicated.run("replica", "sync").stdout
    assert legal_holds(bucket) == {True}
    assert replicated.json("verify", "--replica")["ok"]
    replicated.run("hold", "lift", "抽查", "推荐", "--reason", "closed")
    assert "Changed holds: 2." in replicated.run("replica", "sync").stdout
    assert legal_holds(bucket) == {False}


@pytest.mark.parametrize("lock", [True, False])
def test_disposal_reaches_the_bucket_once_the_lock_has_ended(
    site: Site, server: Server, keys: Path, bucket_of: OpenBucket, lock: bool
) -> None:
    address = f"s3://{server.bucket(f'd{uuid.uuid4().hex[:20]}', lock=lock)}/x"
    give_keys(site, keys)
    site.write("推荐/首次/材料", "first draft")
    site.catch_up()
    site.write("推荐/首次/材料", "second draft")
    site.catch_up()
    site.run("replica", "init", "--url", address, "--endpoint", server.endpoint, *([] if lock else ["--no-lock"]))
    site.run("replica", "sync")
    later = Later(site, FOUR_YEARS)
    dispose_first_version(site)
    output = site.run("replica", "sync").stdout
    remaining_keys = [
        each.key
        for each in bucket_of(address).list_versions(object_names.CONTENT_PREFIX)
        if not each.is_delete_marker
    ]
    if lock:
        assert "locked in the bucket until" in output
        assert len(remaining_keys) == 2
        # The lock has ended by the clock of that time, and the bucket's own clock still refuses: listed again.
        assert "locked in the bucket until" in later.run("replica", "sync").stdout
    else:
        assert "Deleted objects: 1." in output
        assert len(remaining_keys) == 1


@pytest.mark.parametrize("lost_reply", [1, 2])
def test_content_that_was_deleted_before_a_failure_is_sent_again(
    site: Site, server: Server, keys: Path, monkeypatch: pytest.MonkeyPatch, lost_reply: int
) -> None:
    """Of two deletions, either may be the one whose reply is lost: the first one has to be known afterwards."""
    address = f"s3://{server.bucket(f'd{uuid.uuid4().hex[:20]}', lock=False)}/x"
    give_keys(site, keys)
    for name in ("一", "二"):
        site.write(f"推荐/首次/{name}", f"first draft of {name}")
    site.catch_up()
    for name in ("一", "二"):
        site.write(f"推荐/首次/{name}", f"second draft of {name}")
    site.catch_up()
    site.run("replica", "init", "--url", address, "--endpoint", server.endpoint, "--no-lock")
    site.run("replica", "sync")
    dispose_first_version(site)
    lose_reply(monkeypatch, "delete_version", lost_reply)
    with pytest.raises(BucketProblem, match="the connection broke"):
        sync_here(site)
    for name in ("一", "二"):
        site.write(f"推荐/首次/{name}", f"first draft of {name}")
    site.catch_up()
    assert site.run("replica", "sync").stdout.startswith(f"Uploaded objects: {lost_reply} ")
    assert site.json("verify", "--replica")["ok"]


def test_a_listing_corrects_what_is_recorded_and_gone(site: Site, server: Server, keys: Path) -> None:
    """Earlier releases recorded content as sent that a failed sync had deleted."""
    name = server.bucket(f"d{uuid.uuid4().hex[:20]}", lock=False)
    give_keys(site, keys)
    site.write("推荐/首次/材料", "first draft")
    site.catch_up()
    site.run("replica", "init", "--url", f"s3://{name}/x", "--endpoint", server.endpoint, "--no-lock")
    site.run("replica", "sync")
    client = server.client()
    for each in client.list_object_versions(Bucket=name, Prefix="x/objects/")["Versions"]:
        client.delete_object(Bucket=name, Key=each["Key"], VersionId=each["VersionId"])
    state = ReplicaState(replica_state_path(site.archive))
    state.begin_sync()  # and no end, as after a failure
    state.close()
    assert site.run("replica", "sync").stdout.startswith("Uploaded objects: 1 ")
    assert site.json("verify", "--replica")["ok"]


@pytest.mark.parametrize("lost_reply", [1, 2])
def test_a_hold_that_was_lifted_before_a_failure_is_placed_again(
    replicated: Site, bucket_of: OpenBucket, url: str, monkeypatch: pytest.MonkeyPatch, lost_reply: int
) -> None:
    replicated.run("hold", "place", "抽查", "推荐", "--reason", "spot check")
    replicated.run("replica", "sync")
    replicated.run("hold", "lift", "抽查", "推荐", "--reason", "closed")
    lose_reply(monkeypatch, "set_legal_hold", lost_reply)
    with pytest.raises(BucketProblem, match="the connection broke"):
        sync_here(replicated)
    replicated.run("hold", "place", "复查", "推荐", "--reason", "opened again")
    replicated.run("replica", "sync")
    assert legal_holds(bucket_of(url)) == {True}


def test_a_hold_on_disposed_content_is_lifted_once_and_can_be_placed_again(
    replicated: Site, bucket_of: OpenBucket, url: str
) -> None:
    """The lock keeps the content in the bucket for years, and the archive may meet the same bytes again."""
    replicated.run("hold", "place", "抽查", "推荐", "--reason", "spot check")
    replicated.write("推荐/首次/自评估 报告", "second draft")
    replicated.write("推荐/首次/附件/扫描件", b"second scan")
    replicated.catch_up()
    replicated.run("replica", "sync")
    dispose_first_version(replicated)
    assert "Changed holds: 2." in replicated.run("replica", "sync").stdout
    assert "Changed holds: 0." in replicated.run("replica", "sync").stdout
    assert legal_holds(bucket_of(url)) == {True, False}
    replicated.write("推荐/首次/自评估 报告", "first draft")
    replicated.write("推荐/首次/附件/扫描件", b"scan" * 1000)
    replicated.catch_up()
    assert "Changed holds: 2." in replicated.run("replica", "sync").stdout
    assert legal_holds(bucket_of(url)) == {True}


def test_a_new_replica_has_nothing_recorded_after_a_crash_behind_its_event(
    replicated: Site, server: Server, url: str
) -> None:
    """What the old bucket has would pass for what the new one has, and would never be sent there."""

    class DyingArchive(Archive):
        @contextmanager
        def writing(self, wait_seconds: float) -> Iterator[Writer]:
            with super().writing(wait_seconds) as writer:
                yield writer
            raise KeyboardInterrupt

    archive = DyingArchive(replicated.archive)
    settings = settings_from_options(
        load_config(replicated.config), f"{url}-2", server.endpoint, "", "auto", uses_object_lock=True
    )
    with pytest.raises(KeyboardInterrupt):
        create_replica(archive, settings, 5)
    archive.close()
    assert replicated.run("replica", "sync").stdout.startswith("Uploaded objects: 2 ")
    assert replicated.json("verify", "--replica")["ok"]


def test_two_archives_do_not_share_a_prefix(
    replicated: Site, server: Server, url: str, keys: Path, tmp_path: Path
) -> None:
    other = Site(tmp_path / "other").init()
    give_keys(other, keys)
    refused = other.run("replica", "init", "--url", url, "--endpoint", server.endpoint, code=2)
    assert "belongs to another archive" in refused.stderr
    beside = f"{url}-2"
    other.run("replica", "init", "--url", beside, "--endpoint", server.endpoint)
    other.run("replica", "sync")
    assert replicated.json("verify", "--replica")["ok"]


def test_a_copy_that_goes_its_own_way_is_a_second_writer(
    replicated: Site, server: Server, url: str, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-a", replicated.archive, copy], check=True)
    twin = Site.at(tmp_path, watch=tmp_path / "twin", archive=copy, config=tmp_path / "twin.toml")
    twin.watch.mkdir()
    text = replicated.config.read_text("utf-8")
    text = text.replace(f'"{replicated.archive}"', f'"{copy}"').replace(f'"{replicated.watch}"', f'"{twin.watch}"')
    twin.config.write_text(text, "utf-8")
    twin.run("checkpoint")
    twin.run("replica", "sync")
    replicated.run("checkpoint")
    replicated.write("推荐/首次/新", "new")
    replicated.catch_up()
    before = objects(server, url)
    assert (
        "was not written by this archive. No archived data was lost"
        in replicated.run("replica", "sync", code=8).stderr
    )
    # Content is sent before it can be known.
    assert [key.split("/")[0] for key in objects(server, url).keys() - before.keys()] == ["objects"]
    assert replicated.verified()["ok"]


def test_history_goes_no_further_than_the_content_that_was_sent(site: Site, tmp_path: Path) -> None:
    for number in range(3):
        site.write("推荐/首次/材料", f"{number}")
        site.catch_up()
    archive = site.open()
    events = list(archive.journal.events_since(None))
    middle = next(event for event in events if event.object == "推荐/首次/v1")
    fresh = Repository.create_without_hooks(tmp_path / "fresh.git")
    with write_bundle(archive, None, middle.commit) as (span, path, _):
        assert (span.first_seq, span.last_seq, span.head_commit) == (1, middle.seq, middle.commit)
        assert set(fresh.add_bundle(path)) == {
            "refs/heads/journal",
            "refs/heads/filings/推荐/首次",
            "refs/tags/推荐/首次/v1",
        }
        assert b"event.json" in fresh.names_in(middle.commit)
    with write_bundle(archive, middle.commit, events[-1].commit) as (span, path, _):
        assert (span.first_seq, span.last_seq) == (middle.seq + 1, events[-1].seq)
        assert set(fresh.add_bundle(path)) >= {"refs/heads/journal", "refs/tags/推荐/首次/v3"}
    fresh.close()
    archive.close()


def test_two_at_once_wait_for_each_other(replicated: Site, server: Server, url: str) -> None:
    with lock.hold_lock(replicated.archive / "replica.lock", 0):
        assert "is locked by" in replicated.run("--wait", "0.2", "replica", "sync", code=6).stderr
    for number in range(20):
        replicated.write(f"推荐/首次/{number}", os.urandom(50_000))
    replicated.catch_up()
    sync_command = [COMMAND, "--config", replicated.config, "replica", "sync"]
    running = [subprocess.Popen(sync_command, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(60) for process in running] == [0, 0]
    assert set(objects(server, url).values()) == {1}


def test_the_daemon_replicates_and_status_tells(plain: Site, server: Server, url: str) -> None:
    assert plain.json("status")["replica"] is None
    plain.run("replica", "init", "--url", url, "--endpoint", server.endpoint)
    status = plain.json("status")["replica"]
    assert status["synced_at"] is None
    assert status["behind"]["materials"] == 3
    assert f"Replica: {url} (no sync completed yet)" in plain.run("status").stdout
    process = plain.start("--settle", "0.2")
    try:
        wait_until(lambda: plain.json("status")["replica"]["synced_at"], seconds=40)
        status = plain.json("status")
        assert status["replica"]["behind"] == {"materials": 0, "bytes": 0, "since": None}
        assert status["protection"] == "off-site lock"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
        assert process.stdout is not None
        process.stdout.close()
    assert plain.json("verify", "--replica")["ok"]


def test_a_slow_bucket_delays_neither_versions_nor_the_end(plain: Site, server: Server, url: str) -> None:
    plain.run("replica", "init", "--url", url, "--endpoint", server.endpoint)
    plain.configure(replica={"bandwidth_mb": 0.01})
    plain.write("推荐/首次/大", os.urandom(3_000_000))
    process = plain.start("--settle", "0.2")
    try:
        wait_until(lambda: len(plain.tags()) == 2)
        time.sleep(1)
        plain.write("推荐/首次/下一份", "next")
        wait_until(lambda: len(plain.tags()) == 3)
        assert plain.json("status")["replica"]["behind"]["materials"] > 0
    finally:
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
        assert time.monotonic() - started < 10
        assert process.stdout is not None
        process.stdout.close()


def test_a_person_sends_new_content_at_once(replicated: Site) -> None:
    replicated.configure(replica={"grace_hours": 24})
    replicated.write("推荐/首次/新", "new")
    replicated.catch_up()
    done = replicated.run("replica", "sync").stdout
    assert "1 object (0.0 MB)" in done
    assert "archiver replica sync --now" in done
    report = replicated.json("verify", "--replica-sample", "100")
    assert report["ok"]
    assert [note["code"] for note in report["notes"]] == ["note.held-back"]
    sent = replicated.json("replica", "sync", "--now")
    assert (sent["sent"], sent["held_back"]) == (1, {"objects": 0, "bytes": 0, "until": None})
    assert replicated.json("verify", "--replica-sample", "100")["notes"] == []


def test_an_unreachable_bucket_is_told_once_in_a_while(plain: Site, server: Server, url: str) -> None:
    with proxied(server.base) as proxy:
        plain.run("replica", "init", "--url", url, "--endpoint", proxy.endpoint)
    plain.write("推荐/首次/新", "new")
    plain.configure(replica={"alert_hours": 0.01})
    process = plain.start("--settle", "0.2")
    try:
        wait_until(lambda: len(plain.tags()) == 2)
        wait_until(lambda: "cannot be reached" in json.dumps(plain.json("status")["last_problem"]), seconds=90)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
        assert process.stdout is not None
        process.stdout.close()
    later = Later(plain, 1)
    assert "the replica is more than 0.01 h behind" in later.json("status")["problems"]


def test_the_state_forgets_nothing_by_itself(tmp_path: Path) -> None:
    state = ReplicaState(tmp_path / "replica.db")
    until = clock.read_clocks().wall
    state.record_objects(
        [
            ("objects/a", ReplicatedObject("1", 5, until, has_legal_hold=True)),
            ("history/b", ReplicatedObject("2", 6, None, has_legal_hold=False)),
        ]
    )
    state.close()
    state = ReplicaState(tmp_path / "replica.db")
    assert state.objects_below("objects/") == {"objects/a": ReplicatedObject("1", 5, until, has_legal_hold=True)}
    assert state.find_object("history/b") == ReplicatedObject("2", 6, None, has_legal_hold=False)
    assert state.find_object("objects/c") is None
    state.delete_object_records(["objects/a"])
    assert state.objects_below("") == {"history/b": ReplicatedObject("2", 6, None, has_legal_hold=False)}
    state.close()
