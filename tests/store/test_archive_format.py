"""What this release does with archives of other formats: it reads what it can, and writes nothing it does not know."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from archiver.cli.main import cli
from archiver.errors import ConfigError
from archiver.store.archive_format import check_readable, check_writable, find_number
from archiver.store.events.evidence_events import ClockTicked
from archiver.store.index.queries import StatedFormat
from archiver.store.writing.drafts import Draft
from tests.support import forged
from tests.support.journal_model import read_journal
from tests.support.site import Site
from tests.test_golden import unpacked

PLACE = Path("/srv/archive")


def stated(number: int = 2, writing: tuple[str, ...] = (), reading: tuple[str, ...] = ()) -> StatedFormat:
    return StatedFormat(number, writing, reading, "9.9.9")


# --- the rules


@pytest.mark.parametrize(
    ("newest", "said", "is_read", "is_written"),
    [
        (0, None, True, True),
        (1, None, True, False),
        (2, stated(), True, True),
        # An event of an earlier format behind the statement does not take it back.
        (1, stated(), True, True),
        (3, None, False, False),
        (3, stated(), False, False),
        (2, stated(3), False, False),
        (2, stated(writing=("compressed bodies",)), True, False),
        (2, stated(reading=("another clock",)), False, False),
        (2, stated(writing=("a",), reading=("b",)), False, False),
    ],
)
def test_what_is_read_and_what_is_written(
    newest: int, said: StatedFormat | None, is_read: bool, is_written: bool
) -> None:
    for check, passes in ((check_readable, is_read), (check_writable, is_written)):
        if passes:
            check(PLACE, newest, said)
        else:
            with pytest.raises(ConfigError, match="Nothing was changed"):
                check(PLACE, newest, said)


def test_a_refusal_names_the_release_that_is_needed() -> None:
    with pytest.raises(ConfigError, match=r"format 2.*Install archiver 9\.9\.9 or later"):
        check_writable(PLACE, 2, stated(writing=("a",)))
    with pytest.raises(ConfigError, match=r"format 3.*Install archiver 9\.9\.9 or later"):
        check_readable(PLACE, 2, stated(3))
    with pytest.raises(ConfigError, match=r"format 3.*Install archiver \? or later"):
        check_readable(PLACE, 3, stated())
    assert find_number(0, None) == 0


# --- every command on an archive of format 1

#: Every command that only reads, with words for the archive of format 1.
READING = {
    "status": "",
    "log": "",
    "show": "推荐/首次/v1",
    "diff": "推荐/首次/v1 推荐/首次/v2",
    "explain": "推荐/首次/v1",
    "filing list": "",
    "filing show": "推荐",
    "notice list": "",
    "change list": "",
    "deadlines": "",
    "notice-board": "推荐",
    "hold list": "",
    "dispose list": "",
    "dispose certificate": "D77 --to {out}/certificate",
    "restore": "推荐/首次/v1 --to {out}/restored",
    "verify": "",
    "key list": "",
    "audit": "--to {out}/package",
    "config check": "",
    "config show": "",
    "retention show": "",
}
#: Every command that writes to the archive, and "check", which says whether "submit" would.
WRITING = {
    "run": "--once --settle 0",
    "check": "推荐/变更",
    "submit": "推荐/变更 --on 2025-06-20",
    "submission attach": "推荐/变更/submitted 模型%20说明.txt --role receipt",
    "correct": "23 --void --reason x",
    "restrict": "推荐/首次/v1:共用.txt --reason x",
    "unrestrict": "推荐/首次/v1:共用.txt --reason x",
    "retention accept": "",
    "filing end": "推荐 --on 2025-06-22 --reason x",
    "filing set": "推荐 --responsible 李娜 --on 2025-06-22",
    "notice add": "推荐 --kind inspection --received 2025-06-21 --due 2025-07-01",
    "notice answer": "2 --submission Search%20engine/first%20filing --on 2022-09-29",
    "change decide": "3 --material yes --reason x",
    "remind": "",
    "watch accept": "--reason x",
    "display check": "推荐 --page {out}/page.html",
    "hold place": "调查 推荐 --reason x",
    "hold lift": "'诉讼 2023' --reason x",
    "dispose plan": "试验/首次/v1",
    "dispose approve": "D77 --reason x",
    "dispose run": "D77",
    "checkpoint": "",
    "drill": "",
    "maintain": "",
    "protect": "",
    "key backup": "--to {out}/copied",
    "key rotate": "--reason x",
    "replica init": "--url s3://bucket/prefix --endpoint http://127.0.0.1:9",
}
#: These make or repair an archive, or have nothing to do with one; other tests are about them.
OTHER = {"init", "upgrade", "reindex", "key replace", "replica restore", "replica sync", "service install", "demo"}


def commands(command: click.Command = cli, path: tuple[str, ...] = ()) -> set[str]:
    if not isinstance(command, click.Group):
        return {" ".join(path)}
    context = click.Context(command)
    parts = ((command.get_command(context, name), name) for name in command.list_commands(context))
    return set().union(*(commands(part, (*path, name)) for part, name in parts if part is not None))


def test_no_command_is_left_out() -> None:
    assert commands() == READING.keys() | WRITING.keys() | OTHER


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The archive of format 1, whose databases and settings are of this release already."""
    site = unpacked(tmp_path_factory.mktemp("older") / "golden")
    site.run("reindex")
    (site.root / "page.html").write_text("<p>x</p>")
    return site


