"""``verify``: everything that can be checked, on its own reading of the files.

Findings are collected, never stopped at; nothing is written.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path

from archiver.errors import Phrase
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
    elsewhere: Container[str] = frozenset(),
) -> Report:
    """Check the whole archive; ``percent`` of the content objects are hashed again.

    ``witnesses``: lines kept elsewhere, that this archive must continue; ``elsewhere``: content that only
    the replica holds.
    """
    report = Report()
    check_permissions(archive.root, report)
    check_repository(archive.repository, report)
    history = check_history(archive.repository, report)
    lfs = archive.repository_path / "lfs"
    away = {sha256 for sha256 in history.referenced if sha256 in elsewhere and sha256 not in history.gone}
    present = check_contents(lfs, history.referenced, {*history.gone, *away}, percent, report, progress)
    if away - present:
        report.note(
            "replica",
            Phrase(
                "{count} contents lie in the replica only; verify --replica checks them.",
                count=len(away - present),
            ),
        )
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
