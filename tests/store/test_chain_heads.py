"""Where the next event of each chain belongs: from the index, which is not believed against a signed head."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections import Counter
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver.model import Change, Op, Submission
from archiver.store.archive import Archive
from archiver.store.creation.archive_creation import create_archive
from archiver.store.events.archive_events import ArchiveCreated, RecordAdded
from archiver.store.events.chains import digest_chain_heads
from archiver.store.events.evidence_events import ClockTicked
from archiver.store.events.filing_events import FilingUpdated
from archiver.store.events.retention_events import ActRefused, HoldPlaced
from archiver.store.writing.chain_heads import ChainHeads, agree_with_signed_head
from archiver.store.writing.drafts import Draft, Totals, VersionDraft
from archiver.verify.whole_archive import verify_archive
from tests.support.journal_model import check_journal, filing_of, read_journal
from tests.support.site import Site

pytestmark = pytest.mark.needs("processes")

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture
def two(site: Site) -> Site:
    """Two filings with a few events each."""
    for text in ("1", "2"):
        site.write("f/s/a", text)
        site.write("g/s/a", text)
        site.catch_up()
    site.run("hold", "place", "inspection", "f", "--reason", "r")
    return site


# --- an index that somebody has edited


def edit(site: Site, *statements: str) -> None:
    """Write to the table ``chains``, and to nothing that says of which event the index was made."""
    with closing(sqlite3.connect(site.archive / "index.db")) as database, database:
        for statement in statements:
            assert database.execute(statement).rowcount > 0, statement


EDITS = {
    "a number": ["update chains set count = count + 1 where filing = 'f'"],
    "a number that is smaller": ["update chains set count = 1 where filing = 'f'"],
    "a digest": [f"update chains set digest = 'sha256:{'1' * 64}' where filing = 'g'"],
    "the chain of the archive": ["update chains set count = 1 where chain = 'archive'"],
    "a chain that is gone": ["delete from chains where filing = 'f'"],
    "the chain of the house that is gone": ["delete from chains where chain = 'house'"],
    "every chain": ["delete from chains"],
    "another chain": [
        f"insert into chains (chain, filing, count, digest) values ('{'ab' * 16}', 'h', 3, 'sha256:{'2' * 64}')"
    ],
    "another name of a chain": [f"update chains set chain = '{'cd' * 16}' where filing = 'f'"],
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_index_is_rebuilt_before_anything_is_written(two: Site, name: str) -> None:
    edit(two, *EDITS[name])
    two.write("f/s/a", "3")
    two.write("g/s/a", "3")
    two.catch_up()
    assert two.tags()[:2] == ["g/s/v3", "f/s/v3"] or two.tags()[:2] == ["f/s/v3", "g/s/v3"]
    two.check_journal()
    two.verified()


@pytest.mark.parametrize("command", [("hold", "place", "n", "f", "--reason", "r"), ("checkpoint",), ("submit", "f/s", "--on", "2026-01-05")])  # fmt: skip
def test_every_writer_looks_at_the_index_first(two: Site, command: tuple[str, ...]) -> None:
    edit(two, *EDITS["a number"])
    two.run(*command)
    two.check_journal()
    two.verified()


def test_a_long_running_writer_looks_each_time(two: Site) -> None:
    """The service has the index open while somebody edits it."""
    archive = two.open()
    try:
        for _ in range(2):
            edit(two, *EDITS["a number"])
            with archive.writing(5) as writer:
                writer.append(
                    Draft("f", HoldPlaced(name=str(archive.index.head_commit), reason="r", reported_by=None))
                )
    finally:
        archive.close()
    two.check_journal()
    two.verified()


def test_a_chain_given_to_another_filing_is_found_by_verify(two: Site) -> None:
    """No head states whose chain it is; nothing that is in force hangs on it."""
    edit(
        two,
        "update chains set filing = 'x' where filing = 'f'",
        "update chains set filing = 'f' where filing = 'g'",
    )
    two.run("hold", "place", "other", "f", "--reason", "r")
    seq = len(two.events())
    assert {(finding["code"], finding["object"]) for finding in two.findings()} == {("A036", f"event {seq}")}
    two.run("reindex")
    two.run("hold", "place", "third", "f", "--reason", "r")
    assert {finding["object"] for finding in two.findings()} == {f"event {seq}"}


def test_the_index_agrees_until_it_is_edited(two: Site) -> None:
    archive = two.open()
    try:
        assert agree_with_signed_head(archive.index, archive.head_history)
        edit(two, *EDITS["a digest"])
        assert not agree_with_signed_head(archive.index, archive.head_history)
    finally:
        archive.close()


# --- any sequence of events


CREATED = ArchiveCreated(watch="/w", layout="{filing}/{submission}", retention_years=3, timezone="Asia/Shanghai")
FILINGS = ["f", "备案", "%B1%B8"]
WAY = st.sampled_from(["capture", "hold", "set", "record"])
EVENT = st.one_of(
    st.tuples(WAY, st.sampled_from(FILINGS)), st.tuples(st.sampled_from(["tick", "refuse", "record"]), st.none())
)
BETWEEN = st.tuples(st.sampled_from(["lose key", "find key", "reindex", "reopen"]), st.none())
#: Batches of events, and what happens between them.
WORK = st.lists(st.one_of(st.lists(EVENT, min_size=1, max_size=4), BETWEEN), max_size=10)


class Writing:
    """An archive, and what was written to it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.archive = create_archive(root / "archive", CREATED)
        self.versions: dict[str, tuple[int, str | None]] = {}
        self.expected: Counter[str | None] = Counter()
        self.holds = 0

    def write(self, events: list[tuple[str, str | None]]) -> None:
        with self.archive.writing(5) as writer:
            drafts, captured = [], set()
            for kind, filing in events:
                if kind == "capture" and filing in captured:
                    # The commit that a second version of the same batch would follow is not known yet.
                    continue
                drafts.append(self.draft(kind, filing))
                captured.add(filing if kind == "capture" else None)
                self.expected[filing] += 1
            for event in writer.write_batch(drafts):
                if event.action == "capture":
                    filing = event.object.split("/")[0]
                    number, _ = self.versions.get(filing, (0, None))
                    self.versions[filing] = (number + 1, event.refs[f"refs/heads/filings/{filing}/s"])

    def draft(self, kind: str, filing: str | None) -> Draft | VersionDraft:
        if kind == "capture":
            assert filing is not None
            number, parent = self.versions.get(filing, (0, None))
            changes = [Change(Op.ADD, str(number).encode(), EMPTY)]
            submission = Submission(filing, "s", filing.encode(), b"s")
            return VersionDraft(submission, number + 1, parent, changes, Totals(number + 1, 0, 1, 0, 0))
        if kind == "hold":
            self.holds += 1
            return Draft(filing or "", HoldPlaced(name=f"hold {self.holds}", reason="r", reported_by=None))
        if kind == "set":
            details = FilingUpdated(
                fields={"product": "甲"}, recorded_on=date(2026, 1, 5), reported_by=None, number_reason=None
            )
            return Draft(filing or "", details)
        if kind == "record":
            return Draft("anything", RecordAdded(kind="note", version=1, fields={"x": "y"}, filing=filing))
        return Draft("clock", ClockTicked()) if kind == "tick" else Draft("git", ActRefused(reason="r"))

    def between(self, what: str) -> None:
        key, kept = self.root / "archive/keys/signing_key", self.root / "kept"
        if what == "lose key" and key.exists():
            key.rename(kept)
        elif what == "find key" and kept.exists():
            kept.rename(key)
        elif what == "reindex":
            with self.archive.writing(5):
                self.archive.reindex()
        elif what == "reopen":
            self.archive.close()
            self.archive = Archive(self.root / "archive")


