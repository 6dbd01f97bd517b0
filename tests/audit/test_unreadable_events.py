"""A package of an archive of format 2 in which something cannot be read: it is written, and says what that is."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.audit.altered_package import BODIES, GENESIS, HEADS, JOURNAL, AlteredPackage, digest, encode, sentence
from tests.support.site import UNGUARDED, Site

Members = dict[str, Any]


@pytest.fixture
def filled(site: Site) -> Site:
    site.write("f/s/a", "1")
    site.catch_up()
    return site


def read(site: Site, name: str) -> bytes:
    command = ["git", f"--git-dir={site.repository}", "cat-file", "blob", name]
    return subprocess.run(command, capture_output=True, check=True).stdout


def append(
    site: Site,
    change_event: Callable[[Members], object] = lambda event: None,
    change_body: Callable[[Members], object] = lambda body: None,
    change_files: Callable[[dict[str, bytes]], object] = lambda files: None,
) -> int:
    """Append an event to the chain "house" with plain git, and without a signed head; returns its number.

    It would be one of the action ``drill``; the body fits the event after ``change_body``, and no longer after
    ``change_files``.
    """
    commits = site.git("rev-list", "--first-parent", "journal").stdout.split()
    events = [read(site, f"{commit}:event.json") for commit in commits]
    in_chain = [event for event in events if json.loads(event)["chain"] == "house"]
    body = json.loads(read(site, "journal:body.json")) | {"refs": {}, "attachments": [], "object": "restore"}
    body |= {"action": "drill", "details": {"versions": [], "files": 0, "bytes": 0, "problems": []}}
    change_body(body)
    event = json.loads(events[0]) | {
        "seq": len(events) + 1,
        "prev": digest(events[0]),
        "chain": "house",
        "class": "note",
        "n": len(in_chain) + 1,
        "chain_prev": digest(in_chain[0]) if in_chain else GENESIS,
        "body": digest(encode(body)),
    }
    change_event(event)
    files = {"event.json": encode(event), "body.json": encode(body)}
    change_files(files)
    commit_files(site, commits[0], files)
    return len(events) + 1


def commit_files(site: Site, parent: str, files: Mapping[str, bytes]) -> None:
    """Move the journal to a new commit with these files."""
    listing = []
    for name, data in sorted(files.items()):
        (site.root / "blob").write_bytes(data)
        oid = site.git("hash-object", "-w", "--no-filters", os.fspath(site.root / "blob")).stdout.strip()
        listing.append(f"100644 blob {oid}\t{name}\n")
    mktree = ["git", f"--git-dir={site.repository}", "mktree"]
    tree = subprocess.run(mktree, input="".join(listing), capture_output=True, text=True, check=True)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    arguments = ("commit-tree", "-p", parent, "-m", "x", tree.stdout.strip())
    commit = site.git(*identity, *arguments).stdout.strip()
    site.git(*UNGUARDED, "update-ref", "refs/heads/journal", commit)


def export(site: Site) -> AlteredPackage:
    site.run("audit", "--to", "package")
    return AlteredPackage(site.root / "package")


def test_an_event_that_was_appended_by_this_test_can_be_read(filled: Site) -> None:
    """What the tests below find is only what each of them alters. The next signed head covers the event."""
    append(filled)
    filled.write("f/s/a", "2")
    filled.catch_up()
    assert export(filled).findings() == []


CHANGES: dict[str, tuple[dict[str, Any], set[str]]] = {
    # What the grammar of the kind does not allow, as a newer release might write it.
    "member": ({"change_body": lambda body: body["details"].update(surplus=1)}, {"body.json"}),
    "salt": ({"change_body": lambda body: body.update(salt="")}, {"body.json"}),
    "line breaks": ({"change_files": lambda files: files.update({"body.json": b"\n\n{}\n\n"})}, {"body.json"}),
    "no body": ({"change_files": lambda files: files.pop("body.json")}, {"body.json"}),
    "event": ({"change_event": lambda event: event.update(surplus=1)}, {"event.json", "body.json"}),
    "form": (
        {"change_files": lambda files: files.update({"event.json": files["event.json"] + b"\n \n"})},
        {"event.json", "body.json"},
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_an_unreadable_event_is_written_as_it_is_and_found(filled: Site, name: str) -> None:
    changes, set_aside = CHANGES[name]
    number = append(filled, **changes)
    filled.write("f/s/a", "2")
    filled.catch_up()
    package = export(filled)
    folder = package.folder / f"data/journal/{number}"
    commits = filled.git("rev-list", "--reverse", "journal").stdout.split()
    assert {path.name for path in folder.iterdir()} == set_aside
    for file_name in set_aside - {"body.json" if name == "no body" else ""}:
        assert (folder / file_name).read_bytes() == read(filled, f"{commits[number - 1]}:{file_name}")
    assert len(package.lines(JOURNAL)) == len(package.lines(BODIES)) > number
    is_other_body = name in ("line breaks", "no body")
    expected = (BODIES, sentence("body", number)) if is_other_body else (JOURNAL, sentence("unread", number))
    assert package.findings() == [expected], "the chains and the heads after it fit"
    # What lies in a file instead of in a line is compared as well.
    for file_name in sorted(set_aside):
        path = f"data/journal/{number}/{file_name}"
        data = (package.folder / path).read_bytes()
        package.write(path, data + b" ")
        assert (path, sentence("attachment", number)) in package.findings()
        package.remove(path)
        assert (path, sentence("attachment", number)) in package.findings()
        package.write(path, data)


def test_a_file_beside_a_line_that_has_the_bytes_is_found(filled: Site) -> None:
    package = export(filled)
    number = len(package.lines(JOURNAL))
    for name in ("event.json", "body.json"):
        package.write(f"data/journal/{number}/{name}", package.lines(JOURNAL)[-1])
    assert {where for where, _ in package.findings()} == {
        f"data/journal/{number}/{name}" for name in ("event.json", "body.json")
    }


@pytest.mark.parametrize("head", [b"no head\n\n", b'{"last":1}\n'])
def test_an_unreadable_head_is_written_as_it_is_and_found(filled: Site, head: bytes) -> None:
    number = append(filled, change_files=lambda files: files.update({"head.json": head, "head.sig": b"x"}))
    package = export(filled)
    assert (package.folder / f"data/heads/{number}.json").read_bytes() == head
    found = package.findings()
    assert (HEADS, sentence("unread head", number)) in found
    assert (f"data/heads/{number}.sig", "the signature is not valid") in found
    data = (package.folder / f"data/heads/{number}.json").read_bytes()
    package.write(f"data/heads/{number}.json", data + b" ")
    assert (f"data/heads/{number}.json", sentence("attachment", number)) in package.findings()
