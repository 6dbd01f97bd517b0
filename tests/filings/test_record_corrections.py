"""Records that were wrong: what a correction replaces, what it never touches, and who shows it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from archiver.store.events.corrections import CORRECTABLE_MEMBERS
from tests.support import forged
from tests.support.journal_model import read_journal
from tests.support.site import CHECKOUT, Site

pytestmark = pytest.mark.needs("processes")
NUMBER = "网信算备110108823483901230031号"


@pytest.fixture
def site(site: Site) -> Site:
    """A filing with a record of each kind that can be corrected."""
    site.write("推荐/首次/机制说明", "1")
    site.catch_up()
    site.run("submit", "推荐/首次", "--on", "2026-03-02")
    site.run("filing", "set", "推荐", "--company", "星何", "--product", "甲")
    site.run("notice", "add", "推荐", "--kind", "inquiry", "--received", "2026-03-10", "--due", "2026-03-20")
    return site


def number_of(site: Site, kind: str) -> int:
    """The number of the newest event of this kind."""
    return max(record["seq"] for record in site.json("log", "--records") if record["kind"] == kind)


def correct(site: Site, kind: str, *arguments: str, code: int = 0) -> str:
    """Correct the newest record of this kind; return what was said."""
    done = site.run("correct", str(number_of(site, kind)), *arguments, "--reason", "typing error", code=code)
    return done.stdout + done.stderr


def test_a_corrected_record_is_shown_as_corrected_and_its_event_stays(site: Site) -> None:
    seq = number_of(site, "notice")
    said = correct(site, "notice", "--set", "received=2026-03-09", "--set", "issuer=网信办", "--by", "王")
    assert "received 2026-03-10 -> 2026-03-09, issuer - -> 网信办" in said
    (notice,) = site.json("notice", "list")["notices"]
    assert (notice["received"], notice["issuer"], notice["due"]) == ("2026-03-09", "网信办", "2026-03-20")
    (record,) = (each for each in site.json("log", "--records", "推荐") if each["seq"] == seq)
    assert record["fields"]["received"] == "2026-03-09"
    (correction,) = record["corrections"]
    assert (correction["by"], correction["reason"], correction["void"]) == ("王", "typing error", False)
    assert correction["changes"] == [
        {"field": "issuer", "old": "", "new": "网信办"},
        {"field": "received", "old": "2026-03-10", "new": "2026-03-09"},
    ]
    listed = site.run("log", "--records").stdout
    assert f"Event {correction['seq']} corrects event {seq} (notice): issuer - -> 网信办, received" in listed
    assert "By 王: typing error" in listed
    assert f"corrects event {seq}" in site.run("filing", "show", "推荐").stdout
    assert [each["seq"] for each in site.json("filing", "show", "推荐")["corrected"]] == [seq]
    # Both stay in the filing's own chain, and the archive is whole.
    events = [
        commit for commit in read_journal(site.repository) if commit.event["seq"] in (seq, correction["seq"])
    ]
    assert len({commit.event["chain"] for commit in events}) == 1
    assert events[0].event["body"] != events[1].event["body"]
    assert site.json("verify")["findings"] == []


def test_the_newest_correction_of_a_field_wins_and_the_others_stay(site: Site) -> None:
    """The second one names the first, as a person does who sees only that one."""
    # A value that was right already is no correction.
    correct(site, "filing-set", "--set", "company=星河", "--set", "products=甲")
    first = site.json("filing", "show", "推荐")["corrected"][0]["corrections"][0]["seq"]
    site.run(
        "correct",
        str(first),
        "--set",
        "company=星海",
        "--set",
        "products=甲",
        "--set",
        "products=乙",
        "--reason",
        "r",
    )
    shown = site.json("filing", "show", "推荐")
    assert (shown["company"], shown["products"]) == ("星海", ["甲", "乙"])
    changes = [each["changes"] for each in shown["corrected"][0]["corrections"]]
    assert [change["old"] for change in changes[0] + changes[1]] == ["星何", "星河", ["甲"]]
    # A record of the time before is shown as it was known then.
    before = shown["corrected"][0]["at"]
    assert site.json("filing", "show", "推荐", "--at", before)["company"] == "星何"


def test_a_void_record_never_applied(site: Site) -> None:
    said = correct(site, "notice", "--void")
    assert "is void" in said
    assert site.json("notice", "list")["notices"] == []
    assert not [each for each in site.json("deadlines") if "notice" in each["code"]]
    assert "void" in site.run("log", "--records").stdout
    # The number of a void notice is not given again, and nobody answers it by mistake.
    site.run("notice", "add", "推荐", "--kind", "inquiry", "--received", "2026-03-10")
    assert [each["number"] for each in site.json("notice", "list")["notices"]] == [2]
    answered = site.run("notice", "answer", "1", "--submission", "推荐/首次", code=7)
    assert "Notice 1 is void since event" in answered.stderr
    # It cannot be corrected any more.
    void_seq = min(each["seq"] for each in site.json("log", "--records") if each["kind"] == "notice")
    refused = site.run("correct", str(void_seq), "--set", "issuer=a", "--reason", "r", code=2)
    assert f"Event {void_seq} is void since event" in refused.stderr


def test_a_void_answer_and_a_void_decision_are_open_again(site: Site) -> None:
    site.run("notice", "answer", "1", "--submission", "推荐/首次", "--on", "2026-03-12")
    correct(site, "notice-answer", "--set", "on=2026-03-11")
    assert site.json("notice", "list")["notices"][0]["answered_on"] == "2026-03-11"
    correct(site, "notice-answer", "--void")
    assert site.json("notice", "list")["notices"][0]["answer"] is None
    site.run("notice", "answer", "1", "--submission", "推荐/首次", "--on", "2026-03-12")
    assert site.json("notice", "list")["notices"][0]["answered_on"] == "2026-03-12"


def test_a_submission_is_corrected_and_its_tag_stays(site: Site) -> None:
    before = site.git("for-each-ref").stdout
    explained = site.json("explain", "推荐/首次/v1")
    correct(site, "submit", "--set", "on=2026-03-01", "--set", f"number={NUMBER}")
    (version,) = site.json("log", "推荐/首次")
    (submitted,) = version["submitted"]
    assert (submitted["on"], submitted["number"]) == ("2026-03-01", NUMBER)
    changes = submitted["corrections"][0]["changes"]
    assert {"field": "on", "old": "2026-03-02", "new": "2026-03-01"} in changes
    assert f"corrects event {submitted['seq']}" in site.run("log", "推荐/首次").stdout
    assert site.json("filing", "show", "推荐")["number"] == NUMBER
    assert site.json("explain", "推荐/首次/v1") == explained
    moved = set(site.git("for-each-ref").stdout.splitlines()) ^ set(before.splitlines())
    assert all("refs/heads/journal" in line for line in moved)
    correct(site, "submit", "--void")
    (version,) = site.json("log", "推荐/首次")
    assert version["submitted"][0]["void"] is True
    assert site.json("filing", "show", "推荐")["submitted"] == []
    # Nothing can be deleted earlier, though nothing was submitted.
    assert site.json("explain", "推荐/首次/v1") == explained
    assert site.json("verify")["findings"] == []


def test_no_correction_makes_anything_deletable_earlier(site: Site) -> None:
    """The end of a filing starts a period: a void end leaves the period and makes the filing live again."""
    site.run("filing", "end", "推荐", "--on", "2026-03-30", "--reason", "r")
    ended = site.json("explain", "推荐/首次/v1")
    correct(site, "filing-end", "--set", "on=2020-01-01")
    assert site.json("explain", "推荐/首次/v1") == ended
    assert site.json("filing", "show", "推荐")["ended"] == "2020-01-01"
    correct(site, "filing-end", "--void")
    explained = site.json("explain", "推荐/首次/v1")
    assert explained["keep_until"] == ended["keep_until"]
    assert (ended["open_codes"], explained["open_codes"]) == (["open.present-state"], ["open.filing-live"])
    assert site.json("filing", "show", "推荐")["ended"] is None


@pytest.mark.parametrize(
    ("kind", "arguments", "code", "sentence"),
    [
        ("notice", ("--set", "colour=red"), 2, "has no field colour that can be corrected"),
        ("notice", ("--set", "number=3"), 2, "has no field number that can be corrected"),
        ("notice", ("--set", "kind=letter"), 2, "letter is not valid"),
        ("notice", ("--set", "received=soon"), 2, "soon is not a valid date"),
        ("notice", ("--set", "received="), 2, "is not a valid date"),
        ("notice", ("--set", "received=2999-01-01"), 2, "in the future"),
        ("notice", ("--set", "due=2026-03-01"), 2, "is before 2026-03-10"),
        ("notice", ("--set", "days=many"), 2, "many is not a value for the field days"),
        ("notice", ("--set", "days=400"), 2, "400 is not from 1 to 366 working days"),
        ("notice", ("--set", "issuer=a\x1bb"), 2, "control character"),
        ("notice", ("--set", "issuer=" + "a" * 4001), 2, "more than 4,000 characters"),
        ("notice", ("--set", "due=2026-03-20"), 2, "already has these values"),
        ("notice", ("--set", "issuer"), 2, "issuer is not FIELD=VALUE"),
        ("notice", (), 2, "needs either --set FIELD=VALUE or --void"),
        ("notice", ("--void", "--set", "issuer=a"), 2, "needs either --set FIELD=VALUE or --void"),
        ("filing-set", ("--set", "number=1"), 2, "has no field number"),
        ("filing-set", ("--set", "company=a", "--set", "company=b"), 2, "its value is invalid"),
        ("submit", ("--set", "kind=second"), 2, "second is not valid"),
        ("submit", ("--set", "number=12"), 2, "12"),
        ("submit", ("--set", "version=推荐/首次/v2"), 2, "has no field version"),
    ],
)
def test_what_cannot_be_corrected_is_said_and_nothing_is_recorded(
    site: Site, kind: str, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    before = site.git("rev-parse", "journal").stdout
    assert sentence in correct(site, kind, *arguments, code=code)
    assert site.git("rev-parse", "journal").stdout == before


def test_events_of_other_kinds_and_of_no_kind_are_not_records(site: Site) -> None:
    for seq, code, sentence in (
        (1, 2, "is not a record that can be corrected"),
        (4, 2, "is not a record that can be corrected"),
        (0, 7, "does not exist"),
        (9999, 7, "does not exist"),
        (10**30, 7, "does not exist"),
    ):
        said = site.run("correct", str(seq), "--void", "--reason", "r", code=code).stderr
        assert f"Event {seq} {sentence}" in said
        assert "archiver log --records" in said
    assert "A reason is required" in site.run("correct", "5", "--void", "--reason", " ", code=2).stderr


#: Corrections that no release writes: what is given in place of the details of a good one.
FORGED: dict[str, dict[str, Any]] = {
    "of an event of another kind": {"kind": "submit", "fields": {"on": "2026-01-01"}},
    "of an event that is not there": {"corrects": 900},
    "of a capture": {"kind": "capture", "fields": {"files": 1}},
    "of a member that nobody corrects": {"fields": {"number": 5}},
    "to a value of another kind": {"fields": {"received": "soon"}},
    "of nothing": {"fields": {}},
    "that both replaces and voids": {"void": True},
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_correction_has_no_effect_and_is_a_finding(site: Site, name: str) -> None:
    good = {
        "corrects": number_of(site, "notice"),
        "kind": "notice",
        "fields": {"issuer": "a"},
        "void": False,
        "reason": "r",
        "by": None,
    }
    before = site.json("notice", "list")
    seq = forged.append(
        site,
        forged.in_chain_of(site, "推荐", "correct", **{**good, **FORGED[name]}),
        head=forged.SignedBy(site.archive / "keys"),
    )
    assert [(each["code"], each["object"]) for each in site.findings()] == [("A030", f"event {seq}")]
    assert site.json("notice", "list") == before
    # It may have been of a newer release, and about the end of the filing.
    assert f"event {seq}" in site.run("dispose", "plan", code=4).stderr


def test_a_correction_of_another_filing_is_a_finding(site: Site) -> None:
    site.write("画像/首次/a", "1")
    site.catch_up()
    details = {
        "corrects": number_of(site, "notice"),
        "kind": "notice",
        "fields": {},
        "void": True,
        "reason": "r",
        "by": None,
    }
    seq = forged.append(
        site, forged.in_chain_of(site, "画像", "correct", **details), head=forged.SignedBy(site.archive / "keys")
    )
    assert [(each["code"], each["object"]) for each in site.findings()] == [("A030", f"event {seq}")]
    assert len(site.json("notice", "list")["notices"]) == 1


def test_a_package_shows_both_and_its_verifier_lists_the_corrections(site: Site, tmp_path: Path) -> None:
    correct(site, "notice", "--set", "received=2026-03-09")
    correct(site, "submit", "--void")
    package = tmp_path / "package"
    site.run("audit", "--to", package)
    page = (package / "report.html").read_text("utf-8")
    assert "<del>2026-03-10</del> → 2026-03-09" in page
    assert "typing error" in page
    command = [sys.executable, "-I", "-S", "verify.py", "--lang", "en"]
    done = subprocess.run(command, cwd=package, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    seq = number_of(site, "notice")
    assert f"event {seq} (notice), by event" in done.stdout
    assert 'received "2026-03-10" -> "2026-03-09" ("typing error")' in done.stdout
    (version,) = json.loads((package / "data/versions.json").read_text("utf-8"))
    assert version["submitted"][0]["void"] is True


def test_the_verifier_of_a_package_finds_a_correction_of_no_record(site: Site, tmp_path: Path) -> None:
    details = {"corrects": 2, "kind": "notice", "fields": {}, "void": True, "reason": "r", "by": None}
    seq = forged.append(
        site, forged.in_chain_of(site, "推荐", "correct", **details), head=forged.SignedBy(site.archive / "keys")
    )
    site.run("audit", "--to", tmp_path / "package")
    command = [sys.executable, "-I", "-S", "verify.py", "--lang", "en"]
    done = subprocess.run(command, cwd=tmp_path / "package", capture_output=True, text=True)
    assert done.returncode == 1
    assert f"event {seq} corrects event 2, which is no such record of the same filing" in done.stdout


def test_the_index_made_again_has_the_corrections(site: Site) -> None:
    correct(site, "notice", "--set", "received=2026-03-09")
    before = site.json("log", "--records")
    site.run("reindex")
    assert site.json("log", "--records") == before


def test_the_verifier_and_the_program_correct_the_same_kinds() -> None:
    text = (CHECKOUT / "archiver/audit/resources/verify.py").read_text("utf-8")
    (line,) = (line for line in text.splitlines() if line.startswith("CORRECTABLE_ACTIONS = "))
    assert set(re.findall(r'"([a-z-]+)"', line)) == CORRECTABLE_MEMBERS.keys()
