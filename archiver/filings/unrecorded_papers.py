"""Find papers in the notice folder that no notice names: proposed to a person, never recorded by themselves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from archiver.filings.register import Filing
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.index import overview


@dataclass(frozen=True, slots=True)
class UnrecordedPaper:
    """A material that may be a notice; ``path`` is in the form for people."""

    filing: str
    submission: str
    path: str


def unrecorded_papers(archive: Archive, folder: str, filings: Iterable[Filing]) -> list[UnrecordedPaper]:
    """Return materials of newest versions below a folder with that name, whose content no notice has."""
    recorded_sha256 = {notice.paper_sha256 for filing in filings for notice in filing.notices}
    return [
        UnrecordedPaper(submission.filing, str(submission), names.text(material.path))
        for submission, material in overview.lying_in(archive.index, folder.encode("utf-8"))
        if material.sha256 not in recorded_sha256
    ]