@settings(max_examples=30)
@given(WORK)
def test_any_work_gives_chains_without_a_gap_and_heads_that_the_replay_confirms(work: list[Any]) -> None:
    root = Path(tempfile.mkdtemp())
    writing = Writing(root)
    try:
        for step in work:
            writing.write(step) if isinstance(step, list) else writing.between(step[0])
        writing.between("find key")
        writing.write([("tick", None)])
        archive = writing.archive
        commits = check_journal(archive.repository_path)
        report = verify_archive(archive.root, archive.repository)
        assert report.findings == []
        by_filing = Counter(filing_of(commit) for commit in commits[3:])
        assert by_filing == writing.expected
        # The index has the same heads, whether it followed the work or is made anew.
        heads = archive.index.chains()
        assert commits[-1].head is not None
        assert digest_chain_heads(head for head, _ in heads.values()) == commits[-1].head["chain_heads"]
        with archive.writing(5):
            archive.reindex()
        assert archive.index.chains() == heads
    finally:
        writing.archive.close()
        shutil.rmtree(root)


def test_a_batch_that_fails_leaves_the_heads_as_they_were(two: Site) -> None:
    archive = two.open()
    try:
        before = ChainHeads(archive.index).compute_digest()
        hold = Draft("h", HoldPlaced(name="n", reason="r", reported_by=None))
        with archive.writing(5) as writer:
            with pytest.raises(Exception, match="control character"):
                writer.write_batch([hold, Draft("a\nb", HoldPlaced(name="n", reason="r", reported_by=None))])
            assert ChainHeads(archive.index).compute_digest() == before
            writer.write_batch([hold, hold])
    finally:
        archive.close()
    commits = two.check_journal()
    assert [commit.event["n"] for commit in commits[-2:]] == [1, 2]
    two.verified()


def test_filings_have_chains_that_say_nothing_of_them(two: Site) -> None:
    chains = {filing_of(commit): commit.event["chain"] for commit in read_journal(two.repository)}
    assert chains.keys() == {None, "f", "g"}
    again = Site(two.root / "other").init()
    again.write("f/s/a", "1")
    again.catch_up()
    other = {filing_of(commit): commit.event["chain"] for commit in read_journal(again.repository)}
    assert other["f"] != chains["f"]
