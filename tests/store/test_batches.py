"""Many versions and events in one batch: durable together, and the same as if they were written one by one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest

from archiver.errors import UsageError
from archiver.model import Change, Op, Submission
from archiver.store.archive import Archive
from archiver.store.events.retention_events import HoldPlaced
from archiver.store.failpoints import Step
from archiver.store.writing.drafts import Draft, Totals, VersionDraft
from tests.support.killed import BATCH_STEPS, killed_at
from tests.support.site import Site

TOTALS = Totals(1, 1, 1, 0, 0)


def added(name: bytes) -> list[Change]:
    """The addition of an empty file, which needs no content object."""
    return [Change(Op.ADD, name, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")]


def version(name: str, number: int, parent: str | None, changes: Sequence[Change]) -> VersionDraft:
    return VersionDraft(Submission("f", name, b"f", name.encode()), number, parent, changes, TOTALS)


@pytest.fixture
def archive(site: Site) -> Iterator[Archive]:
    with closing(site.open()) as opened:
        yield opened


def test_versions_and_events_share_one_transaction(site: Site, archive: Archive) -> None:
    hold = Draft("f", HoldPlaced(name="suit", reason="court", reported_by=None))
    with archive.writing(0) as writer:
        events = writer.write_batch([version("s", 1, None, added(b"a")), hold, version("t", 1, None, added(b"b"))])
    assert [event.seq for event in events] == [5, 6, 7]
    assert [event.prev for event in events[1:]] == [event.sha256 for event in events[:-1]]
    assert archive.journal.newest_event() == events[-1]
    assert sorted(each.tag for each in archive.index.versions()) == ["f/s/v1", "f/t/v1"]
    assert [each.name for each in archive.index.holds()] == ["suit"]
    site.verified()


def test_two_versions_of_one_submission_follow_each_other(site: Site, archive: Archive) -> None:
    """The second one has a parent that git does not find by its id before the import ends."""
    with archive.writing(0) as writer:
        first = writer.write_version(version("s", 1, None, added(b"a")))
        parent = first.refs["refs/heads/filings/f/s"]
        second = writer.write_batch([version("s", 2, parent, added(b"b")), version("t", 1, None, added(b"x"))])[0]
    assert archive.repository.resolve("refs/heads/filings/f/s") == second.refs["refs/heads/filings/f/s"]
    site.verified()
    assert {each["path"] for each in site.json("show", "f/s/v2")["materials"]} == {"a", "b"}


def test_a_draft_that_cannot_be_read_back_keeps_the_whole_batch_out(site: Site, archive: Archive) -> None:
    before = archive.repository.refs()
    unfit = Draft("f\n", HoldPlaced(name="suit", reason="court", reported_by=None))
    with archive.writing(0) as writer, pytest.raises(UsageError):
        writer.write_batch([version("s", 1, None, added(b"a")), unfit])
    assert archive.repository.refs() == before
    site.verified()


def test_an_empty_batch_writes_nothing(archive: Archive) -> None:
    before = archive.repository.refs()
    with archive.writing(0) as writer:
        assert writer.write_batch([]) == []
    assert archive.repository.refs() == before


def test_a_batch_that_is_given_up_leaves_nothing(site: Site, archive: Archive) -> None:
    """The service is stopped in the middle of a version of many files."""

    class Stopped(Exception):
        pass

    def check_stop() -> None:
        nonlocal files
        files += 1
        if files == 3:
            raise Stopped

    files, before = 0, archive.repository.refs()
    packs_before = sorted(site.repository.glob("objects/pack/*"))
    changes = [Change(Op.ADD, b"%d" % number, "aa" * 32, 1, 1) for number in range(5)]
    with archive.writing(0) as writer, pytest.raises(Stopped):
        writer.write_batch([version("s", 1, None, changes)], check_stop=check_stop)
    assert archive.repository.refs() == before
    assert sorted(site.repository.glob("objects/pack/*")) == packs_before
    site.write("f/s/a", "1")
    site.catch_up()
    site.verified()


def test_what_settled_together_is_captured_together(site: Site) -> None:
    """Each batch takes two processes of git and two syncs, however many submissions it has."""
    for number in range(40):
        site.write(f"f/s{number}/材料", str(number))
    done = site.run("run", "--once", "--settle", "0")
    assert done.stdout.count("Captured ") == 40
    site.verified()
    times = {event["at"] for event in site.events("capture")}
    assert len(times) < 40, "versions of one batch have one time"
    assert len([commit for commit in site.check_journal() if commit.head]) < 40, "each batch is signed once"


def test_a_ref_in_the_way_concerns_its_submission_only(site: Site) -> None:
    """A tag that somebody made by hand takes the folder of a submission's tags."""
    site.write("f/s/a", "1")
    site.catch_up()
    site.git("tag", "f/u", "f/s/v1")
    for name in ("t", "u", "w"):
        site.write(f"f/{name}/a", "1")
    site.run("run", "--once", "--settle", "0", code=None)
    assert {"f/t/v1", "f/w/v1"} <= set(site.tags())
    assert "f/u/v1" not in site.tags()
    site.git("-c", "core.hooksPath=/dev/null", "-c", "hook.guard.command=true", "tag", "-d", "f/u")
    site.catch_up()
    assert "f/u/v1" in site.tags()
    site.verified()


@pytest.mark.parametrize("step", BATCH_STEPS)
def test_after_a_kill_all_versions_of_a_batch_count_or_none(site: Site, step: Step) -> None:
    # What comes before the first capture is written, so that the kill hits a batch of versions.
    site.catch_up()
    before = len(site.events())
    for number in range(12):
        site.write(f"f/s{number}/材料", str(number))
    killed_at(site, step)
    # The head that was signed says which events belong to the batch.
    noted = json.loads((site.archive / "spool/signing").read_bytes().splitlines()[-1])
    assert (noted["batch"], noted["last"] > before) == (before + 1, True)
    is_in_effect = step in (Step.REFS_MOVED, Step.REFS_DURABLE, Step.INDEX_UPDATED)
    assert len(site.events()) == (noted["last"] if is_in_effect else before)
    site.catch_up()
    site.check_journal()
    site.verified()
    tags = site.tags()
    assert len(tags) == len(set(tags)) == 12
