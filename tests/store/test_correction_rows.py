"""Corrections in the index: the newest value wins, and nothing becomes deletable earlier."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from archiver import clock
from archiver.model import Event
from archiver.profiles import BASIS, Profile
from archiver.retention.policy import RetentionDecision, RetentionPolicy, decide_retention
from archiver.store.index.queries import Index
from archiver.store.repair.set_aside import lost_records

FILING = "推荐"
VERSION = f"{FILING}/首次/v1"
START = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = RetentionPolicy(
    profiles_by_scope={"": (Profile("years", 3, BASIS),)}, time_zones=(ZoneInfo("UTC"),), hold_while_live=True
)
#: What a filing can go through: kind, details, and the values that a correction may give.
ACTS: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "submit": (
        {
            "version": VERSION,
            "on": "2026-01-01",
            "kind": "first",
            "number": None,
            "by": None,
            "receipt": None,
            "reason": "r",
        },
        [{"on": "1999-01-01"}, {"kind": "other"}, {"number": "1"}, {"on": "2026-02-02", "reason": "s"}],
    ),
    "filing-end": ({"on": "2026-01-01", "reason": "r", "by": None}, [{"on": "1999-01-01"}, {"reason": "s"}]),
    "notice": (
        {
            "number": 1,
            "kind": "inquiry",
            "issuer": "",
            "document": "",
            "received": "2026-01-01",
            "due": None,
            "days": None,
            "owner": "",
            "by": None,
            "file": None,
            "sha256": None,
        },
        [{"received": "1999-01-01"}, {"kind": "revocation"}, {"due": "2026-05-05", "days": 5}],
    ),
}


def event(seq: int, action: str, about: str, details: dict[str, Any], **refs: str) -> Event:
    """An event of the day ``seq``."""
    time = START + timedelta(days=seq)
    reading = clock.ClockReading(time, "boot", 1, 1, shifted=False)
    return Event(
        seq=seq,
        at=clock.format_time(time),
        clock=clock.make_evidence(time, reading),
        actor={"uid": 1, "user": "li"},
        action=action,
        object=about,
        details=details,
        refs={ref.replace("_", "/"): oid for ref, oid in refs.items()},
        attachments=(),
        prev="",
        sha256=hashlib.sha256(str(seq).encode()).hexdigest(),
        commit=f"{seq:040}",
    )


def capture() -> Event:
    counts = dict.fromkeys(("files", "bytes", "added", "modified", "deleted"), 0)
    details = {"filing": FILING, "submission": "首次", "version": 1, **counts}
    captured = event(1, "capture", VERSION, details)
    captured.refs[f"refs/heads/filings/{FILING}/首次"] = "1" * 40
    return captured


def build_events(acts: Sequence[str], corrections: Sequence[tuple[int, int | None]]) -> list[Event]:
    """A version, the acts, then the corrections: place of the act, and of the new values; None voids it."""
    events = [capture()]
    for place, action in enumerate(acts):
        details = dict(ACTS[action][0])
        if action == "submit":
            details["tag"] = f"{FILING}/首次/submitted-{place}"
        events.append(event(place + 2, action, details.get("tag", FILING), details))
    for act_place, value_place in corrections:
        act_place %= len(acts)
        action = acts[act_place]
        choices = ACTS[action][1]
        details = {
            "corrects": act_place + 2,
            "kind": action,
            "fields": {} if value_place is None else choices[value_place % len(choices)],
            "void": value_place is None,
            "reason": "r",
            "by": None,
        }
        events.append(event(len(events) + 1, "correct", FILING, details))
    return events


def decide(events: Sequence[Event]) -> RetentionDecision:
    with closing(Index.in_memory()) as index:
        index.apply_events((each, ()) for each in events)
        version = index.find_version(VERSION)
        assert version is not None
        return decide_retention(version, POLICY, START)


ALL_ACTS = st.lists(st.sampled_from(list(ACTS)), min_size=1, max_size=5)
CORRECTIONS = st.lists(st.tuples(st.integers(0, 4), st.none() | st.integers(0, 3)), max_size=6)


@given(acts=ALL_ACTS, corrections=CORRECTIONS)
@settings(max_examples=100, deadline=None)
def test_no_correction_shortens_retention(
    acts: Sequence[str], corrections: Sequence[tuple[int, int | None]]
) -> None:
    """A second correction of what is void is not understood, and keeps everything all the more."""
    events = build_events(acts, corrections)
    before, after = decide(events[: len(acts) + 1]), decide(events)
    assert after.keep_until >= before.keep_until
    assert after.is_live >= before.is_live
    assert after.is_present_state >= before.is_present_state
    assert len(after.reasons) >= len(before.reasons)


@given(acts=ALL_ACTS, corrections=CORRECTIONS)
@settings(max_examples=100, deadline=None)
def test_the_newest_value_wins_and_each_correction_says_what_was_before(
    acts: Sequence[str], corrections: Sequence[tuple[int, int | None]]
) -> None:
    events = build_events(acts, corrections)
    with closing(Index.in_memory()) as index:
        index.apply_events((each, ()) for each in events)
        records = {record.seq: record for record in index.life_events()}
        unread_seqs = {each.seq for each in index.unread_events()}
        original = {each.seq: each.details for each in events}
        for seq, record in records.items():
            # The model: values by their names, as one correction after the other leaves them.
            values, is_void = dict(original[seq]), False
            for correction in (each for each in events if each.action == "correct"):
                if correction.details["corrects"] != seq:
                    continue
                assert (correction.seq in unread_seqs) == is_void
                if is_void:
                    continue
                (shown,) = (each for each in record.corrections if each.seq == correction.seq)
                assert {change.name: change.old for change in shown.changes} == {
                    name: values.get(name) for name in correction.details["fields"]
                }
                values |= correction.details["fields"]
                is_void = correction.details["void"]
            assert (record.details, record.is_void) == (values, is_void)
            # As known before any correction.
            (then,) = (each for each in index.life_events(recorded_until=record.at) if each.seq == seq)
            assert (then.details, then.corrections) == (original[seq], ())


def test_a_void_end_makes_the_filing_live_again_and_a_void_submission_does_not_end_it() -> None:
    ended = decide(build_events(["submit", "filing-end"], []))
    assert not ended.is_live
    assert decide(build_events(["submit", "filing-end"], [(1, None)])).is_live
    assert decide(build_events(["submit", "filing-end", "submit"], [])).is_live
    assert decide(build_events(["submit", "filing-end", "submit"], [(2, None)])).is_live


def test_a_correction_is_about_an_earlier_record_of_its_filing() -> None:
    for change in ({"corrects": 3}, {"corrects": 1}, {"kind": "submit", "fields": {"on": "2026-01-01"}}):
        events = build_events(["notice"], [(0, 0)])
        events[-1].details.update(change)
        with closing(Index.in_memory()) as index:
            index.apply_events((each, ()) for each in events)
            assert [each.seq for each in index.unread_events()] == [3]
            assert index.life_events()[0].corrections == ()


def test_a_database_of_an_earlier_release_still_names_what_was_lost(tmp_path: Path) -> None:
    """It has no table of corrections."""
    set_aside = tmp_path / "set-aside"
    set_aside.mkdir()
    events = build_events(["notice"], [(0, None)])
    with closing(Index(tmp_path / "index.db")) as index:
        index.apply_events((each, ()) for each in events)
    shutil.copy(tmp_path / "index.db", set_aside / "index.db.1")
    assert [record.action for record in lost_records(tmp_path, "", ())] == ["correct", "notice"]
    with closing(sqlite3.connect(set_aside / "index.db.1")) as database:
        database.execute("drop table corrections")
    assert [record.action for record in lost_records(tmp_path, "", ())] == ["notice"]
