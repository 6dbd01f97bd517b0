"""docs/format.md is enough to read an archive without the program, in both formats."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from archiver.store import names
from archiver.store.events import chains, event_files, signed_head
from archiver.store.events.archive_events import FormatStated
from archiver.store.events.canonical_json import encode_canonical
from archiver.store.events.chain_rules import CHAIN_RULES
from archiver.store.git import hooks
from archiver.verify.witness import parse_witness
from tests.support import journal_page
from tests.support.site import CHECKOUT, UNGUARDED, Site, tree
from tests.test_golden import FACTS, unpacked

PAGE = (CHECKOUT / "docs/format.md").read_text("utf-8")


def read_by_the_page(site: Site, tag: str, target: Path, complaint: str = "") -> list[str]:
    """Run the script of the page; return the events that it printed, as number, action and object.

    ``complaint`` is all that it writes to its error output.
    """
    script = target.with_suffix(".py")
    script.write_text(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0], "utf-8")
    done = subprocess.run(
        [sys.executable, "-I", script, site.repository, tag, target], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == complaint
    events = (line.split(" ", 2) for line in done.stdout.splitlines())
    return [f"{number} {act}" for number, _, act in events]


def digests(folder: Path) -> dict[str, str]:
    """Return each file's SHA-256 by its name as the program shows it."""
    return {
        names.name_as_text(path): hashlib.sha256(content).hexdigest()
        for path, (content, _) in tree(folder).items()
        if content is not None
    }


# Names that trees encode, names that refs encode byte for byte, and a version that follows two others.
@pytest.mark.needs("processes")
@pytest.mark.parametrize(
    "tag", ["Search%20engine/first%20filing/v1", "%B1%B8%B0%B8/%CA%D7%B4%CE/v1", "推荐/首次/v3"]
)
def test_its_script_reads_an_archive_of_an_earlier_release(tmp_path: Path, tag: str) -> None:
    read = tmp_path / "read"
    assert read_by_the_page(unpacked(tmp_path / "golden"), tag, read) == FACTS["events"]
    said = {item["path"]: item["sha256"] for item in FACTS["show"][tag]["materials"]}
    assert digests(read / "materials") == said


@pytest.mark.needs("ssh-keygen")
def test_its_script_reads_an_upgraded_archive(tmp_path: Path) -> None:
    site = unpacked(tmp_path / "golden")
    site.run("upgrade")
    events = read_by_the_page(site, "推荐/首次/v3", tmp_path / "read")
    assert events[: len(FACTS["events"])] == FACTS["events"]
    assert events[len(FACTS["events"])].endswith(" format archive")
    said = {item["path"]: item["sha256"] for item in FACTS["show"]["推荐/首次/v3"]["materials"]}
    assert digests(tmp_path / "read/materials") == said


@pytest.mark.needs("ssh-keygen")
def test_its_script_knows_which_key_signs(site: Site, tmp_path: Path) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    for change in ("rotate", "replace"):
        site.run("key", change, "--reason", "for the test")
    read_by_the_page(site, "f/s/v1", tmp_path / "read")


@pytest.mark.needs("ssh-keygen")
def test_its_script_says_from_where_on_nothing_is_signed(site: Site, tmp_path: Path) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    (site.archive / "keys/signing_key").rename(tmp_path / "key")
    site.write("f/s/a", "2")
    site.catch_up()
    number = len(site.git("rev-list", "--first-parent", "journal").stdout.split())
    read_by_the_page(site, "f/s/v2", tmp_path / "read", f"Without a signature: from event {number}")
    # The next head covers what came before it.
    (tmp_path / "key").rename(site.archive / "keys/signing_key")
    site.run("checkpoint")
    read_by_the_page(site, "f/s/v2", tmp_path / "read")


def replace_file(site: Site, name: str, data: bytes) -> None:
    """Put ``data`` in the place of a file of the newest event, past the guard."""
    listing = site.git("ls-tree", "-z", "journal").stdout.split("\0")[:-1]
    blob = site.root / "altered"
    blob.write_bytes(data)
    oid = site.git("hash-object", "-w", "--no-filters", str(blob)).stdout.strip()
    lines = [f"100644 blob {oid}\t{name}" if line.endswith(f"\t{name}") else line for line in listing]
    assert lines != listing
    made = subprocess.run(
        ["git", f"--git-dir={site.repository}", "mktree", "-z"],
        input="\0".join([*lines, ""]),
        capture_output=True,
        text=True,
        check=True,
    )
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    parent = ["-p", site.git("rev-parse", "journal~1").stdout.strip()]
    commit = site.git(*identity, "commit-tree", *parent, "-m", "x", made.stdout.strip()).stdout.strip()
    site.git(*UNGUARDED, "update-ref", "refs/heads/journal", commit)


def read_json(site: Site, name: str) -> dict[str, Any]:
    """Return a document in the newest commit of the journal."""
    document: dict[str, Any] = json.loads(site.git("show", f"journal:{name}").stdout)
    return document


