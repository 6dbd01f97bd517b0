"""Packages of the golden archive of format 1: as it was, and after its upgrade."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from archiver.store.keys import SigningKey
from tests.audit.altered_package import BODIES, HEADS, JOURNAL, AlteredPackage, ForgedJournal, digest, sentence
from tests.support.site import CHECKOUT, Site
from tests.test_golden import FACTS, GOLDEN, unpacked

pytestmark = pytest.mark.needs("processes")

#: Path -> SHA-256 of each file of the package that the last release of format 1 made of the golden archive. Only the
#: folders of odd names are called differently since: what they are called in the watched folder.
FORMAT_1_PACKAGE: dict[str, str] = json.loads((GOLDEN / "package-of-format-1.json").read_text("utf-8"))
RESOURCES = CHECKOUT / "archiver/audit/resources"


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The golden archive, exported as it is, and then after its upgrade."""
    site = unpacked(tmp_path_factory.mktemp("old") / "golden")
    site.run("audit", "--to", "old-package")
    site.run("upgrade")
    site.run("audit", "--to", "package")
    return site


@pytest.fixture
def forged(old: Site, tmp_path: Path) -> ForgedJournal:
    shutil.copytree(old.root / "package", tmp_path / "package")
    return ForgedJournal(AlteredPackage(tmp_path / "package"), SigningKey(old.archive / "keys"))


# --- before the upgrade


def digests(package: Path) -> Iterator[tuple[str, str]]:
    """Path and SHA-256 of the files of a package that depend on the archive alone."""
    for path in sorted(package.rglob("*")):
        # export.json has the time, bag-info.txt the release, and git decides on the bytes of a bundle.
        if (
            path.is_file()
            and path.suffix not in (".bundle", ".py")
            and path.name not in ("export.json", "bag-info.txt")
        ):
            data = path.read_bytes()
            if "manifest" in path.name:
                pattern = rb"[^\n]* (?:[^\n]*\.py|export\.json|bag-info\.txt|manifest-[^\n]*|[^\n]*\.bundle)\n"
                data = re.sub(pattern, b"", data)
            yield os.fspath(path.relative_to(package)), hashlib.sha256(data).hexdigest()


def test_a_package_of_format_1_is_the_same_byte_for_byte(old: Site) -> None:
    assert dict(digests(old.root / "old-package")) == FORMAT_1_PACKAGE
    assert not {name for name in FORMAT_1_PACKAGE if "heads" in name or "bodies" in name}
    readme = (old.root / "old-package/README.txt").read_bytes()
    assert readme == (RESOURCES / "README-format-1.txt").read_bytes()


def test_a_package_of_format_1_passes(old: Site) -> None:
    package = AlteredPackage(old.root / "old-package")
    for witness in (None, *FACTS["witness lines"]):
        assert package.findings(witness) == []
    checker = package.checker
    assert "events from 92 on: no checkpoint covers them yet" in checker.unchecked
    assert (checker.heads, checker.signature_count) == ({}, 25)


# --- after it


def test_an_upgraded_package_passes_from_the_old_witness_lines_on(old: Site) -> None:
    package = AlteredPackage(old.root / "package")
    assert package.findings() == []
    checker = package.checker
    assert len(checker.heads) == len(package.lines(HEADS)) >= 2
    newest_line = checker.unchecked[-1]
    assert newest_line.startswith("archiver-witness 2 ")
    for witness in (*FACTS["witness lines"], newest_line):
        assert package.findings(witness) == []
    bodies = package.lines(BODIES)
    assert {bodies[n] == b"\n" for n in range(len(FACTS["events"]))} == {True}
    assert b"\n" not in bodies[len(FACTS["events"]) :]
    tags = {int(path.name) for path in (package.folder / "data/tags").iterdir()}
    assert max(tags) <= len(FACTS["events"]), "the checkpoint of the export has none"


def test_an_archive_of_format_1_whose_key_is_lost_goes_on(tmp_path: Path) -> None:
    """The new key signs the upgrade as well, because nobody else could."""
    site = unpacked(tmp_path / "golden")
    (site.archive / "keys/signing_key").unlink()
    site.run("key", "replace", "--reason", "lost in the move")
    site.run("audit", "--to", "package")
    package = AlteredPackage(site.root / "package")
    assert package.findings(FACTS["witness lines"][-1]) == []
    (number,) = package.action_numbers("key-replace")
    assert sentence("lost key", number) in package.checker.unchecked
    assert package.action_numbers("format") == [len(FACTS["events"]) + 1]


@pytest.mark.parametrize(
    ("member", "value"),
    [("count", 1), ("digest", digest(b"")), ("salt", "00" * 16)],
    ids=["count", "digest", "salt"],
)
def test_what_the_upgrade_states_of_the_earlier_events_is_compared(
    forged: ForgedJournal, member: str, value: Any
) -> None:
    assert forged.link().findings() == []
    forged.body("earlier-events")["details"][member] = value
    assert forged.link().findings() == [(JOURNAL, sentence("earlier", forged.number("earlier-events")))]


def test_an_earlier_event_that_was_altered_is_found(forged: ForgedJournal) -> None:
    """By somebody with the key, who would have to sign all checkpoints of that time again."""
    number = next(n for n, event in enumerate(forged.events, 1) if event.get("action") == "filing-set")
    forged.events[number - 1]["at"] = "2021" + forged.events[number - 1]["at"][4:]
    found = forged.link().findings()
    assert (JOURNAL, sentence("chain", number + 1)) in found
    assert any("counts other events of format 1" in what for _, what in found)


SIGNERS_CHANGES: dict[str, tuple[bytes, bytes, bool]] = {
    "another namespace more": (b'archiver-head"', b'archiver-head,file"', True),
    "fewer namespaces": (b'namespaces="git,archiver-head"', b'namespaces="archiver-head"', False),
    "without the option": (b'namespaces="git,archiver-head" ', b"", False),
    "another name": (b"archiver@localhost", b"somebody@localhost", False),
    "a key more": (
        b'archiver-head" ',
        b'archiver-head" ssh-ed25519 AAAA\nx namespaces="git,archiver-head" ',
        False,
    ),
}


@pytest.mark.parametrize("name", SIGNERS_CHANGES)
def test_an_upgrade_only_adds_namespaces_to_the_last_key(forged: ForgedJournal, name: str) -> None:
    old_text, new_text, is_allowed = SIGNERS_CHANGES[name]
    package, number = forged.package, forged.number("format")
    path = f"data/journal/{number}/allowed_signers"
    before, last, end = (package.folder / path).read_bytes().rpartition(b"archiver@localhost")
    changed = before + (last + end).replace(old_text, new_text)
    assert changed != before + last + end
    forged.body("format")["attachments"] = [
        {"name": "allowed_signers", "digest": digest(changed), "size": len(changed)}
    ]
    package.write(path, changed)
    package.write("data/allowed_signers", changed)
    found = forged.link().findings()
    assert found == ([] if is_allowed else [(path, sentence("key"))])
