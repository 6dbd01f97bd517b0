"""``verify``: every check of an archive, with an independent reading of the files.

A finding stops nothing: all findings are collected. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from archiver.store.git.repository import Repository
from archiver.verify.access_modes import check_permissions
from archiver.verify.content_objects import Progress, check_content
from archiver.verify.disposals import check_outcomes
from archiver.verify.findings import VerifyReport
from archiver.verify.git_objects import check_files, check_repository
from archiver.verify.history import check_history
from archiver.verify.witness import Witness, find_contradictions


def verify(
    root: Path,
    repository: Repository,
    percent: float = 100.0,
    witnesses: Sequence[Witness] = (),
    progress: Progress = lambda _hashed, _total: None,
) -> VerifyReport:
    """Check the whole archive at ``root``, and return all findings.

    ``percent`` of the content objects are hashed again. The journal must continue each of the ``witnesses``.

    A writer may go on meanwhile: what newer events create is left to the next check. Raises StorageError if git
    cannot be run in the repository.
    """
    report = VerifyReport()
    check_permissions(root, report)
    check_repository(repository, report)
    state = check_history(repository, report)
    lfs_folder = repository.path / "lfs"
    present = check_content(lfs_folder, state.content_sizes, state.destroyed_content, percent, report, progress)
    check_outcomes(present, state, report)
    for witness, reason in find_contradictions(witnesses, state.event_digests):
        report.add_finding("A046", f"event {witness.seq}", reason)
    if _read_allowed_signers(root) != state.allowed_signers:
        report.add_finding("A060", "keys/allowed_signers")
    return report


def verify_without_git(root: Path) -> VerifyReport:
    """Check modes, settings and object files alone, for an archive whose settings git must not obey."""
    report = VerifyReport()
    check_permissions(root, report)
    check_files(root / "archive.git", report)
    return report


def _read_allowed_signers(root: Path) -> bytes:
    try:
        return (root / "keys" / "allowed_signers").read_bytes()
    except OSError:
        # Missing or unreadable, it is not what the journal says: that is the finding.
        return b""
