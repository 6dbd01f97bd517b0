"""Records submissions to the regulator."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from archiver import clock
from archiver.actions.checkpoint_actions import sign_checkpoint
from archiver.actions.context import ActionContext
from archiver.actions.registry import action
from archiver.actions.request_fields import Argument, Request, TextRule
from archiver.errors import LazyMessage, NotFoundError, UsageError
from archiver.filings.submissions import SubmissionFacts, check_complete, submit
from archiver.intake.capture_now import capture_now, check_all_readable, find_differences
from archiver.model import Submission, Version
from archiver.retention.policy import decide
from archiver.store import names
from archiver.store.resolve import find_submission, find_version


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitVersion(Request):
    """A submission to the regulator, in the words of the submitter."""

    submission: Annotated[str, Argument("name", TextRule.LOOKED_UP)]
    #: None: the newest version, after everything finished in the watched folder was captured.
    version_number: Annotated[int | None, Argument("version")] = None
    #: The day on the regulator's portal; retention never counts from it.
    submitted_on: Annotated[date, Argument("on")]
    #: None: told from the folder's name.
    kind: Annotated[str | None, Argument("kind")] = None
    filing_number: Annotated[str | None, Argument("number")] = None
    #: Why a number of an unknown form is right all the same.
    number_override_reason: Annotated[str | None, Argument("force")] = None
    receipt_name: Annotated[str | None, Argument("receipt", TextRule.NAMES_ATTACHMENT)] = None
    reported_by: Annotated[str | None, Argument("by")] = None
    #: Why just this version is signed, although it is not the newest, or not whole.
    exception_reason: Annotated[str | None, Argument("reason", is_omitted_when_empty=True)] = None


@action("submit")
def submit_version(context: ActionContext, request: SubmitVersion) -> dict[str, Any]:
    """Sign the submitted version, keep the receipt, and start the retention.

    A signature cannot be taken back, so every check comes first.  Raises UsageError for a day in the future, a
    kind or number that cannot be, or changes that are not captured yet, NotFoundError for an unknown version, and
    SubmissionRefused if the version cannot be shown whole and no reason for an exception is given.  Nothing is
    recorded then.
    """
    if request.submitted_on > clock.today(context.config.zone):
        raise UsageError("{day} is in the future. Nothing was recorded. Mend --on.", day=request.submitted_on)
    archive = context.archive
    submission = find_submission(archive, request.submission)
    is_newest = request.version_number is None
    version = (
        _capture_newest_version(context, submission)
        if request.version_number is None
        else find_version(archive, submission.tag(request.version_number))
    )
    exception_reason = (request.exception_reason or "").strip() or None
    if not is_newest and exception_reason is None:
        check_all_readable(archive, context.config, submission)
    if is_newest or exception_reason is None:
        check_complete(archive, version)
    event = submit(
        archive,
        version,
        SubmissionFacts(
            submitted_on=request.submitted_on,
            kind=request.kind,
            filing_number=request.filing_number,
            receipt=context.evidence_file(request.receipt_name),
            reported_by=request.reported_by,
            number_override_reason=request.number_override_reason,
            exception_reason=exception_reason,
        ),
        context.lock_timeout,
        context.config.sm3,
    )
    problem = sign_checkpoint(context)
    submitted_version = find_version(archive, version.tag)
    decision = decide(submitted_version, context.disposal_rules.policy, archive.compliance_time())
    return {
        "tag": submitted_version.tag,
        "submitted": event.object,
        "keep_until": decision.keep_until.date().isoformat(),
        "conditions": decision.conditions,
        "problem": problem,
    }


def _capture_newest_version(context: ActionContext, submission: Submission) -> Version:
    """Return the newest version, after every finished change in the watched folder was captured.

    Raises UsageError if changes are not finished yet: they may belong to what was submitted.  Raises NotFoundError
    if the submission has no version.
    """
    archive, config = context.archive, context.config
    capture_now(archive, config, submission, context.lock_timeout)
    pending_paths = find_differences(archive, config, submission)
    if pending_paths:
        raise UsageError(
            LazyMessage.define(
                "{count} changes of {submission} are not archived yet, the first is {path}. Nothing was "
                "recorded. Wait until archiver status shows nothing pending, or name the version with "
                "--version N.",
                singular="{count} change of {submission} is not archived yet: {path}. Nothing was recorded. Wait "
                "until archiver status shows nothing pending, or name the version with --version N.",
            ),
            count=len(pending_paths),
            submission=str(submission),
            path=names.text(pending_paths[0]),
        )
    newest_version = archive.index.latest(submission)
    if newest_version is None:
        raise NotFoundError("The submission {name} has no version. Nothing was recorded.", name=str(submission))
    return newest_version