@pytest.mark.needs("ssh-keygen")
@pytest.mark.parametrize(
    ("name", "members", "complaint"),
    [
        ("body.json", {"object": "f/s/v9"}, "sha256:"),
        ("event.json", {"n": 2}, "breaks its chain"),
        ("event.json", {"seq": 2}, "breaks the chain"),
        ("head.json", {"chains": 9}, "is of other events"),
        ("head.json", {"first": 1}, "is of other events"),
        # What the events do not show is under the signature.
        ("head.json", {"abandoned": ["sha256:" + "0" * 64]}, "a signature is not valid"),
    ],
)
def test_its_script_names_what_was_altered(
    site: Site, tmp_path: Path, name: str, members: dict[str, Any], complaint: str
) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    replace_file(site, name, encode_canonical({**read_json(site, name), **members}))
    with pytest.raises(AssertionError, match=complaint):
        read_by_the_page(site, "f/s/v1", tmp_path / "read")


@pytest.mark.needs("ssh-keygen")
def test_its_script_reads_an_archive_of_today(site: Site, tmp_path: Path) -> None:
    site.write("备案/首次/.git/config", "a name that is git's own")
    site.write("备案/首次/100%25", "looks encoded")
    site.catch_up()
    read_by_the_page(site, "备案/首次/v1", tmp_path / "read")
    assert digests(tmp_path / "read/materials") == digests(site.watch / "备案/首次")


def test_its_script_names_a_ref_that_was_moved(site: Site, tmp_path: Path) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    # A ref that is not where its event put it, past the guard.
    site.git(*UNGUARDED, "update-ref", "refs/tags/f/s/v1", "refs/heads/journal")
    with pytest.raises(AssertionError, match="refs/tags/f/s/v1 is not where the journal put it"):
        read_by_the_page(site, "f/s/v1", tmp_path / "read")


def test_it_shows_the_settings_that_are_written() -> None:
    assert f"```\n{hooks.CONFIG}```\n" in PAGE


def members_in(heading: str) -> set[str]:
    """Return the members in the first column of the first table below a heading."""
    section = PAGE.partition(f"\n{heading}\n")[2].partition("\n#")[0]
    cells = re.findall(r"^\| (`.+?`) \|", section, re.MULTILINE)
    return {member for cell in cells for member in re.findall(r"`(\w+)`", cell)}


def test_it_names_every_member_of_the_files() -> None:
    assert members_in("### event.json") == event_files._VISIBLE_MEMBERS
    assert members_in("### body.json") == event_files._BODY_MEMBERS
    assert members_in("### head.json") == signed_head._MEMBERS | {"abandoned"}
    assert members_in("## Number and features") == {
        rule.name or name for name, rule in FormatStated.member_rules().items()
    }


def test_its_example_of_chain_heads_is_right() -> None:
    lines = re.findall(r'^(\["\w+",\d+,"sha256:\w+"\])$', PAGE, re.MULTILINE)
    heads = [chains.ChainHead(*json.loads(line)) for line in lines]
    assert len(heads) == 3
    assert f"the digest `{chains.digest_chain_heads(heads)}`" in PAGE


def test_its_witness_lines_are_those_of_the_program() -> None:
    values = {"<archive>": "ab" * 8, "<seq>": "7", "<sha256>": "cd" * 32, "<clock>": "2026-11-27T00:00:00.000000Z"}
    lines = set(re.findall(r"`(archiver-witness [12] [^`]+)`", PAGE))
    assert len(lines) == 2
    for line in lines:
        assert str(parse_witness(re.sub("<.+?>", lambda match: values[match[0]], line)))


# --- docs/journal.md


@pytest.mark.needs("processes")
def test_the_page_of_the_journal_knows_which_members_a_format_has(site: Site, tmp_path: Path) -> None:
    """No event of the golden archive has a member that the page gives to format 2 alone, and the reverse."""
    site.write("f/s/a", "1")
    site.catch_up()
    for arguments in (
        ["submit", "f/s", "--on", "2026-01-01"],
        ["hold", "place", "suit", "f", "--reason", "court"],
        ["key", "rotate", "--reason", "yearly"],
        ["key", "replace", "--reason", "lost"],
        ["restore", "f/s/v1", "--to", site.root / "back"],
        ["drill"],
    ):
        site.run(*arguments)
    for archive, in_format_1 in ((site, False), (unpacked(tmp_path / "golden"), True)):
        with closing(archive.open()) as opened:
            events = list(opened.journal.events_since(None))
        assert {event.chain == "" for event in events} == {in_format_1}
        for where in {(event.action, member) for event in events for member in event.details}:
            if in_format_1:
                assert not journal_page.is_of_format_2(*where), where
            else:
                assert where not in journal_page.MEMBERS_OF_FORMAT_1, where


def test_the_page_of_the_journal_gives_every_kind_a_chain() -> None:
    text = journal_page.PAGE.read_text("utf-8")
    for action, rule in CHAIN_RULES.items():
        assert re.search(rf"^\| \[`{action}`\]\(#{action}\) \| .+ \| {rule.event_class} \|", text, re.MULTILINE)
