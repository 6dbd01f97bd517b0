"""What the index makes of clocks and tokens, against a simple model."""

from __future__ import annotations

import tempfile
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver import clock
from archiver.filings import end_of_filing
from archiver.filings.submissions import SubmissionFacts, record_submission
from archiver.model import Submission
from archiver.store.archive import Archive
from archiver.store.creation.archive_creation import create_archive
from archiver.store.events.archive_events import ArchiveCreated
from archiver.store.events.event_details import GivenDetails
from archiver.store.events.event_kinds import Action
from archiver.store.writing.drafts import Draft, Totals, VersionDraft

SUBMISSION = Submission("f", "s", b"f", b"s")
steps = st.lists(st.sampled_from(["capture", "submit", "end", "token", "late token"]), min_size=1, max_size=8)


@pytest.mark.needs("processes")
@settings(max_examples=25)
@given(steps)
def test_every_anchor_is_its_clock_or_the_first_later_token(history: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        archive = create_archive(
            Path(folder) / "a", ArchiveCreated(layout="{filing}/{submission}", retention_years=3)
        )
        check(archive, history)
        archive.close()


def check(archive: Archive, history: list[str]) -> None:
    anchors: dict[tuple[str, int], datetime] = {}
    waiting: list[tuple[str, int]] = []
    known: dict[str, int] = {"capture": 0, "submit": 0, "end": 0}
    days = 0
    for what in history:
        if what in ("token", "late token"):
            days += 400 if what == "late token" else 0
            proven = clock.read_clocks().wall + timedelta(days=days)
            with archive.writing(5) as writer:
                event = writer.append(
                    Draft(
                        "clock", GivenDetails(Action.TIMESTAMP, {"time": clock.format_time(proven)}), proven=proven
                    )
                )
            assert clock.parse_time(event.clock["time"]) >= proven
            for each in waiting:
                anchors[each] = max(anchors[each], clock.parse_time(clock.format_time(proven)))
            waiting.clear()
            continue
        latest = archive.index.newest_version(SUBMISSION)
        if what == "capture":
            with archive.writing(5) as writer:
                parent = latest.commit if latest else None
                number = known["capture"] + 1
                event = writer.write_version(VersionDraft(SUBMISSION, number, parent, [], Totals(1, 1, 1, 0, 0)))
        elif latest is None:
            continue
        elif what == "submit":
            event = record_submission(archive, latest, SubmissionFacts(date(2026, 1, 1)), 5)
        else:
            event = end_of_filing.end_filing(archive, "f", date(2026, 1, 1), "closed", None, 5)
        known[what] += 1
        anchors[what, known[what]] = clock.parse_time(event.clock["time"])
        waiting.append((what, known[what]))
    compare(archive, anchors, known)
    archive.reindex()
    compare(archive, anchors, known)


def compare(archive: Archive, anchors: dict[tuple[str, int], datetime], known: dict[str, int]) -> None:
    versions = archive.index.versions()
    assert len(versions) == known["capture"]
    for version in versions:
        assert clock.parse_time(version.clock) == anchors["capture", version.number]
        following = anchors.get(("capture", version.number + 1))
        assert (clock.parse_time(version.superseded) if version.superseded else None) == following
        assert [clock.parse_time(each) for each in version.ended] == [
            anchors["end", n + 1] for n in range(known["end"])
        ]
    submitted = sorted(clock.parse_time(each.clock) for version in versions for each in version.submitted)
    assert submitted == sorted(anchors["submit", n + 1] for n in range(known["submit"]))
