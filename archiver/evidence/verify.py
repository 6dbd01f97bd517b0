"""``verify``: everything that can be checked, on its own reading of the files.

Findings are collected, never stopped at; nothing is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from archiver.evidence.contents import Progress, check_contents
from archiver.evidence.disposals import check_outcome
from archiver.evidence.findings import Report
from archiver.evidence.history import check_history
from archiver.evidence.objects import check_files, check_repository
from archiver.evidence.permissions import check_permissions
from archiver.evidence.witness import Witness, contradictions
from archiver.store.archive import Archive


def verify(
    archive: Archive,
    percent: float = 100.0,
    witnesses: Sequence[Witness] = (),
    progress: Progress = lambda _done, _total: None,
) -> Report:
    """Check the whole archive; ``percent`` of the content objects are hashed again.

    ``witnesses``: lines kept elsewhere, that this archive must continue.
    """
    report = Report()
    check_permissions(archive.root, report)
    check_repository(archive.repository, report)
    history = check_history(archive.repository, report)
    lfs = archive.repository_path / "lfs"
    present = check_contents(lfs, history.referenced, history.gone, percent, report, progress)
    check_outcome(present, history, report)
    for witness, why in contradictions(witnesses, history.digests):
        report.add("A046", f"event {witness.seq}", why)
    if _signers(archive) != history.signers:
        report.add("A060", "keys/allowed_signers")
    return report


def verify_without_git(root: Path) -> Report:
    """Check what can be checked of an archive whose settings git must not obey: modes, settings, object files."""
    report = Report()
    check_permissions(root, report)
    check_files(root / "archive.git", report)
    return report


def _signers(archive: Archive) -> bytes:
    try:
        return (archive.keys / "allowed_signers").read_bytes()
    except OSError:
        return b""