def contents(site: Site) -> dict[str, bytes]:
    """Every file of the archive but locks and databases."""
    return {
        os.fspath(path.relative_to(site.archive)): path.read_bytes()
        for path in sorted(site.archive.rglob("*"))
        if path.is_file() and "lock" not in path.name and ".db" not in path.name
    }


def words_of(site: Site, name: str, words: str) -> list[str]:
    return [*name.split(" "), *shlex.split(words.format(out=site.root))]


@pytest.mark.needs("processes")
@pytest.mark.parametrize("name", WRITING)
def test_what_writes_is_refused_in_an_archive_of_format_1_before_anything_is_done(older: Site, name: str) -> None:
    before, outside = contents(older), set(older.root.rglob("*")) - set(older.archive.rglob("*"))
    done = older.run(*words_of(older, name, WRITING[name]), code=3)
    assert "archiver upgrade" in done.stderr
    assert contents(older) == before
    assert set(older.root.rglob("*")) - set(older.archive.rglob("*")) == outside, (
        "nothing was done elsewhere either"
    )


@pytest.mark.needs("processes")
@pytest.mark.parametrize("name", READING)
def test_what_reads_works_on_an_archive_of_format_1(older: Site, name: str) -> None:
    before = contents(older)
    older.run(*words_of(older, name, READING[name]))
    changed = {path for path in contents(older).items() ^ before.items() if not path[0].startswith("documents/")}
    assert changed == set()


# --- archives of a newer release


@pytest.fixture
def one(site: Site) -> Site:
    site.write("f/s/a", "1")
    site.catch_up()
    return site


def state_format(site: Site, number: int = 2, **features: list[str]) -> None:
    """Let the archive state its format, in an event that its key signs."""
    details = {"number": number, "optional": [], "needed_to_write": [], "needed_to_read": [], "release": "9.9.9"}
    details |= features
    members = {"action": "format", "object": "archive", "chain": "archive", "class": "act", "details": details}
    forged.append(site, lambda event: event.update(members), head=forged.SignedBy(site.archive / "keys"))


