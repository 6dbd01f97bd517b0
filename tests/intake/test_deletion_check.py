"""What proves that missing files were deleted, without a daemon."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from archiver.intake.absence.deletion_check import DeletionCheck
from archiver.intake.exclusion.ignore_rules import IgnoreRules
from archiver.intake.folder.access import DirectAccess
from archiver.intake.scan import Scanner
from archiver.intake.snapshot import Snapshot, State


class Folder:
    """A watched folder, and what is archived of it."""

    def __init__(self, root: Path, snapshot: Snapshot) -> None:
        self.root, self.snapshot = root, snapshot
        self.access = DirectAccess(root)

    def archive(self, *paths: str) -> None:
        for path in paths:
            self.write(path)
        # Without patterns, as a release of before archived what is litter now.
        self.snapshot.record(Scanner(self.access, IgnoreRules([])).scan(self.snapshot).changed)

    def write(self, path: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(path)

    def remove(self, *paths: str) -> None:
        for path in paths:
            (self.root / path).unlink()
            folder = (self.root / path).parent
            while folder != self.root and not any(folder.iterdir()):
                folder.rmdir()
                folder = folder.parent

    def changed(self) -> dict[bytes, State]:
        return Scanner(self.access, IgnoreRules.with_litter([])).scan(self.snapshot).changed

    def missing_count(self, *due: str, is_held: bool = False) -> int:
        """Examine what a scan finds or, if given, only the paths that are due before the next scan."""
        changed = self.changed()
        states = {os.fsencode(path): changed[os.fsencode(path)] for path in due} if due else changed
        check = DeletionCheck(self.access, self.snapshot, IgnoreRules.with_litter([]))
        return check.examine(states, is_held=is_held).missing_count


@pytest.fixture
def folder(root: Path, snapshot: Snapshot) -> Folder:
    return Folder(root, snapshot)


def test_everything_known_is_gone(folder: Folder) -> None:
    folder.archive("推荐/首次/甲", "搜索/首次/乙")
    folder.remove("推荐/首次/甲", "搜索/首次/乙")
    assert folder.missing_count() == 2


def test_one_known_file_is_proof(folder: Folder) -> None:
    folder.archive("推荐/首次/甲", "搜索/首次/乙")
    folder.remove("推荐/首次/甲")
    assert folder.missing_count() == 0


@pytest.mark.parametrize("litter", [".DS_Store", "#recycle/甲", "@eaDir/甲", "推荐/Thumbs.db"])
def test_litter_that_was_archived_once_is_no_proof(folder: Folder, litter: str) -> None:
    """It also stands where a share is not mounted."""
    folder.archive("推荐/首次/甲", litter)
    folder.remove("推荐/首次/甲")
    (folder.root / litter).unlink()
    folder.write(litter)
    if litter.startswith("推荐"):
        # A person has left the filing's folder, with litter in it.
        assert folder.missing_count() == 0
    else:
        assert folder.missing_count() == 1


def test_the_folder_above_a_removed_submission_is_proof(folder: Folder) -> None:
    """Otherwise the first user who tidies up would stop the whole archive."""
    folder.archive("推荐/首次/甲")
    folder.remove("推荐/首次/甲")
    (folder.root / "推荐").mkdir()
    assert folder.missing_count() == 0


def test_what_has_replaced_the_only_file_is_proof(folder: Folder) -> None:
    """Without a folder above it, nothing else could prove that a person did that."""
    folder.archive("报告")
    folder.remove("报告")
    (folder.root / "报告").symlink_to("报告.docx")
    assert folder.missing_count() == 0
    folder.remove("报告")
    folder.write("报告/首次/甲")
    assert folder.missing_count() == 0
    assert folder.missing_count("报告/首次/甲") == 0
    assert folder.missing_count(is_held=True) == 1


def test_what_somebody_makes_anew_in_an_empty_share_is_no_proof(folder: Folder) -> None:
    """An officer sees that everything is gone, makes the folder again, and copies a document into it."""
    folder.archive("推荐/首次/甲", "搜索/首次/乙")
    folder.remove("推荐/首次/甲", "搜索/首次/乙")
    assert folder.missing_count() == 2
    (folder.root / "推荐").mkdir()
    assert folder.missing_count(is_held=True) == 2
    folder.write("推荐/首次/甲")
    os.utime(folder.root / "推荐/首次/甲", (1, 1))
    assert folder.missing_count(is_held=True) == 2


def test_an_archived_file_that_returns_is_proof(folder: Folder) -> None:
    folder.archive("推荐/首次/甲", "搜索/首次/乙")
    away = folder.root.with_name("away")
    folder.root.rename(away)
    folder.root.mkdir()
    assert folder.missing_count() == 2
    # As of a backup: with the size and mtime.
    shutil.copytree(away / "推荐", folder.root / "推荐")
    assert folder.missing_count(is_held=True) == 0


def test_after_everything_was_written_anew_nothing_is_missing(folder: Folder) -> None:
    folder.archive("推荐/首次/甲", "搜索/首次/乙")
    folder.remove("推荐/首次/甲", "搜索/首次/乙")
    for path in ("推荐/首次/甲", "搜索/首次/乙"):
        folder.write(path)
        os.utime(folder.root / path, (1, 1))
    assert folder.missing_count(is_held=True) == 0


def test_a_new_file_is_not_captured_while_everything_is_gone_unnoticed(folder: Folder) -> None:
    """Captured, it would be the known file that proves the deletion of all others at the next scan."""
    folder.archive("推荐/首次/甲", "搜索/首次/乙")
    folder.remove("推荐/首次/甲", "搜索/首次/乙")
    folder.write("别的/首次/丙")
    assert folder.missing_count("别的/首次/丙") == 2


def test_a_new_file_is_captured_beside_a_known_one(folder: Folder) -> None:
    folder.archive("推荐/首次/甲")
    folder.write("别的/首次/丙")
    assert folder.missing_count("别的/首次/丙") == 0


def test_the_first_file_of_an_archive_needs_no_proof(folder: Folder) -> None:
    folder.write("推荐/首次/甲")
    assert folder.missing_count() == 0


def test_files_in_a_locked_folder_are_not_gone(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """They neither stop the capture of others, nor count as deleted."""
    folder.archive("推荐/首次/甲")
    (folder.root / "推荐/首次/甲").rename(folder.root / "推荐/首次/nonsense")
    monkeypatch.setattr(folder.access, "is_locked", lambda path: path == "推荐/首次".encode())
    folder.write("别的/首次/丙")
    check = DeletionCheck(folder.access, folder.snapshot, IgnoreRules.with_litter([]))
    deletions = check.examine({"推荐/首次/甲".encode(): None, "别的/首次/丙".encode(): None})
    assert deletions.unseen == {"推荐/首次/甲".encode()}
    assert deletions.missing_count == 0


def test_a_file_that_cannot_be_looked_at_is_not_gone(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.archive("推荐/首次/甲")

    def fail(path: bytes) -> bool:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(folder.access, "is_locked", fail)
    (folder.root / "推荐/首次/甲").unlink()
    deletions = DeletionCheck(folder.access, folder.snapshot, IgnoreRules([])).examine(
        {"推荐/首次/甲".encode(): None}
    )
    assert deletions == ({"推荐/首次/甲".encode()}, 0)


def test_files_on_a_server_that_the_automounter_cannot_reach_are_not_gone(folder: Folder) -> None:
    """With an indirect map, the kernel says ENOENT for the mount point itself."""
    folder.archive("推荐/首次/甲", "搜索/首次/乙")
    folder.remove("推荐/首次/甲")
    folder.access.unmounted_automounts = frozenset({"推荐/首次".encode()})
    deletions = DeletionCheck(folder.access, folder.snapshot, IgnoreRules([])).examine(folder.changed())
    assert deletions == ({"推荐/首次/甲".encode()}, 0)


@pytest.mark.parametrize("replacement", ["nothing", "file"])
def test_a_watched_folder_that_vanishes_during_the_check_proves_nothing(folder: Folder, replacement: str) -> None:
    """It was there at the beginning of the turn; the check went round in circles."""
    folder.archive("推荐/首次/甲")
    deleted = {"推荐/首次/甲".encode(): None}
    shutil.rmtree(folder.root)
    if replacement == "file":
        folder.root.write_text("1")
    check = DeletionCheck(folder.access, folder.snapshot, IgnoreRules.with_litter([]))
    found = check.examine(deleted)
    assert found.unseen == set(deleted)
