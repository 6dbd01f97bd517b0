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

from archiver.store import keys, names
from archiver.store.events import chains, event_files, signed_head
from archiver.store.events.archive_events import FormatStated
from archiver.store.events.canonical_json import encode_canonical
from archiver.store.events.chain_rules import CHAIN_RULES
from archiver.store.git import hooks
from archiver.store.keys import SigningKey
from archiver.verify.witness import parse_witness
from tests.support import journal_page
from tests.support.forged import Change, SignedBy, append, replace_newest
from tests.support.site import CHECKOUT, UNGUARDED, Site, tree
from tests.test_golden import FACTS, unpacked

PAGE = (CHECKOUT / "docs/format.md").read_text("utf-8")


def note_on_key(number: int) -> str:
    return f"Note: only a witness line from after event {number} attests to the key that this event brings"


#: In format 1, a tag shows who rotated the key; the script checks no tags.
GOLDEN_NOTES = tuple(
    note_on_key(number) for number, event in enumerate(FACTS["events"], 1) if event.split()[1].startswith("key-r")
)


def run_the_page(site: Site, tag: str, target: Path, *witness_lines: str) -> subprocess.CompletedProcess[str]:
    """Run the script of the page."""
    script = target.with_suffix(".py")
    script.write_text(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0], "utf-8")
    command = [sys.executable, "-I", script, site.repository, tag, target, *witness_lines]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def read_by_the_page(site: Site, tag: str, target: Path, *, notes: tuple[str, ...] = ()) -> list[str]:
    """Run the script of the page; return the events that it printed, as number, action and object.

    It finds no fault, and writes ``notes`` to its error output.
    """
    done = run_the_page(site, tag, target)
    assert done.returncode == 0, done.stderr
    assert tuple(done.stderr.splitlines()) == notes
    *lines, summary = done.stdout.splitlines()
    assert summary.startswith("Archive ")
    events = (line.split(" ", 2) for line in lines)
    return [f"{number} {act}" for number, _, act in events]


def assert_fault(site: Site, tag: str, target: Path, fault: str, *witness_lines: str) -> None:
    """Assert that the script of the page ends with ``fault`` as its last sentence."""
    done = run_the_page(site, tag, target, *witness_lines)
    assert done.returncode == 1
    assert fault in done.stderr.splitlines()[-1]
    # A traceback would be an accident, and no sentence.
    assert "Traceback" not in done.stderr, done.stderr


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
    assert read_by_the_page(unpacked(tmp_path / "golden"), tag, read, notes=GOLDEN_NOTES) == FACTS["events"]
    said = {item["path"]: item["sha256"] for item in FACTS["show"][tag]["materials"]}
    assert digests(read / "materials") == said


@pytest.mark.needs("ssh-keygen")
def test_its_script_reads_an_upgraded_archive(tmp_path: Path) -> None:
    site = unpacked(tmp_path / "golden")
    site.run("upgrade")
    events = read_by_the_page(site, "推荐/首次/v3", tmp_path / "read", notes=GOLDEN_NOTES)
    assert events[: len(FACTS["events"])] == FACTS["events"]
    assert events[len(FACTS["events"])].endswith(" format archive")
    said = {item["path"]: item["sha256"] for item in FACTS["show"]["推荐/首次/v3"]["materials"]}
    assert digests(tmp_path / "read/materials") == said


def journal_length(site: Site) -> int:
    return len(site.git("rev-list", "journal").stdout.split())


@pytest.mark.needs("ssh-keygen")
def test_its_script_knows_which_key_signs(site: Site, tmp_path: Path) -> None:
    """It shows a key that replaced a lost one, because everybody with access to the repository can add one."""
    site.write("f/s/a", "1")
    site.catch_up()
    site.run("key", "rotate", "--reason", "for the test")
    read_by_the_page(site, "f/s/v1", tmp_path / "read")
    site.run("key", "replace", "--reason", "for the test")
    number = site.events("key-replace")[0]["seq"]
    read_by_the_page(site, "f/s/v1", tmp_path / "read", notes=(note_on_key(number),))