#: On an archive with one version.
READ = (("log",), ("show", "f/s/v1"), ("status",), ("explain", "f/s/v1"), ("verify",), ("hold", "list"))
WRITE = (
    ("run", "--once", "--settle", "0"),
    ("submit", "f/s", "--on", "2026-01-05"),
    ("hold", "place", "n", "f", "--reason", "r"),
    ("checkpoint",),
    ("maintain",),
    ("dispose", "plan"),
    ("key", "rotate", "--reason", "r"),
    ("key", "replace", "--reason", "r"),
    ("upgrade",),
)


def check_nothing_is_written(site: Site) -> None:
    before = contents(site)
    site.write("f/s/a", "2")
    for command in WRITE:
        done = site.run(*command, code=3)
        assert "newer release" in done.stderr
        assert "9.9.9" in done.stderr
        assert "Nothing was changed" in done.stderr
    assert contents(site) == before


def test_features_that_may_be_ignored_are(one: Site) -> None:
    state_format(one, optional=["thumbnails"])
    one.write("f/s/a", "2")
    one.catch_up()
    assert one.tags() == ["f/s/v2", "f/s/v1"]
    one.check_journal()
    one.verified()


def test_without_a_feature_that_writing_needs_the_archive_is_only_read(one: Site) -> None:
    state_format(one, needed_to_write=["compressed bodies"])
    for command in READ:
        one.run(*command)
    one.run("restore", "f/s/v1", "--to", one.root / "back")
    assert (one.root / "back/a").read_text() == "1"
    check_nothing_is_written(one)


def test_without_a_feature_that_reading_needs_the_archive_is_not_interpreted(one: Site) -> None:
    state_format(one, needed_to_read=["another clock"])
    check_nothing_is_written(one)
    for command in READ:
        if command != ("verify",):
            assert "9.9.9" in one.run(*command, code=3).stderr


def test_a_feature_that_this_release_gets_later_is_no_obstacle(one: Site) -> None:
    """The newest statement counts: a release may state its format again."""
    state_format(one, needed_to_write=["compressed bodies"])
    state_format(one)
    one.write("f/s/a", "2")
    one.catch_up()
    assert one.tags() == ["f/s/v2", "f/s/v1"]
    one.verified()


def test_an_event_of_a_newer_format_stops_everything_that_relies_on_it(one: Site) -> None:
    forged.append(one, change_visible=lambda event: event.update(format=3))
    before = contents(one)
    for command in (*WRITE, *READ):
        if command != ("verify",):
            done = one.run(*command, code=3)
            assert "newer release" in done.stderr
            assert "format 3" in done.stderr
    assert contents(one) == before
    # What is proven is still checked: the event itself is what nobody here can read.
    assert {finding["code"] for finding in one.findings()} == {"A030", "A038"}


@pytest.mark.parametrize(
    "change",
    [
        lambda site: state_format(site, needed_to_write=["compressed bodies"]),
        lambda site: forged.append(site, change_visible=lambda event: event.update(format=3)),
    ],
    ids=["feature", "number"],
)
def test_a_writer_that_is_open_already_notices(one: Site, change: Callable[[Site], Any]) -> None:
    archive = one.open()
    try:
        with archive.writing(5) as writer:
            writer.append(Draft("clock", ClockTicked()))
        change(one)
        tip = one.git("rev-parse", "journal").stdout
        with pytest.raises(ConfigError, match="newer release"), archive.writing(5) as writer:
            writer.append(Draft("clock", ClockTicked()))
        assert one.git("rev-parse", "journal").stdout == tip
    finally:
        archive.close()


# --- what a newer release may add without another number


def signed(site: Site) -> forged.SignedBy:
    return forged.SignedBy(site.archive / "keys")


