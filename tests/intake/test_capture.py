"""Groups are archived together, and what one of them cannot have done keeps no other back."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import closing, nullcontext
from typing import Any

import pytest

from archiver.config.loader import load_config
from archiver.daemon.capture_loop import Daemon
from archiver.errors import ArchiverError, StorageError
from archiver.intake.capture import Capturer
from archiver.intake.capture_result import CaptureResult
from archiver.intake.folder.access import DirectAccess, open_access
from archiver.intake.group_reader import GroupToRead
from archiver.intake.layout import Group
from archiver.intake.snapshot import Snapshot
from archiver.intake.staging import FileReader
from archiver.store.archive import Archive
from archiver.store.writing.head_signing import HeadSigner
from tests.support.site import Site


@pytest.fixture
def archive(site: Site) -> Iterator[Archive]:
    with closing(site.open()) as opened:
        yield opened


@pytest.fixture
def capturer(site: Site, archive: Archive) -> Iterator[Capturer]:
    config = load_config(site.config)
    with (
        closing(open_access(config.watch, config.archive)) as access,
        closing(Snapshot(site.root / "state.db")) as snapshot,
        closing(Capturer(archive, snapshot, access, config, threading.Event())) as capturer,
    ):
        yield capturer


@pytest.fixture
def signed_heads(monkeypatch: pytest.MonkeyPatch) -> list[HeadSigner]:
    """Grows by one with each signature of a head."""
    signers: list[HeadSigner] = []
    sign = HeadSigner.sign

    def sign_and_count(signer: HeadSigner, *arguments: object, **options: object) -> object:
        signers.append(signer)
        return sign(signer, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(HeadSigner, "sign", sign_and_count)
    return signers


def to_read(site: Site, *paths: str) -> list[GroupToRead]:
    """Write a file at each path, which is that of a group of its own, and look at it."""
    config, groups = load_config(site.config), []
    for path in paths:
        site.write(path, "1")
        filing, submission, _ = path.split("/")
        with closing(open_access(config.watch, config.archive)) as access:
            states = {os.fsencode(path): access.look_up(os.fsencode(path)).stat_data}
        groups.append(GroupToRead(Group(os.fsencode(filing), os.fsencode(submission)), states))
    return groups


def kinds(outcomes: list[CaptureResult | ArchiverError]) -> list[type[StorageError] | str | None]:
    return [
        StorageError if isinstance(outcome, StorageError) else getattr(outcome, "tag", None)
        for outcome in outcomes
    ]


@pytest.mark.needs("processes")
def test_an_attempt_after_a_failure_signs_nothing_in_vain(
    site: Site, archive: Archive, capturer: Capturer, signed_heads: list[HeadSigner]
) -> None:
    """A file with the name of a filing's folder of tags: git cannot create a tag below it."""
    in_the_way = site.repository / "refs/tags/f2"
    in_the_way.write_text("0" * 39 + "1\n")
    groups = to_read(site, "f1/s/a", "f2/s/a", "f3/s/a")
    jobs = capturer.stage(groups)
    assert kinds(capturer.finish_all(jobs, 5)) == ["f1/s/v1", StorageError, "f3/s/v1"]
    # In vain for the three of them together, and then for each that could be archived.
    assert len(signed_heads) == 3
    for _ in range(3):
        assert kinds(capturer.finish_all(capturer.stage(groups[1:2]), 5)) == [StorageError]
    assert len(signed_heads) == 3
    in_the_way.unlink()
    assert kinds(capturer.finish_all(capturer.stage(groups[1:2]), 5)) == ["f2/s/v1"]
    assert len(signed_heads) == 4
    site.verified()


@pytest.mark.needs("processes")
def test_a_folder_that_is_renamed_during_its_capture_gives_no_version_of_a_part(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody renames 30 files while they are read: the next attempt has them all, under the new name."""
    for number in range(30):
        site.write(f"f/s/draft/{number}", str(number))
    site.write("f/s/other", "other")
    copy, copied = FileReader._copy_to_spool, []

    def rename_and_copy(reader: FileReader, path: bytes, *arguments: Any) -> object:
        copied.append(path)
        if len(copied) == 10:
            (site.watch / "f/s/draft").rename(site.watch / "f/s/final")
        return copy(reader, path, *arguments)

    monkeypatch.setattr(FileReader, "_copy_to_spool", rename_and_copy)
    # A reading order keeps the folder open, whatever its name is; the next order would open it again.
    monkeypatch.setattr(DirectAccess, "opened_in_turn", lambda access: nullcontext(access.open))
    with (
        closing(site.open()) as archive,
        closing(Daemon(archive, load_config(site.config), _quiet, 0.05)) as daemon,
    ):
        remainder = daemon.run_once()
    assert remainder.pending == []
    assert site.tags() == ["f/s/v1"]
    materials = [each["path"] for each in site.json("show", "f/s/v1")["materials"]]
    assert sorted(materials) == sorted([*(f"final/{number}" for number in range(30)), "other"])
    site.verified()


@pytest.mark.needs("processes")
def test_a_file_that_is_deleted_during_its_capture_keeps_nothing_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An editor's temporary file comes and goes, and its folder stays."""
    for name in ("a", "b", "~temporary", "z"):
        site.write(f"f/s/sub/{name}", name)
    copy = FileReader._copy_to_spool

    def delete_and_copy(reader: FileReader, path: bytes, *arguments: Any) -> object:
        (site.watch / "f/s/sub/~temporary").unlink(missing_ok=True)
        return copy(reader, path, *arguments)

    monkeypatch.setattr(FileReader, "_copy_to_spool", delete_and_copy)
    with (
        closing(site.open()) as archive,
        closing(Daemon(archive, load_config(site.config), _quiet, 0.05)) as daemon,
    ):
        daemon.run_once()
    assert site.tags() == ["f/s/v1"]
    assert [each["path"] for each in site.json("show", "f/s/v1")["materials"]] == ["sub/a", "sub/b", "sub/z"]


def _quiet(message: object, problem: str = "", **fields: object) -> None:
    """Report nothing."""
