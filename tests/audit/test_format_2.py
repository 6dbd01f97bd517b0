"""The verifier on packages of format 2: each damage to events and their bodies is found, and named."""

from __future__ import annotations

import ast
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from archiver.store.events.chain_rules import filing_in_object
from archiver.store.events.event_kinds import ACTIONS
from archiver.store.keys import SigningKey
from tests.audit.altered_package import (
    BODIES,
    HEADS,
    JOURNAL,
    SOURCE,
    AlteredPackage,
    ForgedJournal,
    digest,
    encode,
    sentence,
    verifier,
)
from tests.audit.conftest import copy_package
from tests.support.embedded_replay import REPLAY, embedded
from tests.support.site import Site

pytestmark = pytest.mark.needs("processes")


# --- the verifier as a file


def between_marks(text: str) -> str:
    (part,) = re.findall(r"^# --- begin of [^\n]*\n(.*)^# --- end of ", text, re.MULTILINE | re.DOTALL)
    return str(part)


def test_the_replay_is_that_of_the_program_but_for_the_name_of_the_class() -> None:
    assert len(between_marks(REPLAY.read_text("utf-8"))) > 2000
    assert SOURCE.read_text("utf-8") == embedded(SOURCE.read_text("utf-8"))


def test_it_knows_the_same_kinds_of_events() -> None:
    assert verifier().ACTIONS == ACTIONS
    of_filings = {action.value for action in ACTIONS if filing_in_object(action, "f/s") == "f"}
    assert of_filings == verifier().FILING_ACTIONS