@pytest.mark.needs("ssh-keygen")
def test_its_script_says_from_where_on_nothing_is_signed(site: Site, tmp_path: Path) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    (site.archive / "keys/signing_key").rename(tmp_path / "key")
    site.write("f/s/a", "2")
    site.catch_up()
    number = journal_length(site)
    assert_fault(site, "f/s/v2", tmp_path / "read", f"no head covers the events from {number} on")
    # Nothing else is wrong with the version.
    assert digests(tmp_path / "read/materials") == digests(site.watch / "f/s")
    # The next head covers what came before it.
    (tmp_path / "key").rename(site.archive / "keys/signing_key")
    site.run("checkpoint")
    note = f"Note: events {number} to {number} were signed only later, with event {journal_length(site)}"
    read_by_the_page(site, "f/s/v2", tmp_path / "read", notes=(note,))


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
        ("body.json", {"object": "f/s/v9"}, "has another body"),
        ("event.json", {"n": 2}, "breaks its chain"),
        ("event.json", {"seq": 2}, "breaks the chain"),
        ("head.json", {"chains": 9}, "is of other events"),
        ("head.json", {"first": 1}, "is of other events"),
        # The events before have other times.
        ("head.json", {"batch": 2}, "is of other events"),
        ("head.json", {"batch": 9}, "is of other events"),
        ("head.json", {"key": "SHA256:other"}, "is of other events"),
        ("head.json", {"until": "2030"}, "has missing or unknown members"),
        ("event.json", {"until": "2030"}, "has missing or unknown members"),
        # What the events do not show is under the signature.
        ("head.json", {"abandoned": ["sha256:" + "0" * 64]}, "has no valid signature"),
        ("head.json", {"x-note": "no effect"}, "has no valid signature"),
    ],
)
def test_its_script_names_what_was_altered(
    site: Site, tmp_path: Path, name: str, members: dict[str, Any], complaint: str
) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    replace_file(site, name, encode_canonical({**read_json(site, name), **members}))
    assert_fault(site, "f/s/v1", tmp_path / "read", complaint)


@pytest.mark.needs("ssh-keygen")
def test_its_script_takes_no_other_form_of_a_file(site: Site, tmp_path: Path) -> None:
    """Another parser could read the other value of a repeated member."""
    site.write("f/s/a", "1")
    site.catch_up()
    text = site.git("show", "journal:head.json").stdout
    replace_file(site, "head.json", text.replace('"format":2', '"format":1,"format":2').encode())
    assert_fault(site, "f/s/v1", tmp_path / "read", "has a file that is not canonical JSON")


# --- what somebody with git and without the key can forge


@pytest.fixture
def attacked(site: Site) -> Site:
    """An archive with two versions, the second of which has other content."""
    for text in ("1", "2"):
        site.write("f/s/a", text)
        site.catch_up()
    return site


def forged_key(site: Site) -> Path:
    """Return the folder of a key of the forger."""
    folder = site.root / "forged keys"
    keys.create_keys(folder)
    return folder


def signers_with(site: Site, folder: Path) -> bytes:
    """Return the list of keys, and the key in ``folder`` as its last line."""
    return (site.archive / "keys/allowed_signers").read_bytes() + (folder / "allowed_signers").read_bytes()


def change_of_keys(action: str) -> Change:
    members = {"action": action, "object": "key", "chain": "archive", "class": "act", "details": {"public": ""}}
    return lambda event: event.update(members)


@pytest.mark.needs("ssh-keygen")
@pytest.mark.parametrize("is_signed_by_the_new_key", [False, True])
def test_its_script_takes_no_key_that_the_old_one_did_not_sign(
    attacked: Site, tmp_path: Path, is_signed_by_the_new_key: bool
) -> None:
    folder = forged_key(attacked)
    signers = {"allowed_signers": signers_with(attacked, folder)}
    head = SignedBy(folder)
    own_head = head if is_signed_by_the_new_key else None
    number = append(attacked, change_of_keys("key-rotate"), files=signers, head=own_head)
    append(attacked, head=head)
    # A head of the new key names that key, and not the old one.
    fault = "is of other events" if is_signed_by_the_new_key else f"event {number} brings a key without a head"
    assert_fault(attacked, "f/s/v2", tmp_path / "read", fault)


@pytest.mark.needs("ssh-keygen")
def test_its_script_notices_a_rotation_that_only_pretends_to_be_by_the_old_key(
    attacked: Site, tmp_path: Path
) -> None:
    own_key = SigningKey(attacked.archive / "keys").fingerprint
    folder = forged_key(attacked)
    head = SignedBy(folder, lambda members: members.update(key=own_key))
    files = {"allowed_signers": signers_with(attacked, folder)}
    append(attacked, change_of_keys("key-rotate"), files=files, head=head)
    assert_fault(attacked, "f/s/v2", tmp_path / "read", "has no valid signature")


