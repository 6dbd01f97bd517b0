"""Find what is open about a version that is about to be signed: its files, the day, and newer versions."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date

from archiver import clock
from archiver.actions.context import ActionContext
from archiver.documents.integrity import (
    OPEN_FOR_WRITING,
    describe_defect,
    find_defect,
    has_only_zeros,
    is_disguised_page,
)
from archiver.errors import LazyMessage
from archiver.filings.check import open_points
from archiver.filings.check.conflict_copies import find_conflict_copy
from archiver.filings.check.open_points import OpenPoint, make_note, make_refusal
from archiver.filings.check.version_choice import VersionChoice, end_of_day
from archiver.filings.expected_materials import EXPECTED_MATERIALS, find_expected
from archiver.intake.exclusion.ignore_rules import IgnoreRules
from archiver.intake.exclusion.litter import INCOMPLETE, LITTER, LITTER_BY_PATTERN, Litter
from archiver.intake.exclusion.stand_ins import find_stand_in
from archiver.model import Material, Submission, Version
from archiver.naming.ref_names import COMMON, RefName
from archiver.store import names
from archiver.store.archive import Archive

_CONFLICT_REASON = LazyMessage("is a conflict copy: {purpose} ({program})")
_PARTIAL_REASON = LazyMessage("is an incomplete transfer: its name matches {pattern} ({program})")
_DOUBTFUL_REASON = LazyMessage("is possibly damaged: {note}")
_NEWER_REASON = LazyMessage("different in {tag}, captured {at}")
_WORSE_REASON = LazyMessage("different in {tag}, captured {at}: {reason}")
_CAPTURED_LATER_REASON = LazyMessage("captured {at}, after the stated day")
#: Patterns of incomplete transfers.  A file with such a name is archived if the settings make an exception.
_PARTIAL_RULES = IgnoreRules([litter.pattern for litter in LITTER if litter.purpose.code == INCOMPLETE.code])


def make_partial_point(path: str, litter: Litter) -> OpenPoint:
    """Return the open point for an incomplete transfer at ``path``, whose name has the pattern of ``litter``."""
    reason = _PARTIAL_REASON.with_fields(pattern=litter.pattern, program=litter.program)
    return make_note(open_points.PARTIAL_TRANSFER, path, reason)


class VersionExamination:
    """Finds what is open about the version to sign."""

    def __init__(
        self,
        context: ActionContext,
        choice: VersionChoice,
        day: date,
        materials: Sequence[Material],
        about_paths: frozenset[bytes],
        may_be_open: Collection[bytes] | None,
    ) -> None:
        """Examine ``materials``, those of the chosen version, for a submission on ``day``.

        ``about_paths`` are files about the submission, which are not part of it.  ``may_be_open`` are the files
        that a program has open, or that have changed; None if nothing is known about the present files.
        """
        self._archive: Archive = context.archive
        self._zone = context.config.zone
        self._expected_names = {**EXPECTED_MATERIALS, **context.config.expected}
        self._choice = choice
        self._day = day
        self._may_be_open = may_be_open
        # ``sha256`` is None for a folder.
        self._files = [material for material in materials if material.sha256 is not None]
        self._submitted_files = [file for file in self._files if file.path not in about_paths]

    def version_points(self) -> Iterator[OpenPoint]:
        """Yield what is open about the version as a whole."""
        if not self._files:
            yield make_refusal(open_points.NO_FILES)
        if self._choice.is_captured_later:
            reason = _CAPTURED_LATER_REASON.with_fields(at=self._local_time(self._choice.version))
            yield make_note(open_points.CAPTURED_LATER, "", reason)

    def material_points(self, damaged_materials: Sequence[Material]) -> Iterator[OpenPoint]:
        """Yield what is open about each file, in the order of the files."""
        lost_digests = {material.sha256 for material in damaged_materials}
        all_paths = {file.path for file in self._files}
        day_end_ns = int(end_of_day(self._day, self._zone).timestamp() * 1e9)
        for file in self._files:
            path = names.name_as_text(file.path)
            if file.size and file.sha256 in lost_digests:
                yield make_refusal(open_points.CONTENT_LOST, path)
        for file in self._submitted_files:
            path = names.name_as_text(file.path)
            if (conflict_copy := find_conflict_copy(file.path, all_paths)) is not None:
                reason = _CONFLICT_REASON.with_fields(purpose=conflict_copy.purpose, program=conflict_copy.program)
                yield make_note(open_points.CONFLICT_COPY, path, reason)
            if (pattern := _PARTIAL_RULES.matching_pattern(file.path.rpartition(b"/")[2])) is not None:
                yield make_partial_point(path, LITTER_BY_PATTERN[pattern])
            yield from self._content_points(file, path, is_lost=file.sha256 in lost_digests)
            if file.mtime_ns >= day_end_ns:
                yield make_note(open_points.CHANGED_LATER, path)

    def _content_points(self, file: Material, path: str, *, is_lost: bool) -> Iterator[OpenPoint]:
        """Yield what is open about the content of a file: nothing, or at most one point."""
        if file.health == OPEN_FOR_WRITING and (self._may_be_open is None or file.path in self._may_be_open):
            yield make_refusal(open_points.CAPTURED_OPEN, path)
        elif (stand_in := find_stand_in(file.path, file.size)) is not None:
            yield make_refusal(open_points.STAND_IN, path, stand_in.reason)
        elif not file.size:
            # Programs create empty hidden files on purpose, such as .gitkeep.
            if not file.path.rpartition(b"/")[2].startswith(b"."):
                yield make_note(open_points.EMPTY, path)
        elif file.sha256 and not is_lost:
            content_path = str(self._archive.content.path(file.sha256))
            if has_only_zeros(content_path):
                yield make_note(open_points.ZEROS, path)
            elif is_disguised_page(content_path, file.path):
                yield make_note(open_points.HTML_PAGE, path)
            elif defect := self._find_defect(file, content_path):
                reason = _DOUBTFUL_REASON.with_fields(note=describe_defect(defect))
                yield make_note(open_points.DOUBTFUL, path, reason)

    def _find_defect(self, file: Material, content_path: str) -> str:
        """Return the code of the defect that a file had at its capture; empty for none.

        A file that was open then was not examined, and is now.
        """
        return find_defect(content_path, file.path) if file.health == OPEN_FOR_WRITING else file.health

    def expected_points(self, kind: str) -> Iterator[OpenPoint]:
        """Yield the materials that the portal asks for in a submission of this kind, and that no file name has.

        The files directly in the folder of the filing count too, because they are submitted with each submission.
        """
        submission = self._choice.version.submission
        common_materials = self._archive.index.materials(Submission(submission.filing, RefName(COMMON)))
        paths = [names.name_as_text(file.path) for file in [*self._files, *common_materials]]
        for expected in find_expected(kind, paths, self._expected_names):
            if not expected.paths:
                yield make_note(open_points.EXPECTED_ABSENT, expected.name)

    def newer_points(self) -> Iterator[OpenPoint]:
        """Yield the files that differ in a newer version of the same folder."""
        newer_version = self._choice.newer_version
        if newer_version is None:
            return
        newer_materials = list(self._archive.index.materials(newer_version.submission, newer_version.number))
        old_digests = _digest_by_path(self._files)
        new_digests = _digest_by_path([material for material in newer_materials if material.sha256 is not None])
        new_file_by_path = {file.path: file for file in newer_materials if file.sha256 is not None}
        fields = {"tag": newer_version.tag, "at": self._local_time(newer_version)}
        for path in sorted(old_digests.keys() | new_digests.keys()):
            if old_digests.get(path) == new_digests.get(path):
                continue
            shown_path, reason = names.name_as_text(path), _NEWER_REASON.with_fields(**fields)
            if (new_file := new_file_by_path.get(path)) is not None:
                # A stand-in in the place of a document concerns people even if they sign an earlier version.
                is_lost = not self._archive.content.has_object(new_file.sha256 or "", new_file.size)
                for point in self._content_points(new_file, shown_path, is_lost=is_lost):
                    reason = _WORSE_REASON.with_fields(**fields, reason=point.reason)
            yield make_note(open_points.NEWER_VERSION, shown_path, reason)

    def _local_time(self, version: Version) -> str:
        """Return the time at which a version was captured, in the configured zone."""
        local_time = clock.parse_time(version.captured_at).astimezone(self._zone)
        return local_time.isoformat(sep=" ", timespec="seconds")


def _digest_by_path(files: Sequence[Material]) -> Mapping[bytes, str | None]:
    """Return the digest of each file, by path."""
    return {file.path: file.sha256 for file in files}
