"""Papers in the notice folder that no notice names yet: proposed to a person, never recorded by themselves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from archiver.filings.register import Filing
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.index import overview


@dataclass(frozen=True, slots=True)
class UnrecordedPaper:
    """A material that may be a notice; ``path`` is readable."""

    filing: str
    submission: str
    path: str


def unclaimed(archive: Archive, folder: str, filings: Iterable[Filing]) -> list[UnrecordedPaper]:
    """Materials of the newest versions that lie in a folder of that name, and whose content no notice has."""
    known = {notice.sha256 for filing in filings for notice in filing.notices}
    return [
        UnrecordedPaper(submission.filing, str(submission), names.text(material.path))
        for submission, material in overview.lying_in(archive.index, folder.encode("utf-8"))
        if material.sha256 not in known
    ]