@pytest.mark.needs("ssh-keygen")
@pytest.mark.parametrize("action", ["checkpoint", "format", "key-replace"])
def test_its_script_takes_keys_only_as_the_page_says(attacked: Site, tmp_path: Path, action: str) -> None:
    folder = forged_key(attacked)
    signers = signers_with(attacked, folder)
    if action == "key-replace":
        # A line of an earlier key is altered besides.
        signers = signers.replace(b"git,archiver-head", b"archiver-head", 1)
    number = append(attacked, change_of_keys(action), files={"allowed_signers": signers}, head=SignedBy(folder))
    assert_fault(attacked, "f/s/v2", tmp_path / "read", f"event {number} must not change the keys like this")


@pytest.mark.needs("ssh-keygen")
def test_its_script_shows_a_replacement_that_anybody_could_have_added(attacked: Site, tmp_path: Path) -> None:
    """Nothing in the archive tells it from an honest one; a witness line from before does not help either."""
    folder = forged_key(attacked)
    files = {"allowed_signers": signers_with(attacked, folder)}
    number = append(attacked, change_of_keys("key-replace"), files=files, head=SignedBy(folder))
    read_by_the_page(attacked, "f/s/v2", tmp_path / "read", notes=(note_on_key(number),))


@pytest.mark.needs("ssh-keygen")
def test_its_script_takes_no_second_first_event(attacked: Site, tmp_path: Path) -> None:
    folder = forged_key(attacked)
    files = {"allowed_signers": (folder / "allowed_signers").read_bytes()}
    number = append(attacked, change_of_keys("init"), files=files, head=SignedBy(folder))
    assert_fault(attacked, "f/s/v2", tmp_path / "read", f"event {number} must not be init")


@pytest.mark.needs("ssh-keygen")
def test_its_script_names_an_event_that_nobody_signed(attacked: Site, tmp_path: Path) -> None:
    number = append(attacked)
    assert_fault(attacked, "f/s/v2", tmp_path / "read", f"no head covers the events from {number} on")


@pytest.mark.needs("ssh-keygen")
def test_its_script_names_a_head_of_the_journal_that_is_called_abandoned(attacked: Site, tmp_path: Path) -> None:
    digest = attacked.check_journal()[-1].files["head.json"] or b""
    abandoned = ["sha256:" + hashlib.sha256(digest).hexdigest()]
    append(attacked, head=SignedBy(attacked.archive / "keys", lambda head: head.update(abandoned=abandoned)))
    assert_fault(attacked, "f/s/v2", tmp_path / "read", "a head of the journal is named as abandoned")


@pytest.mark.needs("ssh-keygen")
def test_its_script_is_not_misled_by_replacements(attacked: Site, tmp_path: Path) -> None:
    attacked.git(*UNGUARDED, "replace", "f/s/v2^{commit}", "f/s/v1^{commit}")
    assert_fault(attacked, "f/s/v2", tmp_path / "read", "is not in the journal")
    assert not (tmp_path / "read").exists()


@pytest.mark.needs("ssh-keygen")
@pytest.mark.parametrize("name", ["shallow", "info/grafts"])
def test_its_script_names_files_that_change_the_history(attacked: Site, tmp_path: Path, name: str) -> None:
    path = attacked.repository / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(attacked.git("rev-parse", "journal").stdout)
    assert_fault(attacked, "f/s/v2", tmp_path / "read", f"{name} makes Git show another history")


@pytest.mark.needs("ssh-keygen")
def test_its_script_takes_no_invented_tag(attacked: Site, tmp_path: Path) -> None:
    attacked.git(*UNGUARDED, "update-ref", "refs/tags/f/s/v9", "f/s/v1")
    assert_fault(attacked, "f/s/v9", tmp_path / "read", "refs/tags/f/s/v9 is not in the journal")
    attacked.git(*UNGUARDED, "update-ref", "-d", "refs/tags/f/s/v9")
    assert_fault(attacked, "f/s/v9", tmp_path / "read", "the journal has no version f/s/v9")


