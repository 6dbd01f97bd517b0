"""Find papers in the notice folder without a notice, for a proposal to a person.

Nothing is recorded without the person's consent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from archiver.filings.register import Filing
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.index import overview


@dataclass(frozen=True, slots=True)
class UnrecordedPaper:
    """A material, perhaps a notice; ``path`` is in the form for people."""

    filing: str
    submission: str
    path: str


def unrecorded_papers(archive: Archive, folder: str, filings: Iterable[Filing]) -> list[UnrecordedPaper]:
    """Return materials of newest versions below a folder of this name, without those attached to a notice.

    Papers are compared by content, so that a renamed one stays recorded.
    """
    recorded_sha256 = {notice.paper_sha256 for filing in filings for notice in filing.notices}
    return [
        UnrecordedPaper(submission.filing, str(submission), names.text(material.path))
        for submission, material in overview.materials_in_folder(archive.index, folder.encode("utf-8"))
        if material.sha256 not in recorded_sha256
    ]
