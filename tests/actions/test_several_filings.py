"""What is done to several filings at once: an event in the chain of each, which names no other filing."""

from __future__ import annotations

import os
from contextlib import closing
from typing import Any

import pytest

from archiver.actions import maintenance_actions
from archiver.actions.context import ActionContext
from archiver.actions.maintenance_actions import RecordNote, journal_note
from archiver.config.loader import load_config
from archiver.errors import NotFoundError, UsageError
from archiver.model import Event
from tests.actions.conftest import Web
from tests.support.forged import files_of
from tests.support.site import Site

#: Neither name is part of the other's texts, and neither is of a path of the tests.
LEFT, RIGHT = "甲推荐", "乙搜索"
HOUSE, ARCHIVE = "house", "archive"


@pytest.fixture
def two(site: Site) -> Site:
    for filing in (LEFT, RIGHT):
        site.write(f"{filing}/首次/报告", f"about {filing}")
    site.catch_up()
    return site


def read_events(site: Site) -> list[Event]:
    with closing(site.open()) as archive:
        return list(archive.journal.events_since(None))


def read_files(site: Site, event: Event) -> dict[str, str]:
    """Return every file in the commit of an event, by its name."""
    return {name: data.decode() for name, data in files_of(site, event.commit).items()}


def chains_of_filings(site: Site) -> dict[str, str]:
    return {
        event.object.partition("/")[0]: event.chain for event in read_events(site) if event.action == "capture"
    }


def check_one_each(site: Site, action: str) -> dict[str, Event]:
    """Check that the newest act of this kind has an event for each filing; return them by filing."""
    chains = chains_of_filings(site)
    events = [event for event in read_events(site) if event.action == action and event.chain in chains.values()]
    by_filing = {filing: event for event in events for filing, chain in chains.items() if event.chain == chain}
    assert by_filing.keys() == {LEFT, RIGHT}
    for filing, other in ((LEFT, RIGHT), (RIGHT, LEFT)):
        assert by_filing[filing].details["of_filing"] == filing
        for name, stored in read_files(site, by_filing[filing]).items():
            assert other not in stored, f"{filing}: {name} names {other}"
    # The id of the act says that they are one, and nothing else does.
    acts = {event.details["act"] for event in by_filing.values()}
    assert len(acts) == 1
    assert len(acts.pop()) == 32
    site.verified()
    return by_filing


def test_a_reminder_of_two_filings_is_sent_once_and_journalled_twice(two: Site, web: Web) -> None:
    for filing in (LEFT, RIGHT):
        two.run("notice", "add", filing, "--kind", "inquiry", "--received", "2026-01-05", "--due", "2026-01-09")
    environment = {**os.environ, "ARCHIVER_TARGET_OWNER": web.webhook}
    two.run("remind", env=environment)
    [message] = web.received
    assert LEFT in message
    assert RIGHT in message
    reminders = check_one_each(two, "reminder")
    for filing, reminder in reminders.items():
        assert reminder.object == "reminders"
        assert all(item["uid"].startswith(f"{filing}:") for item in reminder.details["items"])
    # Whoever was reminded is not reminded again, of neither filing, also by a new index.
    two.run("reindex")
    assert "Sent 0 reminders" in two.run("remind", env=environment).stdout
    assert len(web.received) == 1


def test_a_reminder_of_one_filing_has_no_act(two: Site, web: Web) -> None:
    two.run("notice", "add", LEFT, "--kind", "inquiry", "--received", "2026-01-05", "--due", "2026-01-09")
    two.run("remind", env={**os.environ, "ARCHIVER_TARGET_OWNER": web.webhook})
    reminder = read_events(two)[-1]
    assert (reminder.action, reminder.chain) == ("reminder", chains_of_filings(two)[LEFT])
    assert "act" not in reminder.details


@pytest.mark.parametrize("selection", [(), ("--filing", LEFT, "--filing", RIGHT)], ids=["of all", "of both"])
def test_an_export_is_journalled_with_each_filing_in_the_package(two: Site, selection: tuple[str, ...]) -> None:
    two.run(
        "audit", "--to", two.root / "package", "--recipient", "the office", "--reason", "spot check", *selection
    )
    exports = check_one_each(two, "export")
    for filing, export in exports.items():
        # Nothing selected means everything; a selection is cut to the filing, and is never emptied by that.
        assert export.details["filings"] == ([filing] if selection else [])
        assert export.details["recipient"] == "the office"


def test_an_export_of_one_filing_is_no_business_of_the_other(two: Site) -> None:
    two.run("audit", "--to", two.root / "package", "--submission", f"{LEFT}/首次")
    [export] = [event for event in read_events(two) if event.action == "export"]
    assert export.chain == chains_of_filings(two)[LEFT]
    assert export.details["submissions"] == [f"{LEFT}/首次"]
    assert "act" not in export.details


def note(site: Site, kind: str, details: dict[str, Any], filings: tuple[str, ...] | None) -> int:
    with closing(site.open()) as archive:
        context = ActionContext(archive, load_config(site.config), 5)
        request = RecordNote(action=kind, about="f/s/v1", details=details, filings=filings)
        return int(journal_note(context, request)["seq"])


TAGS = [f"{LEFT}/首次/v1", f"{RIGHT}/首次/v1"]


def test_a_restore_of_versions_of_two_filings(two: Site) -> None:
    note(two, "restore", {"target": "/back", "versions": TAGS, "files": 2, "bytes_written": 9}, (LEFT, RIGHT))
    for filing, restore in check_one_each(two, "restore").items():
        assert restore.details["versions"] == [f"{filing}/首次/v1"]
        assert restore.object == f"{filing}/首次/v1"


