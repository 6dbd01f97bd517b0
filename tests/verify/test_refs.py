"""Refs are read while git packs them: none is missing in between, and no packed value is newer than the journal."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from archiver.store.git.repository import Repository
from archiver.verify import refs as ref_reading
from archiver.verify.findings import VerifyReport
from archiver.verify.history import check_history
from tests.support.site import Site

pytestmark = pytest.mark.needs("processes")


@pytest.fixture
def versions(site: Site) -> Site:
    for number in range(3):
        site.write("f/s/a", f"{number}")
        site.catch_up()
    assert list((site.repository / "refs").rglob("v1")), "the refs are loose"
    return site


def pack(site: Site) -> None:
    site.git("-c", "core.hooksPath=/dev/null", "pack-refs", "--all", "--prune")


def test_refs_that_are_packed_after_the_folder_was_listed(versions: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = ref_reading.read_refs(versions.repository, VerifyReport())

    def list_then_pack(*arguments: bytes) -> Iterator[tuple[bytes, list[bytes], list[bytes]]]:
        entries = list(os_walk(*arguments))
        pack(versions)
        yield from entries

    os_walk = os.walk
    monkeypatch.setattr(ref_reading.os, "walk", list_then_pack)
    report = VerifyReport()
    assert ref_reading.read_refs(versions.repository, report) == expected
    assert not report.findings


def test_refs_that_are_packed_between_the_two_places(versions: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = ref_reading.read_refs(versions.repository, VerifyReport())

    def read_then_pack(*arguments: object) -> list[bytes]:
        lines = read_lines(versions.repository)
        pack(versions)
        return lines

    read_lines = ref_reading.read_packed_lines
    monkeypatch.setattr(ref_reading, "read_packed_lines", read_then_pack)
    assert ref_reading.read_refs(versions.repository, VerifyReport()) == expected


def test_values_that_are_packed_while_the_journal_is_checked(
    versions: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service writes versions and packs their refs, and further versions override the packed ones."""

    def check_beside_writer(*arguments: object) -> object:
        result = check_signed_tail(*arguments)
        versions.write("f/s/a", "3")
        versions.catch_up()
        pack(versions)
        versions.write("f/s/a", "4")
        versions.catch_up()
        return result

    check_signed_tail = check_history.__globals__["check_tail_is_signed"]
    monkeypatch.setitem(check_history.__globals__, "check_tail_is_signed", check_beside_writer)
    report = VerifyReport()
    repository = Repository(versions.repository)
    check_history(repository, report)
    repository.close()
    assert not report.findings, report.findings


def test_an_altered_target_of_a_packed_tag_is_found(versions: Site) -> None:
    pack(versions)
    path = versions.repository / "packed-refs"
    lines = path.read_text("ascii").splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("^"))
    for altered in ("^" + "0" * 40, lines[place]):
        path.chmod(0o644)
        path.write_text("\n".join([*lines[:place], altered, *lines[place + 1 :], ""]), "ascii")
        report = VerifyReport()
        repository = Repository(versions.repository)
        check_history(repository, report)
        repository.close()
        found = [(finding.code, finding.object) for finding in report.findings]
        assert found == ([("A023", "archive.git/packed-refs")] if altered != lines[place] else [])
