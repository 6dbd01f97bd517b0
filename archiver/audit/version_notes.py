"""Add to the versions and submissions of a package: the files about submissions, and clocks that were behind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from archiver.audit.package_journal import WrittenReceipt
from archiver.audit.report_model import MaterialLine
from archiver.model import Material, SubmissionRecord, Version
from archiver.store.index.overview import clock_marks_by_tag
from archiver.store.index.queries import Index
from archiver.store.index.submission_files import FileKey, SubmissionFile, list_submission_files


class VersionNotes:
    """The files about submissions to the regulator, and the versions and submissions with a wrong wall clock."""

    def __init__(self, index: Index) -> None:
        """Read the notes about the whole archive from ``index``."""
        files_by_tag: dict[str, list[SubmissionFile]] = defaultdict(list)
        self._roles: dict[tuple[str, FileKey], str] = {}
        for file in list_submission_files(index):
            files_by_tag[file.submission_tag].append(file)
            self._roles[file.submission_tag.split("/", 1)[0], file.key] = file.role
        #: Signed tag of a submission -> the files about it; a submission without such files is left out.
        self.files_by_tag: Mapping[str, Sequence[SubmissionFile]] = dict(files_by_tag)
        self._clock_marks = clock_marks_by_tag(index)

    def mark(self, version: Version, material: Material, material_line: MaterialLine) -> MaterialLine:
        """Return the line with the role of the material, if it is about a submission of the version's filing."""
        file_key = FileKey(material.path, material.sha256 or "")
        return replace(material_line, role=self._roles.get((version.submission.filing, file_key)))

    def describe(self, tag: str) -> dict[str, Any]:
        """Return the members ``about`` and ``clock_mark`` of a version or a submission in ``versions.json``.

        A version or submission of which there is nothing to say has neither.
        """
        members: dict[str, Any] = {}
        if tag in self.files_by_tag:
            members["about"] = [file.as_json() for file in self.files_by_tag[tag]]
        if tag in self._clock_marks:
            members["clock_mark"] = self._clock_marks[tag].as_json()
        return members

    def describe_submission(self, record: SubmissionRecord, receipt: WrittenReceipt) -> dict[str, Any]:
        """Return the object for a submission in ``versions.json``, with the receipt as written to the package."""
        return {
            "tag": record.tag,
            "on": record.on,
            "kind": record.kind,
            "number": record.number,
            "seq": receipt.seq,
            "receipt": receipt.path,
            **({"reason": record.reason} if record.reason else {}),
            **self.describe(record.tag),
            **({"void": True} if record.is_void else {}),
        }
