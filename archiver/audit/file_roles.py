"""Tell the files that were submitted from those that are about a submission, such as its receipt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from archiver.audit.report_model import MaterialLine
from archiver.model import Material, Version
from archiver.store.index.submission_files import FileKey, SubmissionFile


class FileRoles:
    """The files about submissions to the regulator, by submission and by content."""

    def __init__(self, submission_files: Iterable[SubmissionFile]) -> None:
        """Take ``submission_files``, those of the whole archive, in the order of the journal."""
        files_by_tag: dict[str, list[SubmissionFile]] = defaultdict(list)
        self._roles: dict[tuple[str, FileKey], str] = {}
        for file in submission_files:
            files_by_tag[file.submission_tag].append(file)
            self._roles[file.submission_tag.split("/", 1)[0], file.key] = file.role
        #: Signed tag of a submission -> the files about it; a submission without such files is left out.
        self.files_by_tag: Mapping[str, Sequence[SubmissionFile]] = dict(files_by_tag)

    def mark(self, version: Version, material: Material, material_line: MaterialLine) -> MaterialLine:
        """Return the line with the role of the material, if it is about a submission of the version's filing."""
        file_key = FileKey(material.path, material.sha256 or "")
        return replace(material_line, role=self._roles.get((version.submission.filing, file_key)))

    def describe_submission(self, submission_tag: str) -> dict[str, list[dict[str, object]]]:
        """Return the member ``about`` of a submission in ``versions.json``; empty without files about it."""
        files = self.files_by_tag.get(submission_tag, ())
        return {"about": [file.as_json() for file in files]} if files else {}
