"""Record the life of a filing: the sheet, notices and answers, decisions on changes, and the end.

The *sheet* of a filing holds its descriptive fields, such as the company, the algorithm and the filing number.
"""

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
from archiver.filings.register import filings_from_events
from archiver.store import names
from archiver.store.resolve import find_filing, find_submission


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateFiling(Request):
    """A request to record fields of a filing's sheet, or a review status shown on the regulator's portal."""

    filing_name: Annotated[str, Argument("filing", TextRule.LOOKED_UP)]
    #: The new values by the name of the field. A day is a text (YYYY-MM-DD), and the products are a list of texts.
    changed_fields: Annotated[Mapping[str, Any], Argument("fields")]
    review_status: Annotated[str | None, Argument("status")] = None
    #: The status in the portal's own words.
    portal_wording: Annotated[str | None, Argument("portal_text")] = None
    #: The day on which the portal showed the status. None: today in the archive's time zone.
    checked_on: Annotated[date | None, Argument("on")] = None
    screenshot_name: Annotated[str | None, Argument("evidence", TextRule.NAMES_ATTACHMENT)] = None
    #: Why a filing number is correct although its form is unknown.
    number_override_reason: Annotated[str | None, Argument("force")] = None
    reported_by: Annotated[str | None, Argument("by")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndFiling(Request):
    """A request to record the deregistration or service closure of a filing."""

    filing_name: Annotated[str, Argument("filing", TextRule.LOOKED_UP)]
    #: The day that people consider the end of the filing. Retention counts from the journal event instead.
    ended_on: Annotated[date, Argument("on")]
    reason: Annotated[str, Argument("reason")]
    reported_by: Annotated[str | None, Argument("by")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AddNotice(Request):
    """A request to record a notice from the regulator."""

    filing_name: Annotated[str, Argument("filing", TextRule.LOOKED_UP)]
    kind: Annotated[str, Argument("kind")]
    received_on: Annotated[date, Argument("received")]
    #: The deadline, if the notice states it as a day.
    due_on: Annotated[date | None, Argument("due")] = None
    #: The deadline, if the notice states it as a number of working days.
    working_days: Annotated[int | None, Argument("days")] = None
    issuer: Annotated[str, Argument("issuer")] = ""
    document_number: Annotated[str, Argument("document")] = ""
    #: The role or person who has to answer. Empty: the person responsible for the filing.
    owner: Annotated[str, Argument("owner")] = ""
    file_name: Annotated[str | None, Argument("file", TextRule.NAMES_ATTACHMENT)] = None
    reported_by: Annotated[str | None, Argument("by")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerNotice(Request):
    """A request to record which submission answers a notice."""

    notice_number: Annotated[int, Argument("number")]
    submission_name: Annotated[str, Argument("submission", TextRule.LOOKED_UP)]
    #: None: the day of the submission to the regulator.
    answered_on: Annotated[date | None, Argument("on")] = None
    reported_by: Annotated[str | None, Argument("by")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideChange(Request):
    """A request to record a person's decision on whether a change is material."""

    change_number: Annotated[int, Argument("number")]
    is_material: Annotated[bool, Argument("material")]
    reason: Annotated[str, Argument("reason")]
    reported_by: Annotated[str | None, Argument("by")] = None


def make_record_context(context: ActionContext, file_name: str | None) -> records.RecordContext:
    """Return the context for the functions of ``records``: the archive, today's date, and the file to record.

    ``file_name`` is the name of the attachment in the request. If ``file_name`` is None, no file is recorded.
    """
    today = clock.today(context.config.zone)
    evidence_file = context.make_evidence_file(file_name)
    return records.RecordContext(context.archive, context.lock_timeout, today, evidence_file)


@action("filing-set")
def update_filing(context: ActionContext, request: UpdateFiling) -> dict[str, Any]:
    """Record fields of a filing's sheet, or the review status, with a screenshot as proof.

    Raises NotFoundError for an unknown filing, and UsageError for a value that cannot be recorded, or if there is
    nothing to record. Nothing is journalled then.
    """
    filing_name = find_filing(context.archive, request.filing_name)
    records.update_sheet(
        make_record_context(context, request.screenshot_name),
        filing_name,
        {
            field_name: clean_typed_value(field_name, field_value)
            for field_name, field_value in request.changed_fields.items()
        },
        review_status=request.review_status,
        portal_text=request.portal_wording,
        checked_on=request.checked_on,
        number_override_reason=request.number_override_reason,
        reported_by=request.reported_by,
    )
    return {"filing": filing_name}


def clean_typed_value(field_name: str, field_value: Any) -> Any:
    """Return a value of the sheet in the form for the journal: each text is normalized, alone or in a list.

    Values of other types are returned unchanged, because ``records.update_sheet`` checks the types. Raises
    UsageError if a text is not UTF-8 or contains control characters.
    """
    if isinstance(field_value, list):
        return [
            names.clean_typed_text(list_item, field_name) if isinstance(list_item, str) else list_item
            for list_item in field_value
        ]
    return names.clean_typed_text(field_value, field_name) if isinstance(field_value, str) else field_value


@action("filing-end")
def end_filing(context: ActionContext, request: EndFiling) -> dict[str, Any]:
    """Record the end of a filing; further retention periods count from this event.

    Raises NotFoundError for an unknown filing, and UsageError without a reason. Nothing is journalled then.
    """
    end_event = end_of_filing.end_filing(
        context.archive,
        find_filing(context.archive, request.filing_name),
        request.ended_on,
        request.reason,
        request.reported_by,
        context.lock_timeout,
    )
    return {"filing": end_event.object}


@action("notice-add")
def add_notice(context: ActionContext, request: AddNotice) -> dict[str, Any]:
    """Record a notice from the regulator together with the document, if one was sent along.

    Returns ``filing``, the name of the filing, and ``number``, the new number of the notice.

    Raises NotFoundError for an unknown filing, and UsageError for an unknown kind or impossible dates. Nothing is
    journalled then.
    """
    filing_name = find_filing(context.archive, request.filing_name)
    notice_number = records.add_notice(
        make_record_context(context, request.file_name),
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
    """Record which submission answers a notice.

    Returns ``filing``, ``submission``, and ``on``, the day of the answer (ISO 8601). Without
    ``request.answered_on``, the day is that of the last submission to the regulator.

    Raises NotFoundError for an unknown notice or submission, and UsageError if the submission belongs to another
    filing, if no version of the submission was submitted to the regulator, or if the notice is answered already.
    Nothing is journalled then.
    """
    archive = context.archive
    notice = records.find_notice(archive, request.notice_number)
    submission = find_submission(archive, request.submission_name)
    filing = filings_from_events(archive.index.life_events(notice.filing))[notice.filing]
    # A submission to the regulator has a tag such as FILING/SUBMISSION/submitted-2.
    submission_records = [record for record in filing.submissions if record.tag.startswith(f"{submission}/")]
    if submission.filing != notice.filing or not submission_records:
        raise UsageError(
            "The submission folder {submission} was not submitted for {filing} and cannot answer notice "
            "{number}. Nothing was recorded. To record the submission, run: archiver submit {submission!q} --on "
            "DATE",
            submission=submission.ref_name,
            filing=notice.filing,
            number=request.notice_number,
        )
    answered_on = request.answered_on or submission_records[-1].submitted_on
    records.answer_notice(
        make_record_context(context, None),
        request.notice_number,
        submission.ref_name,
        answered_on,
        request.reported_by,
    )
    return {"filing": notice.filing, "submission": submission.ref_name, "on": answered_on.isoformat()}


@action("change-decide")
def decide_change(context: ActionContext, request: DecideChange) -> dict[str, Any]:
    """Record whether a change is material; a material change must be submitted to the regulator.

    Raises NotFoundError for an unknown change, and UsageError without a reason or if the change was decided
    already. Nothing is journalled then.
    """
    change = records.decide_change(
        make_record_context(context, None),
        request.change_number,
        request.is_material,
        request.reason,
        request.reported_by,
    )
    return {"filing": change.filing}