@pytest.mark.needs("ssh-keygen")
def test_its_script_compares_the_tree_with_the_changes(attacked: Site, tmp_path: Path) -> None:
    """A capture event of the key's owner that points to the commit of another version."""
    branch = "refs/heads/filings/f/s"

    def point_to_the_first_version(event: dict[str, Any]) -> None:
        event["refs"][branch] = "sha1:" + attacked.git("rev-parse", "f/s/v1^{commit}").stdout.strip()

    replace_newest(attacked, point_to_the_first_version, key=attacked.archive / "keys")
    attacked.git(*UNGUARDED, "update-ref", branch, "f/s/v1^{commit}")
    assert_fault(attacked, "f/s/v2", tmp_path / "read", "the tree of f/s/v2 is not what the journal says")


@pytest.mark.needs("ssh-keygen")
def test_its_script_compares_the_content_with_the_changes(attacked: Site, tmp_path: Path) -> None:
    sha256 = hashlib.sha256(b"2").hexdigest()
    stored = attacked.repository / "lfs/objects" / sha256[:2] / sha256[2:4] / sha256
    stored.chmod(0o600)
    stored.write_bytes(b"3")
    assert_fault(attacked, "f/s/v2", tmp_path / "read", "the content of b'a' is damaged")
    stored.unlink()
    assert_fault(attacked, "f/s/v2", tmp_path / "read", "the content of b'a' is missing")


@pytest.mark.needs("ssh-keygen")
def test_its_script_compares_witness_lines(attacked: Site, tmp_path: Path) -> None:
    """Only a line that left the house shows that the newest events were removed."""
    line = attacked.run("checkpoint", "--print").stdout.strip()
    done = run_the_page(attacked, "f/s/v2", tmp_path / "read", line)
    assert done.returncode == 0, done.stderr
    number = journal_length(attacked)
    attacked.git(*UNGUARDED, "update-ref", "refs/heads/journal", "refs/heads/journal~1")
    read_by_the_page(attacked, "f/s/v2", tmp_path / "read")
    assert_fault(attacked, "f/s/v2", tmp_path / "read", f"the line of event {number} is of another journal", line)


@pytest.mark.needs("ssh-keygen")
def test_its_script_writes_nothing_outside_of_its_target(site: Site, tmp_path: Path) -> None:
    """Whoever has the key can put any path into the changes."""
    site.write("f/s/a", "1")
    site.catch_up()
    lines = site.git("show", "journal:changes.jsonl").stdout
    changes = lines.replace('"path":"a"', '"path":"../../a"').encode()

    def attach(event: dict[str, Any]) -> None:
        digest = "sha256:" + hashlib.sha256(changes).hexdigest()
        event["attachments"] = [{"name": "changes.jsonl", "digest": digest, "size": len(changes)}]

    replace_newest(site, attach, {"changes.jsonl": changes}, key=site.archive / "keys")
    assert_fault(site, "f/s/v1", tmp_path / "read", "the tree of f/s/v1 is not what the journal says")
    assert not (tmp_path / "a").exists()


# --- archives of today


@pytest.mark.needs("ssh-keygen")
def test_its_script_reads_an_archive_of_today(site: Site, tmp_path: Path) -> None:
    site.write("备案/首次/.git/config", "a name that is git's own")
    site.write("备案/首次/100%25", "looks encoded")
    site.write("备案/首次/empty", "")
    (site.watch / "备案/首次/folder").mkdir()
    # Not a line end of the changes.
    site.write("备案/首次/line\u2028separator", "odd")
    site.catch_up()
    # A folder that was recorded as empty stays in the state.
    site.write("备案/首次/folder/file", "1")
    (site.watch / "备案/首次/100%25").unlink()
    site.catch_up()
    read_by_the_page(site, "备案/首次/v2", tmp_path / "read")
    read, watched = tree(tmp_path / "read/materials"), tree(site.watch / "备案/首次")
    assert {path: content for path, (content, _) in read.items()} == {
        path: content for path, (content, _) in watched.items()
    }


def test_its_script_names_a_ref_that_was_moved(site: Site, tmp_path: Path) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    # A ref that is not where its event put it, past the guard.
    site.git(*UNGUARDED, "update-ref", "refs/tags/f/s/v1", "refs/heads/journal")
    assert_fault(site, "f/s/v1", tmp_path / "read", "refs/tags/f/s/v1 is not where the journal put it")


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
