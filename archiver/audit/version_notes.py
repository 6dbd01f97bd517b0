"""Collect notes on the versions and submissions of a package: files about submissions, and wrong wall clocks."""

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
    """Notes about versions and submissions: the files about a submission, and wall clocks that were behind."""

    def __init__(self, index: Index) -> None:
        """Read the notes about the whole archive from ``index``."""
        files_by_tag: dict[str, list[SubmissionFile]] = defaultdict(list)
        self._role_by_filing_and_file: dict[tuple[str, FileKey], str] = {}
        for file in list_submission_files(index):
            files_by_tag[file.submission_tag].append(file)
            filing_name = file.submission_tag.split("/", 1)[0]
            self._role_by_filing_and_file[filing_name, file.key] = file.role
        #: Signed tag of a submission -> the files about the submission, at least one.
        self.files_by_tag: Mapping[str, Sequence[SubmissionFile]] = dict(files_by_tag)
        self._clock_marks = clock_marks_by_tag(index)

    def mark(self, version: Version, material: Material, material_line: MaterialLine) -> MaterialLine:
        """Return a copy of ``material_line`` with the role of the material.

        The role is None unless the material is about a submission of the version's filing, such as a receipt.
        """
        file_key = FileKey(material.path, material.sha256 or "")
        role = self._role_by_filing_and_file.get((version.submission.filing, file_key))
        return replace(material_line, role=role)

    def describe(self, tag: str) -> dict[str, Any]:
        """Return the members ``about`` and ``clock_mark`` of a version or a submission in ``versions.json``.

        ``tag`` is the tag of a version, or the signed tag of a submission.  A member without a note is left out.
        """
        members: dict[str, Any] = {}
        if tag in self.files_by_tag:
            members["about"] = [file.as_json() for file in self.files_by_tag[tag]]
        if tag in self._clock_marks:
            members["clock_mark"] = self._clock_marks[tag].as_json()
        return members

    def describe_submission(self, record: SubmissionRecord, receipt: WrittenReceipt) -> dict[str, Any]:
        """Return the JSON object for a submission in ``versions.json``, with its receipt in the package."""
        return {
            "tag": record.tag,
            "on": record.on,
            "kind": record.kind,
            "number": record.number,
            "seq": receipt.seq,
            "receipt": receipt.path,
            **({"reason": record.reason} if record.reason else {}),
            **({"open_points": list(record.open_points)} if record.open_points else {}),
            **self.describe(record.tag),
            **({"void": True} if record.is_void else {}),
        }
