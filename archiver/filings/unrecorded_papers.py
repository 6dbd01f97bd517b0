"""Find papers in notice folders that belong to no recorded notice, to propose them to a person.

Nothing is recorded without the person's consent.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from archiver.filings.register import Filing
from archiver.naming.ref_names import RefName
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.index import overview


class UnrecordedPaper(NamedTuple):
    """A file in a notice folder that may be a notice which nobody has recorded."""

    filing: RefName  # name of the filing, as in refs
    submission: RefName  # FILING/SUBMISSION, as in refs
    path: str  # readable, relative to the folder of the submission
    watched_path: bytes  # raw, relative to the watched folder


def find_unrecorded_papers(
    archive: Archive, notice_folder: str, filings: Iterable[Filing]
) -> list[UnrecordedPaper]:
    """Return the files in notice folders that are not attached to any recorded notice.

    A notice folder is any folder named ``notice_folder``, at any depth. Only the newest version of each submission
    is searched. Files are compared by content, so a renamed paper still counts as recorded.

    The result is ordered by filing, submission and path.
    """
    recorded_digests = {notice.paper_sha256 for filing in filings for notice in filing.notices}
    return [
        UnrecordedPaper(
            filing=submission.filing,
            submission=submission.ref_name,
            path=names.name_as_text(material.path),
            watched_path=b"/".join(filter(None, (submission.prefix, material.path))),
        )
        for submission, material in overview.materials_in_folder(archive.index, notice_folder.encode("utf-8"))
        if material.sha256 not in recorded_digests
    ]