def test_a_restore_is_journalled_with_its_filing(two: Site) -> None:
    two.run("restore", f"{LEFT}/首次/v1", "--to", two.root / "back")
    restore = read_events(two)[-1]
    assert (restore.action, restore.chain) == ("restore", chains_of_filings(two)[LEFT])
    assert "act" not in restore.details


def test_a_promise_goes_to_the_filings_that_it_is_made_for(two: Site) -> None:
    two.configure(
        filings={
            LEFT: {"profiles": ["cn-archive-10"]},
            RIGHT: {"submissions": {"首次": ["cn-archive-30"], "年度": ["sec-17a4"]}},
        }
    )
    two.run("retention", "accept", "--years", "30")
    promises = check_one_each(two, "policy")
    assert promises[LEFT].details["scopes"] == {LEFT: 10}
    assert promises[RIGHT].details["scopes"] == {f"{RIGHT}/首次": 30, f"{RIGHT}/年度": 6}
    # The promise of everything is in every package, so that it is the archive's, and names no filing.
    general = [event for event in read_events(two) if event.action == "policy" and event.chain == ARCHIVE]
    assert general
    for event in general:
        assert "scopes" not in event.details
        assert not any(name in stored for stored in read_files(two, event).values() for name in (LEFT, RIGHT))
    # Together they are what was promised, with another index as well.
    for _ in range(2):
        years = {
            each["tag"]: int(each["keep_until"][:4]) - int(each["captured_at"][:4]) for each in two.json("log")
        }
        assert years == {f"{LEFT}/首次/v1": 10, f"{RIGHT}/首次/v1": 30}
        two.run("reindex")


def test_a_promise_for_a_filing_without_versions_begins_its_chain(site: Site) -> None:
    site.configure(filings={LEFT: {"profiles": ["cn-archive-10"]}})
    site.run("retention", "accept")
    site.write(f"{LEFT}/首次/报告", "1")
    site.catch_up()
    promise, capture = (
        [event for event in read_events(site) if event.action == action and event.chain not in (ARCHIVE, HOUSE)]
        for action in ("policy", "capture")
    )
    assert [(event.chain, event.chain_number) for event in promise] == [(capture[0].chain, 1)]
    assert capture[0].chain_number == 2
    site.verified()


@pytest.mark.parametrize(
    ("kind", "details", "action"),
    [
        ("protect", {"on": True, "objects": 2, "changed": 2}, "protect"),
        ("restore", {"target": "/x", "versions": [], "files": 0, "bytes_written": 0}, "restore"),
        ("export", {"target": "/x", "recipient": None, "filings": [LEFT], "versions": 0}, "export"),
    ],
)
def test_a_note_about_no_filing_is_the_houses(two: Site, kind: str, details: dict[str, Any], action: str) -> None:
    for filings in ((), None):
        note(two, kind, details, filings)
        newest = read_events(two)[-1]
        assert (newest.action, newest.chain) == (action, HOUSE)
        assert "of_filing" not in newest.details
    two.verified()


def test_what_is_about_no_filing_goes_to_the_house(two: Site) -> None:
    two.run("drill", "--files", "1")
    two.run("dispose", "plan", code=4)
    two.run("key", "backup", "--to", two.root / "safe")
    two.run("key", "rotate", "--reason", f"seen by somebody of {LEFT}")
    two.run("checkpoint")
    by_action = {event.action: event for event in read_events(two)}
    for action in ("watch-path", "drill", "refuse", "key-backup", "key-reason", "checkpoint"):
        assert by_action[action].chain == HOUSE, action
    # The key itself is in every package; why it was changed is in none.
    assert by_action["key-rotate"].chain == ARCHIVE
    assert not any(LEFT in stored for stored in read_files(two, by_action["key-rotate"]).values())


# --- a note comes from whoever may read the archive


def test_a_note_cannot_begin_the_chain_of_a_filing_that_there_is_not(two: Site) -> None:
    before = read_events(two)
    with pytest.raises(NotFoundError, match="does not exist"):
        note(two, "restore", {"target": "/x", "versions": TAGS}, (LEFT, "丙"))
    assert read_events(two) == before


def test_a_note_names_its_filings_only_where_they_are_looked_up(two: Site) -> None:
    """Else a reader could write into the chain of a filing, or begin any number of chains."""
    seq = note(two, "restore", {"target": "/x", "versions": [], "of_filing": "丙", "act": "made up"}, ())
    newest = read_events(two)[-1]
    assert (newest.seq, newest.chain) == (seq, HOUSE)
    assert newest.details == {"target": "/x", "versions": []}
    note(two, "restore", {"target": "/x", "versions": TAGS, "of_filing": RIGHT, "act": "made up"}, (LEFT, LEFT))
    [*_, before, newest] = read_events(two)
    assert before.seq == seq, "a filing that is named twice gets one event"
    assert newest.details == {"target": "/x", "versions": TAGS[:1], "of_filing": LEFT}


def test_the_parts_of_a_note_together_are_not_longer_than_a_note(
    two: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not a list of names is repeated for each filing."""
    monkeypatch.setattr(maintenance_actions, "_MAX_NOTE_BYTES", 1000)
    details = {"target": "x" * 600, "versions": []}
    before = read_events(two)
    with pytest.raises(UsageError, match="longer than 1000 bytes"):
        note(two, "restore", details, (LEFT, RIGHT))
    assert read_events(two) == before
    note(two, "restore", details, (LEFT,))
