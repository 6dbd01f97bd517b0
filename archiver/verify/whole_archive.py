"""Run every check of an archive, for ``archiver verify``.

The checks read the files with code of their own, and write nothing. A finding does not stop the other checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from archiver.store.git.repository import Repository
from archiver.verify.access_modes import check_access_modes
from archiver.verify.content_objects import Progress, check_content_objects
from archiver.verify.disposals import check_disposal_outcomes
from archiver.verify.findings import VerifyReport
from archiver.verify.git_objects import check_git_files, check_git_repository
from archiver.verify.history import check_history
from archiver.verify.restricted_files import check_restricted_files
from archiver.verify.signed_heads import note_missing_heads, read_noted_heads
from archiver.verify.witness import Witness, find_contradicted_witnesses


def verify_archive(
    root: Path,
    repository: Repository,
    sample_percent: float = 100.0,
    witnesses: Sequence[Witness] = (),
    progress: Progress = lambda _hashed, _total: None,
) -> VerifyReport:
    """Check the whole archive at ``root``, and return all findings and notes.

    ``sample_percent`` (0 to 100) of the content objects, chosen at random, are hashed again. ``witnesses`` are
    lines kept outside of the archive: the journal must contain the checkpoint that each of them names.
    ``progress`` is called with the bytes hashed so far, and the bytes to hash.

    A writer may work on the archive during the check. Refs that belong to events journalled after the beginning of
    the check are not compared.

    Raises StorageError if git cannot be run in the repository, OSError if a folder of the archive is missing.
    """
    report = VerifyReport()
    check_access_modes(root, report)
    check_git_repository(repository, report)
    noted_heads = read_noted_heads(root)
    journal_state = check_history(repository, report)
    note_missing_heads(noted_heads, repository, journal_state, report)
    lfs_folder = repository.path / "lfs"
    present_sha256s = check_content_objects(
        lfs_folder, journal_state.content_sizes, journal_state.destroyed_content, sample_percent, report, progress
    )
    check_restricted_files(root, lfs_folder, journal_state, report)
    check_disposal_outcomes(present_sha256s, journal_state, report)
    for witness, reason in find_contradicted_witnesses(
        witnesses, journal_state.event_digests, journal_state.head_digests
    ):
        report.add_finding("A046", f"event {witness.seq}", reason)
    if _read_allowed_signers(root) != journal_state.allowed_signers:
        report.add_finding("A060", "keys/allowed_signers")
    return report


def verify_files_without_git(root: Path) -> VerifyReport:
    """Check access modes, git settings, hooks and git's object files, without running git.

    Use this for an archive whose git settings were altered: git would obey the settings, and some of them run
    programs. Raises OSError if a folder of the archive is missing.
    """
    report = VerifyReport()
    check_access_modes(root, report)
    check_git_files(root / "archive.git", report)
    return report


def _read_allowed_signers(root: Path) -> bytes:
    """Return the bytes of ``keys/allowed_signers``; empty if the file is missing or unreadable."""
    try:
        return (root / "keys" / "allowed_signers").read_bytes()
    except OSError:
        # The caller reports the file, because an empty list of keys differs from the list in the journal.
        return b""
