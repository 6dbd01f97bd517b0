"""Record submissions to the regulator, and files about these submissions, such as receipts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from archiver.actions.checkpoint_actions import try_make_checkpoint
from archiver.actions.context import ActionContext
from archiver.actions.registry import action
from archiver.actions.request_fields import Argument, Request, TextRule
from archiver.actions.submission_check import SubmissionCheck, check_day, collect_open_points
from archiver.errors import LazyMessage, SubmissionRefused, UsageError
from archiver.filings.check.open_points import BEING_WRITTEN, NOT_CAPTURED, OpenPoint
from archiver.filings.submissions import (
    StatedFile,
    SubmissionFacts,
    attach_file,
    check_version_complete,
    record_submission,
)
from archiver.intake.capture_now import capture_now, check_submission_readable
from archiver.model import Submission, Version
from archiver.naming.ref_names import RefName
from archiver.retention.policy import decide_retention
from archiver.store import names
from archiver.store.resolve import find_submission, find_version, ref_spellings


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitVersion(Request):
    """A request to record a submission to the regulator, with the facts as the submitter states them."""

    #: FILING/SUBMISSION.
    submission_name: Annotated[str, Argument("name", TextRule.LOOKED_UP)]
    #: None: the version that was captured by the day of the submission, as ``choose_version`` chooses; every
    #: finished change in the watched folder is captured first.
    version_number: Annotated[int | None, Argument("version")] = None
    #: The day shown on the regulator's portal. Retention counts from the journal event instead.
    submitted_on: Annotated[date, Argument("on")]
    #: One of ``model.KINDS``. None: derived from the name of the folder.
    kind: Annotated[str | None, Argument("kind")] = None
    filing_number: Annotated[str | None, Argument("number")] = None
    #: Why the filing number is correct although its form is unknown.
    number_override_reason: Annotated[str | None, Argument("force")] = None
    receipt_name: Annotated[str | None, Argument("receipt", TextRule.NAMES_ATTACHMENT)] = None
    reported_by: Annotated[str | None, Argument("by")] = None
    #: Why this version is signed despite open points that refuse the signature. Without a ``version_number``, the
    #: reason is only recorded.
    exception_reason: Annotated[str | None, Argument("reason", is_omitted_when_empty=True)] = None
    #: Receipts and notices in the submission folder, which are about the submission and not part of it.
    receipt_paths: Annotated[
        tuple[str, ...] | None, Argument("receipt_paths", TextRule.LOOKED_UP, is_omitted_when_empty=True)
    ] = None
    notice_paths: Annotated[
        tuple[str, ...] | None, Argument("notice_paths", TextRule.LOOKED_UP, is_omitted_when_empty=True)
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachSubmissionFile(Request):
    """A request to record that a captured file is about an earlier submission to the regulator."""

    #: The signed tag of the submission, the tag of the submitted version, or FILING/SUBMISSION for the newest
    #: submission from this folder.
    submission_tag: Annotated[str, Argument("submission", TextRule.LOOKED_UP)]
    #: Relative to the submission folder, as listed by ``show``.
    path: Annotated[str, Argument("path", TextRule.LOOKED_UP)]
    #: One of ``submission_kinds.FILE_ROLES``.
    role: Annotated[str, Argument("role")]
    #: The tag of the version that has the file. None: the newest version of the submission folder.
    version_tag: Annotated[str | None, Argument("version", TextRule.LOOKED_UP)] = None
    reported_by: Annotated[str | None, Argument("by")] = None


@action("submit")
def submit_version(context: ActionContext, request: SubmitVersion) -> dict[str, Any]:
    """Sign the submitted version, journal the submission with the receipt, and start the retention.

    A submission is a set of materials of a filing, and its versions are captured from its folder. A signature
    cannot be withdrawn, so every check comes first.

    Returns ``tag``, the tag of the version; ``submitted``, the signed tag; ``keep_until``, the last day of the
    retention (ISO 8601, in UTC); ``conditions``, a clause with the conditions that extend the retention;
    ``problem``, the reason why the checkpoint afterwards could not be signed (None if it was signed); and
    ``check``, the result of the action ``submission-check`` before the signature.

    Raises UsageError for a day in the future, an unknown kind or form of number, or a change that is not captured
    yet; NotFoundError for an unknown submission, version, or file about the submission; and SubmissionRefused if
    materials are unreadable, lost or damaged, unless the request names a version and the reason for an exception.
    Nothing is recorded then.
    """
    check_day(context, request.submitted_on)
    archive = context.archive
    archive.check_writable()
    submission = find_submission(archive, request.submission_name)
    # A blank reason counts as no reason.
    exception_reason = (request.exception_reason or "").strip() or None
    submission_check = _check_before_signing(context, request, submission, exception_reason)
    submission_event = record_submission(
        archive,
        submission_check.choice.version,
        SubmissionFacts(
            submitted_on=request.submitted_on,
            kind=submission_check.kind,
            filing_number=request.filing_number,
            receipt=context.make_evidence_file(request.receipt_name),
            reported_by=request.reported_by,
            number_override_reason=request.number_override_reason,
            exception_reason=exception_reason,
            stated_files=tuple(
                StatedFile(path, role)
                for role, paths in (("receipt", request.receipt_paths), ("notice", request.notice_paths))
                for path in paths or ()
            ),
            open_points=submission_check.open_points,
        ),
        context.lock_timeout,
        context.config.sm3,
    )
    checkpoint_problem = try_make_checkpoint(context)
    submitted_version = find_version(archive, submission_check.choice.version.tag)
    retention = decide_retention(submitted_version, context.disposal_rules.policy, archive.compliance_time())
    return {
        "tag": submitted_version.tag,
        "submitted": submission_event.object,
        "keep_until": retention.keep_until.date().isoformat(),
        "conditions": retention.conditions_clause,
        "problem": checkpoint_problem,
        "check": submission_check.describe(),
    }


@action("submission-attach")
def attach_submission_file(context: ActionContext, request: AttachSubmissionFile) -> dict[str, Any]:
    """Record that a captured file, such as a receipt that came later, is about an earlier submission.

    Returns ``submitted``, the signed tag of the submission; ``version``, the version with the file; and ``path``.

    Raises NotFoundError for an unknown submission, version, or file, and UsageError if nothing was submitted, if
    the version belongs to another filing, if the role is unknown, or if the file is recorded already. Nothing is
    journalled then.
    """
    archive = context.archive
    submitted_version, submission_tag = _find_submission_record(context, request.submission_tag)
    if request.version_tag is None:
        file_version = archive.index.newest_version(submitted_version.submission) or submitted_version
    else:
        file_version = find_version(archive, request.version_tag)
    if file_version.submission.filing != submitted_version.submission.filing:
        raise UsageError(
            "{tag} and {submission} belong to different filings. Nothing was recorded.",
            tag=file_version.tag,
            submission=submission_tag,
        )
    stated_file = StatedFile(request.path, request.role)
    attach_file(archive, submission_tag, file_version, stated_file, request.reported_by, context.lock_timeout)
    return {"submitted": submission_tag, "version": file_version.tag, "path": request.path}


def _find_submission_record(context: ActionContext, typed_name: str) -> tuple[Version, RefName]:
    """Return the version of a submission to the regulator, and the signed tag of this submission.

    ``typed_name`` is the signed tag, the tag of the version, or FILING/SUBMISSION. If a version or a folder was
    submitted several times, the newest submission is returned. Raises NotFoundError if there is no such tag or
    folder, and UsageError if nothing was submitted.
    """
    archive = context.archive
    if typed_name.count("/") == 1:
        submission = find_submission(archive, typed_name)
        versions = archive.index.versions(submission.filing, submission.name)
    else:
        versions = [find_version(archive, typed_name)]
    recorded_submissions = [(version, record) for version in versions for record in version.submitted]
    if not recorded_submissions:
        raise UsageError(
            "{name} was not submitted. Nothing was recorded. To record the submission, run: archiver submit "
            "{folder!q} --on DATE",
            name=typed_name,
            folder=versions[0].submission.ref_name if versions else typed_name,
        )
    named_tags = ref_spellings(typed_name)
    for version, record in recorded_submissions:
        if record.tag in named_tags:
            return version, record.tag
    newest_version, newest_record = max(recorded_submissions, key=lambda pair: pair[1].at)
    return newest_version, newest_record.tag


def _check_before_signing(
    context: ActionContext, request: SubmitVersion, submission: Submission, exception_reason: str | None
) -> SubmissionCheck:
    """Choose the version to sign, and list its open points; unless a version is named, capture changes first.

    Raises SubmissionRefused if an open point refuses the signature, unless the request names both a version and a
    reason for an exception.  Raises UsageError if changes remain that are not captured, because the regulator may
    have received the changed files; NotFoundError for an unknown version or a folder without versions; ConfigError
    if the watched folder belongs to another archive; and Busy or StorageError if the archive cannot be written.
    """
    archive, config = context.archive, context.config
    if request.version_number is None:
        capture_now(archive, config, submission, context.lock_timeout)
    elif exception_reason is None:
        check_submission_readable(archive, config, submission)
    submission_check = collect_open_points(
        context,
        submission,
        request.submitted_on,
        request.version_number,
        request.kind,
        about_paths=frozenset(
            map(names.name_from_text, [*(request.receipt_paths or ()), *(request.notice_paths or ())])
        ),
    )
    if request.version_number is not None and exception_reason is not None:
        return submission_check
    if not submission_check.refusing(BEING_WRITTEN.code):
        _refuse_pending_changes(submission, submission_check.refusing(NOT_CAPTURED.code))
    check_version_complete(archive, submission_check.choice.version, submission_check.damaged_materials)
    _refuse_open_points(submission_check)
    return submission_check


def _refuse_pending_changes(submission: Submission, pending_points: Sequence[OpenPoint]) -> None:
    """Raise UsageError if changes are not captured yet."""
    if pending_points:
        raise UsageError(
            LazyMessage.define(
                "Cannot submit {submission}: {count} changes are not captured yet; the first is {path}. Nothing "
                "was recorded. Name a version with --version N, or wait until nothing is pending. To check, run: "
                "archiver status",
                singular=(
                    "Cannot submit {submission}: {count} change is not captured yet ({path}). Nothing was "
                    "recorded. Name a version with --version N, or wait until nothing is pending. To check, run: "
                    "archiver status"
                ),
            ),
            count=len(pending_points),
            submission=submission.ref_name,
            path=f"{names.name_as_text(submission.prefix)}/{pending_points[0].path}".lstrip("/"),
        )


def _refuse_open_points(submission_check: SubmissionCheck) -> None:
    """Raise SubmissionRefused, with the first open point that refuses the signature, if any does."""
    refusing_points = submission_check.refusing()
    if refusing_points:
        version = submission_check.choice.version
        raise SubmissionRefused(
            LazyMessage.define(
                "Cannot submit {tag} because of {count} open points; the first is {path}: {reason}. Nothing was "
                "recorded. To sign the version anyway, add --version {number!q} --reason TEXT. To list all open "
                "points, run: archiver check {name!q}",
                singular=(
                    "Cannot submit {tag} because of {count} open point: {path}: {reason}. Nothing was recorded. "
                    "To sign the version anyway, add --version {number!q} --reason TEXT. To list all open points, "
                    "run: archiver check {name!q}"
                ),
            ),
            tag=version.tag,
            count=len(refusing_points),
            path=refusing_points[0].path or version.submission.ref_name,
            reason=refusing_points[0].reason,
            number=version.number,
            name=version.submission.ref_name,
        )
