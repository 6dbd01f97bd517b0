"""Records the life of a filing: its profile, notices and answers, decisions on changes, its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from archiver import clock
from archiver.actions.context import ActionContext
from archiver.actions.registry import action
from archiver.actions.request_fields import Argument, Request, TextRule
from archiver.errors import UsageError
from archiver.filings import end_of_filing, records
from archiver.filings.register import register
from archiver.store import names
from archiver.store.resolve import find_filing, find_submission


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateFiling(Request):
    """New facts about a filing, and the review status seen on the portal."""

    filing: Annotated[str, Argument("filing", TextRule.LOOKED_UP)]
    #: Changed fields of the profile by name: texts, days as texts, a list of products.
    changed_fields: Annotated[Mapping[str, Any], Argument("fields")]
    review_status: Annotated[str | None, Argument("status")] = None
    #: Copied literally from the portal.
    portal_wording: Annotated[str | None, Argument("portal_text")] = None
    #: The day of the look at the portal; None: today in the archive's time zone.
    checked_on: Annotated[date | None, Argument("on")] = None
    screenshot_name: Annotated[str | None, Argument("evidence", TextRule.NAMES_ATTACHMENT)] = None
    #: Why a number of an unknown form is right all the same.
    number_override_reason: Annotated[str | None, Argument("force")] = None
    reported_by: Annotated[str | None, Argument("by")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndFiling(Request):
    """The end of a filing: deregistered, or its service closed."""

    filing: Annotated[str, Argument("filing", TextRule.LOOKED_UP)]
    #: The day that people mean; retention never counts from it.
    ended_on: Annotated[date, Argument("on")]
    reason: Annotated[str, Argument("reason")]
    reported_by: Annotated[str | None, Argument("by")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AddNotice(Request):
    """A notice of the regulator."""

    filing: Annotated[str, Argument("filing", TextRule.LOOKED_UP)]
    kind: Annotated[str, Argument("kind")]
    received_on: Annotated[date, Argument("received")]
    #: The last day to answer that the notice names.
    due_on: Annotated[date | None, Argument("due")] = None
    #: The time to answer in working days, where the notice names no day.
    working_days: Annotated[int | None, Argument("days")] = None
    issuer: Annotated[str, Argument("issuer")] = ""
    document_number: Annotated[str, Argument("document")] = ""
    #: Who has to answer it; empty: the filing's responsible person.
    owner: Annotated[str, Argument("owner")] = ""
    file_name: Annotated[str | None, Argument("file", TextRule.NAMES_ATTACHMENT)] = None
    reported_by: Annotated[str | None, Argument("by")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerNotice(Request):
    """The submission in answer to a notice."""

    notice_number: Annotated[int, Argument("number")]
    submission: Annotated[str, Argument("submission", TextRule.LOOKED_UP)]
    #: None: the day of the submission to the regulator.
    answered_on: Annotated[date | None, Argument("on")] = None
    reported_by: Annotated[str | None, Argument("by")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideChange(Request):
    """Somebody's decision whether a change is material."""

    change_number: Annotated[int, Argument("number")]
    is_material: Annotated[bool, Argument("material")]
    reason: Annotated[str, Argument("reason")]
    reported_by: Annotated[str | None, Argument("by")] = None


def record_context(context: ActionContext, file_name: str | None) -> records.RecordContext:
    """Return the target of a record, with the attachment under this name."""
    today = clock.today(context.config.zone)
    return records.RecordContext(context.archive, context.lock_timeout, today, context.evidence_file(file_name))


@action("filing-set")
def update_filing(context: ActionContext, request: UpdateFiling) -> dict[str, Any]:
    """Record new facts about a filing, with a screenshot as proof.

    Raises NotFoundError for an unknown filing, UsageError for a value that cannot be recorded.  Nothing is
    journalled then.
    """
    filing_name = find_filing(context.archive, request.filing)
    records.update_sheet(
        record_context(context, request.screenshot_name),
        filing_name,
        {name: _normalize_field(name, value) for name, value in request.changed_fields.items()},
        review_status=request.review_status,
        portal_text=request.portal_wording,
        checked_on=request.checked_on,
        number_override_reason=request.number_override_reason,
        reported_by=request.reported_by,
    )
    return {"filing": filing_name}


def _normalize_field(name: str, value: Any) -> Any:
    """Return a field of the profile in the form for the journal; raises UsageError.

    Values that are no text stay as they are: their kind is checked, and refused, with the others.
    """
    if isinstance(value, list):
        return [names.typed(item, name) if isinstance(item, str) else item for item in value]
    return names.typed(value, name) if isinstance(value, str) else value


@action("filing-end")
def end_filing(context: ActionContext, request: EndFiling) -> dict[str, Any]:
    """Record the end of a filing, the start of its retention periods.

    Raises NotFoundError for an unknown filing, UsageError without a reason.
    """
    event = end_of_filing.end_filing(
        context.archive,
        find_filing(context.archive, request.filing),
        request.ended_on,
        request.reason,
        request.reported_by,
        context.lock_timeout,
    )
    return {"filing": event.object}


@action("notice-add")
def add_notice(context: ActionContext, request: AddNotice) -> dict[str, Any]:
    """Record a notice of the regulator with the document, and return the new number.

    Raises NotFoundError for an unknown filing, UsageError for a kind or dates that cannot be.
    """
    filing_name = find_filing(context.archive, request.filing)
    notice_number = records.add_notice(
        record_context(context, request.file_name),
        filing_name,
        request.kind,
        request.received_on,
        due_on=request.due_on,
        working_days=request.working_days,
        issuer=request.issuer,
        document_number=request.document_number,
        owner=request.owner,
        reported_by=request.reported_by,
    )
    return {"filing": filing_name, "number": notice_number}


@action("notice-answer")
def answer_notice(context: ActionContext, request: AnswerNotice) -> dict[str, Any]:
    """Record the submission in answer to a notice; the default day is the day of the submission.

    Raises NotFoundError for an unknown notice or submission, UsageError if the submission was not made for the
    notice's filing, or the notice is answered already.
    """
    archive = context.archive
    notice = records.find_notice(archive, request.notice_number)
    submission = find_submission(archive, request.submission)
    filing = register(archive.index.life(notice.filing))[notice.filing]
    submissions = [record for record in filing.submissions if record.tag.startswith(f"{submission}/")]
    if submission.filing != notice.filing or not submissions:
        raise UsageError(
            "{submission} was not handed in for {filing}, so it cannot answer notice {number}. Nothing was "
            "recorded. Record the handing-in first: archiver submit {submission!q} --on DATE",
            submission=str(submission),
            filing=notice.filing,
            number=request.notice_number,
        )
    answered_on = request.answered_on or submissions[-1].submitted_on
    records.answer_notice(
        record_context(context, None),
        request.notice_number,
        str(submission),
        answered_on,
        request.reported_by,
    )
    return {"filing": notice.filing, "submission": str(submission), "on": answered_on.isoformat()}


@action("change-decide")
def decide_change(context: ActionContext, request: DecideChange) -> dict[str, Any]:
    """Record whether a change is material, and so must be submitted to the regulator.

    Raises NotFoundError for an unknown change, UsageError without a reason or if it is decided already.
    """
    change = records.decide_change(
        record_context(context, None),
        request.change_number,
        request.is_material,
        request.reason,
        request.reported_by,
    )
    return {"filing": change.filing}
