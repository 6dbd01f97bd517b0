"""The journal's vocabulary: one list of actions, and what becomes of events that are not understood."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archiver.config.loader import load_config
from archiver.errors import UsageError
from archiver.evidence.checkpoint import make_checkpoint
from archiver.filings.register import filings_from_events
from archiver.replica.bundles import write_bundle
from archiver.status.health_report import collect_health_report
from archiver.store.events.event_details import GivenDetails
from archiver.store.events.event_kinds import ACTIONS, Action
from archiver.store.events.retention_events import HoldPlaced
from archiver.store.git.repository import Repository
from archiver.store.writing.drafts import Draft
from archiver.verify.whole_archive import verify_archive
from tests.support import forged
from tests.support.journal_model import canonical, read_journal
from tests.support.site import CHECKOUT, Site


def test_the_package_verifier_knows_the_same_actions() -> None:
    spec = importlib.util.spec_from_file_location("v", CHECKOUT / "archiver/audit/resources/verify.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.ACTIONS == ACTIONS


def test_an_action_of_a_newer_release_is_a_finding_and_nothing_is_disposed_of(site: Site, tmp_path: Path) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    seq = forged.append(site, forged.in_chain_of(site, "f", "keep-everything"))
    # Everything else goes on, also what is written after it.
    site.write("f/s/a", "2")
    assert "keep-everything" in site.catch_up().stderr
    assert site.tags() == ["f/s/v2", "f/s/v1"]
    assert [(f["code"], f["object"]) for f in site.findings()] == [("A035", f"event {seq}")]
    assert "keep-everything" in site.run("status", "--check", code=9).stderr
    status = site.json("status")
    assert [(each["seq"], each["action"]) for each in status["unread_events"]] == [(seq, "keep-everything")]
    assert f"event {seq}" in site.run("explain", "f/s/v1").stdout
    for arguments in (("plan",), ("approve", "D1", "--reason", "r"), ("run", "D1")):
        said = site.run("dispose", *arguments, code=4).stderr
        assert f"event {seq}" in said
        assert "keep-everything" in said
    site.run("audit", "--to", tmp_path / "package")
    command = [sys.executable, "-I", "-S", "verify.py", "--lang", "en"]
    done = subprocess.run(command, cwd=tmp_path / "package", capture_output=True, text=True)
    assert done.returncode == 1
    assert f"event {seq} is of a kind that this verifier does not know: keep-everything" in done.stdout
    assert "keep-everything" in (tmp_path / "package/report.html").read_text("utf-8")


def test_a_release_that_knows_the_action_takes_the_event_in(site: Site) -> None:
    """Its index was made by the one before, which passed the event over."""
    site.write("f/s/a", "1")
    site.catch_up()
    details = {"name": "inspection", "reason": "r", "by": None}
    forged.append(
        site, forged.in_chain_of(site, "f", "hold", **details), head=forged.SignedBy(site.archive / "keys")
    )
    as_older = (
        "import sys\n"
        "from archiver.store.events import event_kinds\n"
        "from archiver.store.index import apply, index_connection\n"
        "index_connection.ACTIONS = apply.ACTIONS = event_kinds.ACTIONS - {'hold'}\n"
        "del apply._APPLY_TO_OWN_TABLES['hold']\n"
        "from archiver.cli.main import main; sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", as_older, "--config", site.config, "hold", "list"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert "inspection" not in done.stdout
    assert "Rebuilding it from the journal" in site.run("log").stderr
    assert "inspection" in site.run("hold", "list").stdout
    site.verified()


# --- events that cannot be read


def deep(levels: int) -> dict[str, Any]:
    details: dict[str, Any] = {}
    for _ in range(levels - 1):
        details = {"a": details}
    return details


def of(action: str, **details: Any) -> Callable[[dict[str, Any]], object]:
    """The change to an act in a chain of its own; other rules than those of chains are at stake."""
    members = {"action": action, "object": "f", "details": details, "class": "act"}
    return lambda event: event.update(members, chain="archive" if action == "policy" else "ab" * 16)


NANOSECONDS = ("boottime_ns", "uptime_ns")
NOTICE = {
    "number": 1,
    "kind": "inquiry",
    "issuer": "",
    "document": "",
    "received": "2026-02-01",
    "due": None,
    "days": None,
    "owner": "",
    "file": None,
    "sha256": None,
}


def data(event_json: bytes) -> dict[str, Any]:
    return {"data": event_json}


def body(body_json: bytes) -> dict[str, Any]:
    return {"body": body_json}


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    return {"change": change}


def seen(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    return {"change_visible": change}


def hidden(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    return {"change_body": change}


#: How an event can be of no use: what is given to ``forged.append``.
STRANGE: dict[str, dict[str, Any]] = {
    "980 deep, as a note was written": changed(lambda event: event.update(details=forged.DEEP)),
    "deeper than any parser goes": data(b"[" * 100_000 + b"]" * 100_000),
    "not a number": changed(lambda event: event["details"].update(x=float("nan"))),
    "infinite": changed(lambda event: event["details"].update(x=float("inf"))),
    "infinite by its exponent": data(b'{"x":1e999}'),
    "half a character": changed(lambda event: event["details"].update(x="\ud800")),
    "empty": data(b""),
    "no JSON": data(b"event 4\n"),
    "not UTF-8": data(b'{"seq":"\xff"}\n'),
    "another document": data(b"{}\n"),
    "a list": data(b"[]"),
    "several lines": data(b'{\n"seq":\n4}\n\n'),
    "an empty body": body(b""),
    "a body that is no JSON": body(b"body\n"),
    "a body that is not UTF-8": body(b'{"action":"\xff"}\n'),
    "a body deeper than any parser goes": body(b"[" * 100_000 + b"]" * 100_000),
    "another body": {"other_body": b"{}\n"},
    "the body of another event": {"other_body": canonical({"action": "lift", "object": "f"})},
    "a body that is not canonical": body(b'{"action": "tick"}'),
    "a body with a member of another release": hidden(lambda event: event.update(until="2030")),
    "a body without its salt": hidden(lambda event: event.pop("salt")),
    "a detail of another release": hidden(lambda event: event["details"].update(until="2030")),
    "a visible member of another release": seen(lambda event: event.update(until="2030")),
    "a visible member of another release that comes first": seen(lambda event: event.update(about="2030")),
    "no class": seen(lambda event: event.pop("class")),
    "another class": seen(lambda event: event.update({"class": "decree"})),
    "the class of another kind of event": seen(lambda event: event.update({"class": "act"})),
    "the chain of another kind of event": changed(lambda event: event.update(chain="archive")),
    "no chain": seen(lambda event: event.pop("chain")),
    "a chain that is none": changed(lambda event: event.update(chain="f")),
    "a number in the chain that is none": seen(lambda event: event.update(n="1")),
    "a number in the chain beyond SQLite": seen(lambda event: event.update(n=1 << 63)),
    "no predecessor in the chain": seen(lambda event: event.update(chain_prev=None)),
    "a digest of an unknown algorithm": seen(lambda event: event.update(body="sha3:" + "0" * 64)),
    "a format that is none": seen(lambda event: event.update(format="two")),
    "nanoseconds that are a number": seen(lambda event: event["clock"].update(uptime_ns=5)),
    "no details": changed(lambda event: event.pop("details")),
    "details of another kind": changed(lambda event: event.update(details=[])),
    "a time that is none": changed(lambda event: event.update(at="soon")),
    "a clock beyond the calendar": changed(
        lambda event: event["clock"].update(time="9999-12-31T23:59:59.000000Z")
    ),
    "a clock without its evidence": changed(lambda event: event["clock"].pop("boottime_ns")),
    "an uptime that no computer adds": changed(lambda event: event["clock"].update(uptime_ns=str(10**40))),
    "nobody": changed(lambda event: event.update(actor={})),
    "a number that SQLite has no room for": changed(lambda event: event.update(seq=(1 << 63) - 1)),
    "a ref that is two commands": changed(
        lambda event: event.update(refs={"refs/heads/a\0b": f"sha1:{'0' * 40}"})
    ),
    "a ref to nothing known": changed(lambda event: event.update(refs={"refs/heads/a": "0" * 40})),
    "a hold without a name": changed(of("hold", reason="r", by=None)),
    "a notice without a day": changed(of("notice", **{**NOTICE, "received": None})),
    "a notice with a number beyond SQLite": changed(of("notice", **{**NOTICE, "number": 10**30})),
    "a notice due after more days than can be counted": changed(of("notice", **{**NOTICE, "days": 10**9})),
    "a sheet with a day that is none": changed(of("filing-set", fields={"issued_on": "soon"}, on="2026-01-01")),
    "a promise in no time zone": changed(of("policy", retention_years=3, timezone="../localtime")),
    "a promise of words": changed(of("policy", retention_years="three")),
    "a submission of an unknown version": changed(
        of(
            "submit",
            version="f/s/v9",
            tag="f/s/submitted",
            on="2026-01-01",
            kind="first",
            number=None,
            by=None,
            receipt=None,
        )
    ),
    "a version that changes nothing that is known": changed(of("capture", filing="f", submission="s", version=9)),
    "a plan without its list": changed(of("dispose-plan", plan_sha256="0", cooling_off_days=7, of_filing="f")),
    "a plan of no filing": {
        "change": of("dispose-plan", plan_sha256="0", cooling_off_days=7),
        "files": {"plan.json": b'{"objects":[],"versions":[]}'},
    },
    "a replica nowhere": changed(
        lambda event: event.update(
            {"action": "replica-init", "class": "act", "details": {"url": "ftp://x", "lock": True}}
        )
    ),
    "a reminder of nothing": changed(of("reminder", to="owner", channel=0, items=[{}], of_filing="f")),
    "a format without a number": changed(
        lambda event: event.update({"action": "format", "class": "act", "chain": "archive"})
    ),
}


@pytest.mark.parametrize("name", STRANGE)
def test_an_event_that_cannot_be_read_keeps_its_place_and_stops_nothing(site: Site, name: str) -> None:
    seq = forged.append(site, **STRANGE[name])
    archive = site.open()
    try:
        before = archive.compliance_time()
        with archive.writing(5) as writer:
            writer.append(Draft("f", HoldPlaced(name="n", reason="r", reported_by=None)))
        assert archive.compliance_time() >= before
        assert [(each.seq, each.action) for each in archive.index.unread_events()] == [(seq, "")]
        assert [hold.name for hold in archive.index.holds()] == ["n"]
        make_checkpoint(archive, 5)
        filings_from_events(archive.index.life_events())
        config = load_config(site.config)
        assert any(
            f"event {seq} cannot be read" in str(each) for each in collect_health_report(archive, config).problems
        )
        found = {(each.code, each.object) for each in verify_archive(archive.root, archive.repository).findings}
        # Chains, clock and heads after it are whole.  A seal of nothing is found as well.
        expected = {"A030", "A043", "A042"} if "other_body" not in STRANGE[name] else {"A037"}
        if name == "no predecessor in the chain":
            found.remove(("A036", f"event {seq}"))
        assert {code for code, _ in found} <= expected, found
        assert any(where == f"event {seq}" for code, where in found if code in ("A030", "A037")) or (
            name.startswith("a submission")
        )
        archive.reindex()
        assert [each.seq for each in archive.index.unread_events()] == [seq]
    finally:
        archive.close()


@pytest.mark.parametrize("zone", ["Nowhere/City", "America"])
def test_a_time_zone_that_this_system_lacks_makes_no_event_unreadable(site: Site, zone: str) -> None:
    """The first event names one, and with it unread, no signature could be checked on such a system."""
    promise = of("policy", retention_years=3, timezone=zone)
    forged.append(site, promise, head=forged.SignedBy(site.archive / "keys"))
    site.verified()
    assert zone in [promise["timezone"] for promise in site.json("retention", "show")["accepted"]]
    archive = site.open()
    try:
        assert not archive.index.unread_events()
    finally:
        archive.close()
    site.write("f/s/a", "1")
    site.catch_up()
    site.verified()


def test_an_event_of_format_1_behind_those_of_format_2_has_no_effect(site: Site) -> None:
    """No chain and no head would count it, so that anybody could append it unseen."""
    site.write("f/s/a", "1")
    site.catch_up()
    site.run("hold", "place", "inspection", "f", "--reason", "r")
    newest = read_journal(site.repository)[-1]
    event = {
        "seq": newest.event["seq"] + 1,
        "prev": newest.digest.removeprefix("sha256:"),
        "at": newest.event["at"],
        "clock": newest.event["clock"] | {name: int(newest.event["clock"][name]) for name in NANOSECONDS},
        "actor": newest.body["actor"],
        "action": "lift",
        "object": "f",
        "details": {"name": "inspection", "reason": "r", "by": None},
        "refs": {},
        "attachments": [],
    }
    seq = forged.append(site, data=canonical(event))
    found = [(finding["code"], finding["object"]) for finding in site.findings()]
    assert found == [("A030", f"event {seq}"), ("A038", f"event {seq}")]
    assert f"event {seq}" in site.run("dispose", "plan", code=4).stderr
    assert [hold["name"] for hold in site.json("hold", "list")] == ["inspection"]
    site.write("f/s/a", "2")
    site.catch_up()
    assert site.tags() == ["f/s/v2", "f/s/v1"]
    assert [(finding["code"], finding["object"]) for finding in site.findings()] == [("A030", f"event {seq}")]
    assert site.json("status")["format"] == 2


def test_with_an_unreadable_event_everything_but_disposals_goes_on(site: Site, tmp_path: Path) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    seq = forged.append(site, lambda event: event.update(details=forged.DEEP))
    # Two in a row, and the second one is not even a line.
    forged.append(site, data=b"{\n}\n\n")
    site.write("f/s/a", "2")
    assert f"event {seq}, {seq + 1} cannot be read" in site.catch_up().stderr
    assert site.tags() == ["f/s/v2", "f/s/v1"]
    site.run("show", "f/s/v2")
    site.run("submit", "f/s", "--on", "2026-01-01")
    site.run("restore", "f/s/v2", "--to", tmp_path / "back")
    assert f"event {seq}" in site.run("explain", "f/s/v1").stdout
    assert f"event {seq}" in site.run("status", "--check", code=9).stderr
    for arguments in (("plan",), ("approve", "D1", "--reason", "r"), ("run", "D1")):
        assert f"event {seq}, {seq + 1}" in site.run("dispose", *arguments, code=4).stderr
    site.run("audit", "--to", tmp_path / "package")
    assert [(f["code"], f["object"]) for f in site.findings()] == [
        ("A030", f"event {seq}"),
        ("A030", f"event {seq + 1}"),
    ]
    command = [sys.executable, "-I", "-S", "verify.py", "--lang", "en"]
    done = subprocess.run(command, cwd=tmp_path / "package", capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"data/journal.jsonl: event {seq} cannot be read; everything else was checked",
        f"data/journal.jsonl: event {seq + 1} cannot be read; everything else was checked",
        "Findings: 2. Change nothing; save this output.",
    ]


def test_after_a_version_whose_event_cannot_be_read_the_next_one_is_whole(site: Site, tmp_path: Path) -> None:
    """Its refs are there and nobody knows what for; the files that it took in are read again."""
    for number in (1, 2):
        site.write("f/s/a", f"content {number}")
        site.write(f"f/s/new {number}", "new")
        site.catch_up()
    site.write("g/s/only", "one")
    site.catch_up()
    _spoil(site, "f/s/v2", "g/s/v1")
    site.forget_databases()
    site.run("reindex")
    site.catch_up()
    assert sorted(site.tags()) == ["f/s/v1", "f/s/v3", "g/s/v2"]
    for tag, names in (("f/s/v3", ["a", "new 1", "new 2"]), ("g/s/v2", ["only"])):
        site.run("restore", tag, "--to", tmp_path / tag)
        assert sorted(path.name for path in (tmp_path / tag).iterdir()) == names
        tree = site.git("ls-tree", "-r", "--name-only", f"refs/tags/{tag}").stdout.split("\n")
        assert sorted(tree[:-1]) == [".gitattributes", *(f"materials/{name}" for name in names)]
    assert (tmp_path / "f/s/v3/a").read_text() == "content 2"
    site.write("f/s/a", "content 4")
    site.catch_up()
    assert "f/s/v4" in site.tags()
    _check_bundles(site, tmp_path)
    site.run("submit", "f/s", "--on", "2026-01-01")


def _check_bundles(site: Site, tmp_path: Path) -> None:
    """What goes to the bucket is whole: nobody can ask it for the version that is in no event."""
    commits = site.git("rev-list", "--reverse", "journal").stdout.split()
    repository = Repository.create_without_hooks(tmp_path / "back.git")
    archive = site.open()
    try:
        refs: dict[str, str] = {}
        for since, until in ((None, commits[2]), (commits[2], commits[-1])):
            with write_bundle(archive, since, until) as (_, path, _):
                refs |= repository.add_bundle(path)
        repository.set_refs(refs)
        assert repository.resolve("refs/tags/f/s/v4") == archive.repository.resolve("refs/tags/f/s/v4")
        assert repository.fsck() == []
    finally:
        archive.close()
        repository.close()


def _spoil(site: Site, *tags: str) -> None:
    """Put other bytes in the place of the events of these versions; the others stay, and follow each other."""

    def alter(_number: int, files: dict[str, bytes]) -> dict[str, bytes]:
        return {"event.json": b'{"seq":0}\n'} if json.loads(files["body.json"])["object"] in tags else files

    forged.rewrite(site, alter, is_relinked=True, key=site.archive / "keys")


# --- what is refused before it is written


@pytest.mark.parametrize(
    ("details", "field"),
    [
        (deep(5), "details.a.a.a"),
        ({"a": [[[[]]]]}, "details.a"),
        (deep(2000), "details.a"),
        ({"x": float("nan")}, "details.x"),
        ({"x": [1.0, float("-inf")]}, "details.x.1"),
        ({"x": 1 << 63}, "details.x"),
        ({"x": -(1 << 63) - 1}, "details.x"),
        ({"x": 10**5000}, "details.x"),
        ({"x": "a\0b"}, "details.x"),
        ({"a\0b": 1}, "details"),
        ({"x": "\ud800"}, "details.x"),
        ({"\udcff": 1}, "details"),
        ({"x": {True: 1}}, "details.x"),
        ({None: 1}, "details"),
        ({"x": b"bytes"}, "details.x"),
        ({"x": {1, 2}}, "details.x"),
    ],
)
def test_what_could_not_be_read_back_is_refused_before_it_is_written(
    site: Site, details: dict[Any, Any], field: str
) -> None:
    before = site.git("rev-parse", "journal").stdout
    archive = site.open()
    try:
        with archive.writing(5) as writer:
            with pytest.raises(UsageError, match=rf"^{re.escape(field)}[ .]"):
                writer.append(Draft("f/s/v1", GivenDetails(Action.RESTORE, details)))
            for about in ("a\nb", "a\0b", "\ud800"):
                with pytest.raises(UsageError, match=r"^object "):
                    writer.append(Draft(about, GivenDetails(Action.RESTORE, {})))
            with pytest.raises(
                UsageError, match="The journal event hold cannot be recorded because it would not be readable"
            ):
                writer.append(Draft("f", GivenDetails(Action.HOLD, {})))
        assert site.git("rev-parse", "journal").stdout == before
        assert not list((site.repository / "objects/pack").glob("tmp_*"))
        with archive.writing(5) as writer:
            details = {"x-deep": deep(3), "x-n": -(1 << 63), "x-名": "a\nb\t\x07"}
            event = writer.append(Draft("f/s/v1", GivenDetails(Action.RESTORE, details)))
        assert archive.journal.newest_event() == event
    finally:
        archive.close()