def test_every_message_is_in_both_languages() -> None:
    texts = verifier().TEXT
    for english, chinese in texts.values():
        assert sorted(re.findall(r"\{\d\}", english)) == sorted(re.findall(r"\{\d\}", chinese))
        assert re.search("[一-鿿]", chinese)
        assert not re.search("[一-鿿]", english)
    names = {
        node.value
        for node in ast.walk(ast.parse(SOURCE.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert texts.keys() <= names


# --- an honest package


@pytest.mark.parametrize("name", ["plain", "rotated"])
def test_a_package_as_it_is_has_no_finding(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    package = copy_package(request.getfixturevalue(name), tmp_path)
    assert package.findings() == []
    checker = package.checker
    assert len(checker.heads) == len(package.lines(HEADS)) > 5
    # The newest one, and that of the new key.
    assert checker.verified_head_count == {"plain": 1, "rotated": 2}[name]
    assert checker.signature_count == checker.verified_head_count + 1, "and the submission's"
    unverified = len(checker.heads) - checker.verified_head_count
    assert any(f": {unverified} of {len(checker.heads)};" in sentence for sentence in checker.unchecked)


def test_its_lines_are_the_files_of_the_journal(plain: Site) -> None:
    package = AlteredPackage(plain.root / "package")
    commits = plain.git("rev-list", "--reverse", "journal").stdout.split()
    lines, bodies, heads = (package.lines(name) for name in (JOURNAL, BODIES, HEADS))
    # The export itself comes after the package: an event for each of two filings.
    assert len(lines) == len(bodies) == len(commits) - 2
    for number, commit in enumerate(commits[:-2], 1):
        assert plain.git("show", f"{commit}:event.json").stdout.encode() == lines[number - 1]
        assert plain.git("show", f"{commit}:body.json").stdout.encode() == bodies[number - 1]
        signature = package.folder / f"data/heads/{number}.sig"
        if number in package.head_numbers():
            assert plain.git("show", f"{commit}:head.json").stdout.encode() == heads.pop(0)
            assert plain.git("show", f"{commit}:head.sig").stdout == signature.read_text("ascii")
        else:
            assert not signature.exists()
    assert heads == []
    assert len(list((package.folder / "data/tags").iterdir())) == 1, (
        "no tag of a checkpoint, one of the submission"
    )


def test_somebody_with_the_key_can_write_everything_anew(forged: ForgedJournal) -> None:
    """The tests below alter one thing more, so that it is this one thing that they find."""
    assert forged.link().findings() == []
    forged.body("hold")["details"]["reason"] = "another reason"
    assert forged.link().findings() == []


# --- bodies


def test_an_altered_body_is_named(package: AlteredPackage) -> None:
    number = package.action_numbers("hold")[0]
    package.replace(BODIES, b'"spot check"', b'"spot cheCk"')
    assert package.findings() == [(BODIES, sentence("body", number))]


def test_swapped_bodies_are_named(package: AlteredPackage) -> None:
    bodies = package.lines(BODIES)
    bodies[-1], bodies[-2] = bodies[-2], bodies[-1]
    package.write_lines(BODIES, bodies)
    assert package.findings() == [(BODIES, sentence("body", n)) for n in (len(bodies) - 1, len(bodies))]


def test_missing_and_surplus_bodies_are_named(package: AlteredPackage) -> None:
    bodies = package.lines(BODIES)
    package.write_lines(BODIES, bodies[:-1])
    assert package.findings() == [(BODIES, sentence("body", len(bodies)))]
    package.write_lines(BODIES, [*bodies, b"\n"])
    assert package.findings() == [(BODIES, "there are more bodies than events")]
    package.remove(BODIES)
    found = package.findings()
    assert found[0] == (BODIES, "the file is missing")
    assert (BODIES, sentence("body", 1)) in found


# --- events


def test_an_altered_event_is_found_through_the_chain_and_the_head(package: AlteredPackage) -> None:
    lines = package.lines(JOURNAL)
    number = len(lines) - 1
    event = json.loads(lines[number - 1])
    event["at"] = event["at"].replace("202", "203")
    package.write_lines(JOURNAL, [*lines[: number - 1], encode(event), *lines[number:]])
    found = package.findings()
    assert (JOURNAL, sentence("chain", number + 1)) in found
    assert any(what.startswith("the signed head of event ") for _, what in found)


@pytest.mark.parametrize("with_chains", [False, True])
def test_an_event_that_was_left_out_is_found(package: AlteredPackage, plain: Site, with_chains: bool) -> None:
    """By somebody without the key: all digests are calculated anew, and the heads are as they were."""
    heads = dict(zip(package.head_numbers(), package.lines(HEADS), strict=True))
    signatures = {n: (package.folder / f"data/heads/{n}.sig").read_bytes() for n in heads}
    forged = ForgedJournal(package, SigningKey(plain.archive / "keys"))
    forged.drop(forged.number("submit"))
    forged.link(with_chains=with_chains)
    kept = [n for n in heads if n <= len(forged.events)]
    shutil.rmtree(package.folder / "data/heads")
    package.write_lines(HEADS, [heads[n] for n in kept])
    for n in kept:
        package.write(f"data/heads/{n}.sig", signatures[n])
    found = package.findings()
    gap = (JOURNAL, sentence("place", forged.number("hold")))
    assert (gap in found) is not with_chains, "only the head tells once the chain was linked anew"
    assert any("differs from the events" in what for _, what in found)


def test_an_event_of_a_chain_that_was_left_out_is_found_even_with_the_key(forged: ForgedJournal) -> None:
    forged.drop(forged.number("submit"))
    found = forged.link(with_chains=False).findings()
    assert (JOURNAL, sentence("place", forged.number("hold"))) in found
    assert not any("differs from the events" in what for _, what in found), "the heads fit"


def test_a_truncated_journal_is_found(package: AlteredPackage) -> None:
    for name in (JOURNAL, BODIES):
        package.write_lines(name, package.lines(name)[:-1])
    count = len(package.lines(JOURNAL))
    assert (HEADS, sentence("beyond", count + 1)) in package.findings()


def test_a_journal_cut_to_an_earlier_head_passes_and_the_witness_line_tells(package: AlteredPackage) -> None:
    """It is what the archive was at that time; only a line that left the house says that there was more."""
    package.findings()
    witness = package.checker.unchecked[-1]
    end = package.head_numbers()[-2]
    for name in (JOURNAL, BODIES):
        package.write_lines(name, package.lines(name)[:end])
    package.write_lines(HEADS, package.lines(HEADS)[:-1])
    package.remove(f"data/heads/{int(witness.split()[3])}.sig")
    assert package.findings() == []
    assert package.findings(witness) == [(JOURNAL, sentence("witness"))]


def test_events_without_a_head_are_found(package: AlteredPackage) -> None:
    """Somebody without the key can append, and leave out the newest head."""
    *heads, newest = package.lines(HEADS)
    package.write_lines(HEADS, heads)
    number = json.loads(newest)["last"]
    package.remove(f"data/heads/{number}.sig")
    assert package.findings() == [(HEADS, sentence("no head", package.head_numbers()[-1] + 1))]


def test_an_event_of_format_1_cannot_follow(package: AlteredPackage) -> None:
    """It has no chain, so that no head could count it."""
    lines = package.lines(JOURNAL)
    event = {
        "seq": len(lines) + 1,
        "action": "lift",
        "object": "甲",
        "details": {"name": "inspection", "reason": "x"},
        "refs": {},
        "attachments": [],
        "prev": digest(lines[-1]).removeprefix("sha256:"),
    }
    package.write_lines(JOURNAL, [*lines, encode(event)])
    package.write_lines(BODIES, [*package.lines(BODIES), b"\n"])
    assert package.findings() == [
        (JOURNAL, sentence("older", event["seq"])),
        (HEADS, sentence("no head", event["seq"])),
    ]


@pytest.mark.parametrize(("event_class", "is_found"), [("note", False), ("act", True)])
def test_an_unknown_note_is_no_finding(forged: ForgedJournal, event_class: str, is_found: bool) -> None:
    number = forged.number("hold")
    forged.body("hold")["action"] = "keep-everything"
    forged.events[number - 1]["class"] = event_class
    expected = [(JOURNAL, sentence("unknown", number, "keep-everything"))] if is_found else []
    assert forged.link().findings() == expected


@pytest.mark.parametrize("part", ["event", "body"])
def test_an_unknown_member_makes_an_event_unreadable_unless_it_is_an_extension(
    forged: ForgedJournal, part: str
) -> None:
    number = forged.number("hold")
    members: Any = forged.events[number - 1] if part == "event" else forged.bodies[number - 1]
    members["x-note"] = {"any": "thing"}
    assert forged.link().findings() == []
    members["note"] = members.pop("x-note")
    unread, *others = forged.link().findings()
    assert unread == (JOURNAL, sentence("unread", number))
    # It has its place in the chain all the same.
    assert others == []


@pytest.mark.parametrize(
    ("member", "value"), [("format", 3), ("class", "fact"), ("chain", "elsewhere"), ("chain", 1), ("at", None)]
)
def test_an_event_with_another_kind_of_member_is_unreadable(
    forged: ForgedJournal, member: str, value: object
) -> None:
    number = forged.number("hold")
    forged.events[number - 1][member] = value
    assert (JOURNAL, sentence("unread", number)) in forged.link().findings()


def test_a_format_that_the_verifier_does_not_know_is_a_finding(forged: ForgedJournal) -> None:
    forged.body("format")["details"]["needed_to_read"] = ["redaction"]
    assert forged.link().findings() == [(JOURNAL, sentence("unknown", forged.number("format"), "format 2"))]
