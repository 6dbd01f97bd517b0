"""``verify``: everything that can be checked, on its own reading of the files.

Findings are collected, never stopped at; nothing is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from archiver.store.git.repository import Repository
from archiver.verify.access_modes import check_permissions
from archiver.verify.content_objects import Progress, check_contents
from archiver.verify.disposals import check_outcome
from archiver.verify.findings import VerifyReport
from archiver.verify.git_objects import check_files, check_repository
from archiver.verify.history import check_history
from archiver.verify.witness import Witness, find_contradictions


def verify(
    root: Path,
    repository: Repository,
    percent: float = 100.0,
    witnesses: Sequence[Witness] = (),
    progress: Progress = lambda _done, _total: None,
) -> VerifyReport:
    """Check the whole archive at ``root``, and return what is not as it should be.

    ``percent`` of the content objects are hashed again.  ``witnesses``: lines kept elsewhere, that this
    archive must continue.  Raises StorageProblem where git cannot be run there.
    """
    report = VerifyReport()
    check_permissions(root, report)
    check_repository(repository, report)
    history = check_history(repository, report)
    lfs = repository.path / "lfs"
    present = check_contents(lfs, history.referenced, history.gone, percent, report, progress)
    check_outcome(present, history, report)
    for witness, why in find_contradictions(witnesses, history.digests):
        report.add("A046", f"event {witness.seq}", why)
    if _read_signers(root) != history.signers:
        report.add("A060", "keys/allowed_signers")
    return report


def verify_without_git(root: Path) -> VerifyReport:
    """Check what can be checked of an archive whose settings git must not obey: modes, settings, object files."""
    report = VerifyReport()
    check_permissions(root, report)
    check_files(root / "archive.git", report)
    return report


def _read_signers(root: Path) -> bytes:
    try:
        return (root / "keys" / "allowed_signers").read_bytes()
    except OSError:
        # Missing or unreadable, it is not what the journal says: that is the finding.
        return b""