def check_goes_on(site: Site) -> None:
    """Everything goes on: captures, submissions, disposals, the package."""
    site.write("f/s/a", "2")
    site.catch_up()
    site.run("submit", "f/s", "--on", "2026-01-05")
    assert "is not understood" not in site.run("dispose", "plan", code=4).stderr
    assert not [each for each in site.json("status")["problems"] if "event" in each]
    site.check_journal()
    site.verified()
    site.run("audit", "--to", site.root / "package")
    command = [sys.executable, "-I", "-S", "verify.py", "--lang", "en"]
    done = subprocess.run(command, cwd=site.root / "package", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("is_of_filing", [True, False])
def test_a_note_of_an_unknown_kind_is_shown_and_stops_nothing(one: Site, is_of_filing: bool) -> None:
    """It has no effect by its class, so that it cannot be a hold."""
    change = forged.in_chain_of(one, "f", "weather", sky="clear") if is_of_filing else None

    def note(event: dict[str, Any]) -> None:
        if change is not None:
            change(event)
        event.update({"action": "weather", "details": {"sky": "clear"}, "class": "note"})

    forged.append(one, note, head=signed(one))
    check_goes_on(one)
    assert "weather" in (one.root / "package/report.html").read_text("utf-8")


def test_a_record_of_an_unknown_kind_is_shown_and_stops_nothing(one: Site) -> None:
    chain = next(commit.event["chain"] for commit in read_journal(one.repository) if commit.event["n"] == 1
                 and commit.event["chain"] not in ("archive", "house"))  # fmt: skip
    details = {
        "kind": "lineage",
        "version": 7,
        "fields": {"mother": "g"},
        "links": [{"event": 1}],
        "of_filing": "f",
    }
    members = {"action": "record", "object": "anything at all", "details": details, "chain": chain}
    forged.append(one, lambda event: event.update(members), head=signed(one))
    check_goes_on(one)
    assert "lineage" in (one.root / "package/report.html").read_text("utf-8")


@pytest.mark.parametrize("place", ["change_visible", "change_body", "change"])
def test_a_member_for_others_is_ignored(one: Site, place: str) -> None:
    """In either file, in the details and in the head."""

    def add(members: dict[str, Any]) -> None:
        target = members["details"] if place == "change" else members
        target["x-note"] = {"any": ["thing"]}

    head = forged.SignedBy(one.archive / "keys", lambda members: members.update({"x-note": 1}))
    forged.append(one, **{place: add}, head=head)  # type: ignore[arg-type]
    check_goes_on(one)


@pytest.mark.parametrize("place", ["change_visible", "change_body", "change"])
def test_an_unknown_member_without_that_mark_is_a_finding_and_suspends_disposals(one: Site, place: str) -> None:
    """It may change what the others mean; the event keeps its place, and everything else goes on."""

    def add(members: dict[str, Any]) -> None:
        (members["details"] if place == "change" else members)["until"] = "2030-01-01"

    seq = forged.append(one, **{place: add}, head=signed(one))  # type: ignore[arg-type]
    assert [(finding["code"], finding["object"]) for finding in one.findings()] == [("A030", f"event {seq}")]
    one.write("f/s/a", "2")
    one.catch_up()
    one.run("submit", "f/s", "--on", "2026-01-05")
    one.run("hold", "place", "n", "f", "--reason", "r")
    assert one.tags() == ["f/s/v2", "f/s/v1"]
    for command in (("plan",), ("approve", "D1", "--reason", "r"), ("run", "D1")):
        assert f"event {seq}" in one.run("dispose", *command, code=4).stderr
    one.check_journal()
    assert [(finding["code"], finding["object"]) for finding in one.findings()] == [("A030", f"event {seq}")]


def test_an_unknown_member_of_a_head_is_a_finding_and_the_next_head_goes_on(one: Site) -> None:
    head = forged.SignedBy(one.archive / "keys", lambda members: members.update(until="2030-01-01"))
    seq = forged.append(one, head=head)
    assert [(finding["code"], finding["object"]) for finding in one.findings()] == [("A039", f"event {seq}")]
    one.write("f/s/a", "2")
    one.catch_up()
    assert [(finding["code"], finding["object"]) for finding in one.findings()] == [("A039", f"event {seq}")]
