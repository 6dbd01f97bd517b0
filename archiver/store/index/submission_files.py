"""Query the index for files about a submission to the regulator, which are not part of the submission."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from archiver.model import Version
from archiver.naming.ref_names import RefName
from archiver.store import names
from archiver.store.events.digests import name_algorithm, parse_sha256
from archiver.store.events.event_kinds import Action
from archiver.store.index.queries import Index

#: Selects the events that name such files; few submissions do, and the others need not be parsed.
_SELECT_FILE_EVENTS = f"""
select seq, at, user, action, details from life
where (?1 is null or filing = ?1) and (action = '{Action.SUBMISSION_FILE}'
    or action = '{Action.SUBMIT}' and instr(details, '"about"'))
order by seq
"""


class FileKey(NamedTuple):
    """A content at a path of a submission folder."""

    path: bytes
    sha256: str


class SubmissionFile(NamedTuple):
    """A receipt or a notice that is about a submission to the regulator."""

    submission_tag: RefName  # the signed tag of the submission
    version_tag: RefName  # a version that has the file
    path: str  # readable, relative to the submission folder
    sha256: str
    role: str  # one of ``submission_kinds.FILE_ROLES``
    seq: int  # number of the event that lists the file: the submission's own event, or a later one
    at: str  # the wall clock of that event
    recorded_by: str  # the person who listed the file later; empty if the submission's own event lists it

    @property
    def folder_name(self) -> RefName:
        """The submission folder that has the file, as FILING/SUBMISSION."""
        return RefName(self.version_tag.rpartition("/")[0])

    @property
    def key(self) -> FileKey:
        """The path and the content of the file, by which comparisons of versions recognize and ignore it."""
        return FileKey(names.name_from_text(self.path), self.sha256)

    def as_json(self) -> dict[str, Any]:
        """Return the file for ``--json`` and for a package; the keys must never change."""
        return {
            "path": self.path,
            "digest": name_algorithm("sha256", self.sha256),
            "role": self.role,
            "version": self.version_tag,
            "seq": self.seq,
        }


def list_submission_files(index: Index, filing_name: str | None = None) -> list[SubmissionFile]:
    """Return the files about the submissions of a filing, or of all filings, in the order of the journal."""
    from archiver.store.events.filing_events import SubmissionFileAdded, VersionSubmitted

    submission_files = []
    for seq, at, user, action, details_json in index.query(_SELECT_FILE_EVENTS, (filing_name,)):
        details = json.loads(details_json)
        if action == Action.SUBMISSION_FILE:
            addition = SubmissionFileAdded.from_details(details)
            submission_files.append(
                SubmissionFile(
                    addition.submission,
                    addition.version,
                    addition.path,
                    parse_sha256(addition.digest),
                    addition.role,
                    seq,
                    at,
                    addition.reported_by or user,
                )
            )
            continue
        submitted = VersionSubmitted.from_details(details)
        submission_files += [
            SubmissionFile(
                submitted.tag,
                submitted.version,
                listed_file["path"],
                parse_sha256(listed_file["digest"]),
                listed_file["role"],
                seq,
                at,
                "",
            )
            for listed_file in submitted.about or ()
        ]
    return submission_files


def files_of_version(index: Index, version: Version) -> list[SubmissionFile]:
    """Return the files about the submissions of ``version`` to the regulator; another version may have them."""
    signed_tags = {submission_record.tag for submission_record in version.submitted}
    if not signed_tags:
        return []
    submission_files = list_submission_files(index, version.submission.filing)
    return [file for file in submission_files if file.submission_tag in signed_tags]


def find_file_keys(index: Index, versions: Iterable[Version]) -> frozenset[FileKey]:
    """Return the files about any submission of the filings of ``versions``, for comparisons to ignore."""
    filing_names = {version.submission.filing for version in versions}
    return frozenset(
        file.key for filing_name in filing_names for file in list_submission_files(index, filing_name)
    )
