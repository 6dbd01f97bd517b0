"""List everything that is open about a submission before a version is signed, for ``check`` and ``submit``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from archiver import clock
from archiver.actions.context import ActionContext
from archiver.actions.registry import action
from archiver.actions.request_fields import Argument, Request, TextRule
from archiver.actions.version_examination import VersionExamination, make_partial_point
from archiver.errors import LazyMessage, NotFoundError, UsageError
from archiver.filings.check import open_points
from archiver.filings.check.open_points import OpenPoint, make_note, make_refusal
from archiver.filings.check.version_choice import NAMED, PRESENT_STATE, VersionChoice, choose_version
from archiver.filings.submission_kinds import kind_from_folder
from archiver.filings.submissions import find_damaged_materials
from archiver.intake.exclusion.litter import INCOMPLETE, LITTER_BY_PATTERN
from archiver.intake.path_reasons import IGNORED
from archiver.intake.signing.folder_inspection import FolderInspection, inspect_submission_folder
from archiver.intake.signing.submission_folder import are_finished
from archiver.intake.snapshot import SkippedPath
from archiver.model import Material, Submission
from archiver.store import names
from archiver.store.content.source import StatData
from archiver.store.resolve import find_submission, find_version

KIND_STATED = LazyMessage.define("as stated with --kind", code="kind.stated")
KIND_FROM_FOLDER = LazyMessage.define("from the name of the folder", code="kind.from-folder")
KIND_UNKNOWN = LazyMessage.define(
    "the name of the folder suggests no kind; state the kind with --kind", code="kind.unknown"
)
_CAPTURE_FIRST_REASON = LazyMessage("has changed; submit captures it first")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSubmission(Request):
    """A request to list everything that is open about a submission; nothing is recorded."""

    #: FILING/SUBMISSION.
    submission_name: Annotated[str, Argument("name", TextRule.LOOKED_UP)]
    version_number: Annotated[int | None, Argument("version")] = None
    #: The day shown on the regulator's portal.  None: today.
    submitted_on: Annotated[date | None, Argument("on")] = None
    #: One of ``model.KINDS``.  None: derived from the name of the folder.
    kind: Annotated[str | None, Argument("kind")] = None


@dataclass(frozen=True, slots=True)
class SubmissionCheck:
    """Everything that is open about a submission, and the version that would be signed."""

    choice: VersionChoice
    #: The day of the submission, as stated.
    day: date
    kind: str
    #: One of KIND_STATED, KIND_FROM_FOLDER and KIND_UNKNOWN.
    kind_basis: LazyMessage
    open_points: tuple[OpenPoint, ...]
    #: Files of the version whose content is missing from the archive, or damaged.
    damaged_materials: Sequence[Material]

    def refusing(self, *codes: str) -> list[OpenPoint]:
        """Return the open points that refuse the signature; with ``codes``, only those with one of the codes."""
        return [point for point in self.open_points if point.refuses and (not codes or point.code in codes)]

    def describe(self) -> dict[str, Any]:
        """Return the form for the result of an action, and for ``--json``; the keys must never change.

        Of the points with one code, only the first are listed, because an answer has a limited length.
        """
        newer_version, version = self.choice.newer_version, self.choice.version
        is_captured = self.choice.basis.code != PRESENT_STATE.code
        counts = Counter(point.code for point in self.open_points)
        listed_points: dict[str, list[OpenPoint]] = {}
        for point in self.open_points:
            listed_points.setdefault(point.code, []).append(point)
        return {
            "filing": version.submission.filing,
            "submission": version.submission.name,
            "tag": version.tag if is_captured else None,
            "version": version.number if is_captured else None,
            "captured_at": version.captured_at if is_captured else None,
            "choice": self.choice.basis.with_fields(day=self.day.isoformat()),
            "choice_code": self.choice.basis.code,
            "is_captured_later": self.choice.is_captured_later,
            "newer": newer_version.tag if newer_version else None,
            "on": self.day.isoformat(),
            "kind": self.kind,
            "kind_basis": self.kind_basis,
            "kind_code": self.kind_basis.code,
            "counts": dict(counts),
            "open_points": [
                {
                    "code": point.code,
                    "path": point.path,
                    "reason": point.reason,
                    "reason_code": point.reason.code,
                    "sentence": open_points.OPEN_POINTS[point.code],
                    "refuses": point.refuses,
                }
                for points in listed_points.values()
                for point, _ in zip(points, open_points.select_paths(point.path for point in points), strict=False)
            ],
            "is_refused": bool(self.refusing()),
        }


@action("submission-check")
def check_submission(context: ActionContext, request: CheckSubmission) -> dict[str, Any]:
    """List everything that is open about a submission, as ``submit`` would; record nothing.

    Returns the members of :meth:`SubmissionCheck.describe`.

    Raises UsageError for a day in the future, NotFoundError for an unknown submission or version, and ConfigError
    if the watched folder belongs to another archive.
    """
    day = request.submitted_on or clock.today(context.config.zone)
    check_day(context, day)
    submission = find_submission(context.archive, request.submission_name)
    return collect_open_points(
        context, submission, day, request.version_number, request.kind, is_before_capture=True
    ).describe()


def check_day(context: ActionContext, day: date) -> None:
    """Raise UsageError if ``day`` is in the future."""
    if day > clock.today(context.config.zone):
        raise UsageError("{day} is in the future. Nothing was recorded. Use today or an earlier date.", day=day)


def collect_open_points(
    context: ActionContext,
    submission: Submission,
    day: date,
    version_number: int | None,
    stated_kind: str | None,
    *,
    about_paths: frozenset[bytes] = frozenset(),
    is_before_capture: bool = False,
) -> SubmissionCheck:
    """Choose the version for a submission on ``day``, and find everything that is open about this version.

    ``about_paths`` are files about the submission, which are not part of it.  ``is_before_capture`` means that
    ``submit`` would capture the changes of the folder first; otherwise a change is one that could not be captured.

    Raises NotFoundError for an unknown version or a folder without versions, ConfigError if the watched folder
    belongs to another archive, and OSError or sqlite3.Error if the archive cannot be read.
    """
    archive, config = context.archive, context.config
    versions = archive.index.versions(submission.filing, submission.name)
    if not versions:
        raise NotFoundError(
            (
                "The submission folder {name} has no version. Nothing was recorded. Add files to the folder and "
                "try again."
            ),
            name=submission.ref_name,
        )
    named_version = None if version_number is None else find_version(archive, submission.tag(version_number))
    choice = choose_version(versions, day, config.zone, named_version)
    inspection = inspect_submission_folder(archive, config, submission)
    materials = list(archive.index.materials(submission, choice.version.number))
    is_newest = choice.newer_version is None
    if (
        is_before_capture
        and named_version is None
        and is_newest
        and inspection.changed_states
        and day >= clock.today(config.zone)
    ):
        choice = choice._replace(basis=PRESENT_STATE, is_captured_later=False)
        materials = _overlay_changes(materials, inspection, submission)
    damaged_materials = find_damaged_materials(archive, materials)
    kind = stated_kind or kind_from_folder(submission.folder)
    # A file that has been closed since, and is as it was captured, was captured as a whole.
    may_be_open = {
        _relative_path(path, submission) for path in [*inspection.open_paths, *inspection.changed_states]
    }
    is_folder_known = is_newest and inspection.folder_problem is None
    examination = VersionExamination(
        context, choice, day, materials, about_paths, may_be_open if is_folder_known else None
    )
    points = [
        *_folder_points(inspection, submission, is_named=named_version is not None),
        *(_present_points(context, inspection, submission, choice, is_before_capture) if is_newest else ()),
        *examination.version_points(),
        *examination.material_points(damaged_materials),
        *examination.expected_points(kind),
        *examination.newer_points(),
    ]
    kind_basis = KIND_STATED if stated_kind else KIND_UNKNOWN if kind == "other" else KIND_FROM_FOLDER
    # A link out of the folder, for example, is found in the folder and among the skipped paths.
    unique_points = {(point.code, point.path): point for point in reversed(points)}
    return SubmissionCheck(
        choice, day, kind, kind_basis, tuple(reversed(unique_points.values())), damaged_materials
    )


def _overlay_changes(
    materials: Sequence[Material], inspection: FolderInspection, submission: Submission
) -> list[Material]:
    """Return the materials as they would be after a capture; changed files have an unknown content."""
    material_by_path = {material.path: material for material in materials}
    for path, state in inspection.changed_states.items():
        material_path = _relative_path(path, submission)
        material_by_path.pop(material_path, None)
        if isinstance(state, StatData):
            # An empty digest is the digest of no content, so nothing is looked up by it.
            material_by_path[material_path] = Material(material_path, "", state.size, state.mtime_ns)
    return sorted(material_by_path.values(), key=lambda material: material.path)


def _relative_path(path: bytes, submission: Submission) -> bytes:
    """Return a path of the watched folder relative to the folder of the submission."""
    prefix = submission.prefix
    return path[len(prefix) + 1 :] if prefix and path.startswith(prefix + b"/") else path


def _shown_path(path: bytes, submission: Submission) -> str:
    """Return a path of the watched folder for people, relative to the folder of the submission."""
    return "" if path == submission.prefix else names.name_as_text(_relative_path(path, submission))


def _folder_points(inspection: FolderInspection, submission: Submission, *, is_named: bool) -> Iterator[OpenPoint]:
    """Yield what the folder lacks, or hides.

    For a version that a person names, the folder need not exist any more.
    """
    folder_problem = inspection.folder_problem
    if folder_problem is not None:
        is_missing = folder_problem.code != open_points.UNREADABLE_PATH.code
        yield folder_problem._replace(refuses=not (is_named and is_missing))
    for skipped_path in inspection.unreadable:
        yield make_refusal(
            open_points.UNREADABLE_PATH, _shown_path(skipped_path.path, submission), skipped_path.reason
        )


def _present_points(
    context: ActionContext,
    inspection: FolderInspection,
    submission: Submission,
    choice: VersionChoice,
    is_before_capture: bool,
) -> Iterator[OpenPoint]:
    """Yield what is open about the present state of the folder, which only concerns its newest version."""
    for path in inspection.open_paths:
        yield make_refusal(open_points.BEING_WRITTEN, _shown_path(path, submission))
    if inspection.are_writers_unknown:
        yield make_note(open_points.WRITERS_UNKNOWN)
    is_named = choice.basis.code == NAMED.code
    is_captured_first = is_before_capture and are_finished(inspection.changed_states, context.config)
    for path in inspection.changed_states:
        reason = _CAPTURE_FIRST_REASON if is_captured_first and not is_named else open_points.NOT_CAPTURED
        yield OpenPoint(
            open_points.NOT_CAPTURED.code,
            _shown_path(path, submission),
            reason,
            refuses=not is_named and not is_captured_first,
        )
    for stand_in in inspection.stand_ins:
        if stand_in.path not in inspection.changed_states or not is_named:
            yield make_refusal(open_points.STAND_IN, _shown_path(stand_in.path, submission), stand_in.reason)
    stand_in_paths = {stand_in.path for stand_in in inspection.stand_ins}
    for skipped_path in inspection.skipped:
        if skipped_path.path not in stand_in_paths:
            yield from _skipped_points(skipped_path, submission)


def _skipped_points(skipped_path: SkippedPath, submission: Submission) -> Iterator[OpenPoint]:
    """Yield the open point for a path that is not archived; none for litter, which is no filing document."""
    litter = LITTER_BY_PATTERN.get(skipped_path.value) if skipped_path.code == IGNORED.code else None
    path = _shown_path(skipped_path.path, submission)
    if litter is None:
        yield make_note(open_points.SKIPPED, path, skipped_path.reason)
    elif litter.purpose.code == INCOMPLETE.code:
        yield make_partial_point(path, litter)
