"""Correct and void records of filings: parse the typed values, check the result, and journal the correction.

A *record* is an event with facts that a person reported.  A correction names *members* of the event's details, or
fields of a filing's sheet.  Not even a correction can be removed from the journal, so every check precedes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple

from archiver.errors import NotFoundError, UsageError
from archiver.filings.filing_numbers import detect_scheme
from archiver.filings.record_checks import (
    answer_before_notice_error,
    check_due_day,
    check_field_types,
    check_field_values,
    check_not_future,
    check_working_days,
    unknown_code_error,
)
from archiver.filings.records import RecordContext
from archiver.filings.register import Filing, Notice, filings_from_events
from archiver.filings.register_codes import NOTICE_KINDS, STATES
from archiver.filings.typed_days import parse_day
from archiver.model import KINDS, FieldChange, LifeEvent
from archiver.naming.ref_names import to_readable
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.events.corrections import (
    CORRECTABLE_MEMBERS,
    REF_MEMBERS,
    SHEET_PREFIX,
    RecordCorrected,
    accepts_value,
    correct_details,
    correctable_values,
    find_member_rule,
    read_member,
)
from archiver.store.events.event_kinds import Action
from archiver.store.events.filing_events import (
    ChangeDecided,
    FilingEnded,
    FilingUpdated,
    NoticeAnswered,
    NoticeReceived,
    VersionSubmitted,
)
from archiver.store.events.value_kinds import DAY, DAYS, FLAG, INTEGER
from archiver.store.resolve import find_submission

#: Characters of a typed text that a message quotes.
_MAX_QUOTED_LENGTH = 100
#: The only field of the sheet whose value is a list, even for a single text.
_PRODUCTS = f"{SHEET_PREFIX}products"
#: A number of up to nine digits: more than any number of days has, and few enough for Python to convert.
_NUMBER = re.compile(r"[0-9]{1,9}")
#: The words for true and false, as in ``archiver change decide --material``.
_FLAG_WORDS = {"yes": True, "no": False}


class RecordedCorrection(NamedTuple):
    """A journalled correction."""

    record: LifeEvent  # the record before the correction
    seq: int  # the number of the event that corrects the record
    changes: list[FieldChange]  # empty if the correction voids the record


def find_record(archive: Archive, seq: int) -> LifeEvent:
    """Return the record whose event has the number ``seq``, or the record that the event ``seq`` corrected.

    Raises NotFoundError if there is no such event, and UsageError if the event is neither a record nor a
    correction.
    """
    for record in archive.index.life_events():
        if record.seq == seq or any(correction.seq == seq for correction in record.corrections):
            if record.action in CORRECTABLE_MEMBERS:
                return record
            break
    newest_point = archive.index.journal_point
    if newest_point is None or not 0 < seq <= newest_point.seq:
        raise NotFoundError(
            "Event {seq} does not exist. Nothing was recorded. To list the records with their events, run: "
            "archiver log --records",
            seq=seq,
        )
    raise UsageError(
        "Event {seq} is not a record that can be corrected. Nothing was recorded. To list the records with their "
        "events, run: archiver log --records",
        seq=seq,
    )


def correct_record(
    context: RecordContext,
    seq: int,
    typed_values: Mapping[str, Any],
    reason: str,
    reported_by: str | None,
) -> RecordedCorrection:
    """Replace fields of a record, and return the correction.

    ``seq`` is the number of the record's event, or of an earlier correction of it.  ``typed_values`` maps names of
    fields to texts, or to a list of texts for the products.  Each name is the name of a field of the sheet, or of
    a member of the event's details.

    Raises NotFoundError for an unknown event, and UsageError if the event is no record, if the record is void or
    has no such field, if a value is not valid or contradicts other recorded facts, if nothing would change, or if
    ``reason`` is blank; and the errors of :meth:`RecordContext.locked_recorder`.  Nothing is recorded then.
    """
    names.check_reason(reason)
    with context.locked_recorder() as record_event:
        record = _find_valid_record(context.archive, seq)
        parsed_changes = [
            _parse_change(context.archive, record, name, typed_value) for name, typed_value in typed_values.items()
        ]
        changes = [change for change in parsed_changes if change.old != change.new]
        if not changes:
            raise UsageError(
                "Event {seq} already has these values. Nothing was recorded. To see them, run: archiver log "
                "--records {filing!q}",
                seq=record.seq,
                filing=record.filing,
            )
        new_values = {change.name: change.new for change in changes}
        # Compute the filing as it would be after the correction, so that the result can be checked as a whole.
        corrected_record = record._replace(details=correct_details(record.details, new_values))
        events = context.archive.index.life_events(record.filing)
        corrected_events = [corrected_record if event.seq == record.seq else event for event in events]
        filing = filings_from_events(corrected_events)[record.filing]
        _check_corrected_record(context, corrected_record, new_values, filing)
        event = record_event(record.filing, _build_correction_details(record, new_values, reason, reported_by))
    return RecordedCorrection(record, event.seq, changes)


def void_record(context: RecordContext, seq: int, reason: str, reported_by: str | None) -> RecordedCorrection:
    """Record that a record never applied, and return the correction.

    Retention is not shortened: a submission that is void still begins a period.  Raises the same errors as
    :func:`correct_record`, except those about fields and values.
    """
    names.check_reason(reason)
    with context.locked_recorder() as record_event:
        record = _find_valid_record(context.archive, seq)
        event = record_event(record.filing, _build_correction_details(record, {}, reason, reported_by))
    return RecordedCorrection(record, event.seq, [])


def field_name(member_name: str) -> str:
    """Return the name of a field as people type it, without the prefix for fields of the sheet."""
    return member_name.removeprefix(SHEET_PREFIX)


def format_value(value: Any) -> str:
    """Return a value of a record as people would type it; a dash for an empty value."""
    if isinstance(value, bool):
        return next(word for word, flag in _FLAG_WORDS.items() if flag is value)
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value in (None, "") else str(to_readable(value))


def _build_correction_details(
    record: LifeEvent, new_values: Mapping[str, Any], reason: str, reported_by: str | None
) -> RecordCorrected:
    """Return the details of the correction's event, which voids the record if ``new_values`` is empty."""
    return RecordCorrected(
        corrected_seq=record.seq,
        corrected_action=record.action,
        new_values=new_values,
        is_void=not new_values,
        reason=reason,
        reported_by=reported_by,
    )


def _find_valid_record(archive: Archive, seq: int) -> LifeEvent:
    """Return the record that :func:`find_record` finds for ``seq``, unless it is void.

    Raises UsageError if the record is void, and the errors of :func:`find_record`.
    """
    record = find_record(archive, seq)
    for correction in record.corrections:
        if correction.is_void:
            raise UsageError(
                "Event {seq} is void since event {void} ({reason}), and cannot be corrected any more. Nothing was "
                "recorded. If it did apply, record it again.",
                seq=record.seq,
                void=correction.seq,
                reason=correction.reason,
            )
    return record


def _parse_change(archive: Archive, record: LifeEvent, typed_name: str, typed_value: Any) -> FieldChange:
    """Return the change of one field from its recorded value to the typed one.

    Raises UsageError if the record has no such field that can be corrected, or if the field cannot have the typed
    value, and NotFoundError if it names a submission folder that does not exist.
    """
    recorded_values = correctable_values(record.action, record.details)
    # People type a field of the sheet without the prefix.
    member_name = typed_name if typed_name in recorded_values else f"{SHEET_PREFIX}{typed_name}"
    if member_name not in recorded_values:
        raise UsageError(
            "Event {seq} has no field {name} that can be corrected. Nothing was recorded. Choose one of: {known}",
            seq=record.seq,
            name=typed_name[:_MAX_QUOTED_LENGTH],
            known=", ".join(map(field_name, recorded_values)),
        )
    if member_name in REF_MEMBERS:
        new_value = find_submission(archive, str(typed_value)).ref_name
    else:
        new_value = _parse_value(record.action, member_name, typed_value)
    if not accepts_value(record.action, member_name, new_value):
        raise _invalid_value_error(typed_name, typed_value)
    return FieldChange(member_name, read_member(record.details, member_name), new_value)


def _parse_value(action: str, member_name: str, typed_value: Any) -> Any:
    """Return the JSON value for a typed value.

    An empty text becomes null if the field may be null.  A text that does not have the form of the field's values
    is returned as typed, and the caller refuses it.  Raises UsageError if a typed day is not a day.
    """
    member_rule = find_member_rule(action, member_name)
    if member_name == _PRODUCTS and isinstance(typed_value, str):
        return [typed_value] if typed_value else []
    if member_name.startswith(SHEET_PREFIX) or member_rule is None or not isinstance(typed_value, str):
        return typed_value
    kind_label = member_rule.kind.label.removesuffix(" or null")
    if not typed_value and (member_rule.kind.accepts(None) or member_rule.is_optional):
        return None
    if kind_label == DAY.label:
        return parse_day(typed_value).isoformat()
    if kind_label == FLAG.label and typed_value in _FLAG_WORDS:
        return _FLAG_WORDS[typed_value]
    if kind_label in (INTEGER.label, DAYS.label) and _NUMBER.fullmatch(typed_value):
        return int(typed_value)
    return typed_value


def _invalid_value_error(typed_name: str, typed_value: Any) -> UsageError:
    """Return the error for a value that the field cannot have."""
    return UsageError(
        "{value} is not a value for the field {name}. Nothing was recorded. Correct it and try again.",
        value=str(typed_value)[:_MAX_QUOTED_LENGTH],
        name=typed_name[:_MAX_QUOTED_LENGTH],
    )


def _check_corrected_record(
    context: RecordContext, record: LifeEvent, new_values: Mapping[str, Any], filing: Filing
) -> None:
    """Check a corrected record in the same way as the command that records such an event.

    ``record`` already has the ``new_values``, and ``filing`` is the filing that results.  Raises UsageError for
    the first value that is not valid.
    """
    match record.action:
        case Action.SUBMIT:
            _check_submission(VersionSubmitted.from_details(record.details), new_values, context.today)
        case Action.FILING_SET:
            _check_sheet(FilingUpdated.from_details(record.details), new_values, filing, context.today)
        case Action.FILING_END:
            check_not_future(FilingEnded.from_details(record.details).ended_on, context.today)
        case Action.NOTICE:
            _check_notice(NoticeReceived.from_details(record.details), filing, context.today)
        case Action.NOTICE_ANSWER:
            _check_answer(context, NoticeAnswered.from_details(record.details), filing)
        case Action.CHANGE_DECISION:
            check_not_future(ChangeDecided.from_details(record.details).decided_on, context.today)
    if "reason" in new_values and record.action in (Action.FILING_END, Action.CHANGE_DECISION):
        names.check_reason(new_values["reason"])


def _check_submission(details: VersionSubmitted, new_values: Mapping[str, Any], today: date) -> None:
    """Check the day, the kind and the new filing number of a submission."""
    check_not_future(details.submitted_on, today)
    if details.kind not in KINDS:
        raise unknown_code_error(details.kind, KINDS)
    if new_values.get("number") and not details.number_reason:
        detect_scheme(new_values["number"])


def _check_sheet(details: FilingUpdated, new_values: Mapping[str, Any], filing: Filing, today: date) -> None:
    """Check the day, the review status and the new fields of a filing's sheet."""
    check_not_future(details.recorded_on, today)
    if details.status is not None and details.status not in STATES:
        raise unknown_code_error(details.status, STATES)
    new_fields = {field_name(name): value for name, value in new_values.items() if name.startswith(SHEET_PREFIX)}
    check_field_types(new_fields)
    check_field_values(filing, new_fields, details.number_reason)


def _check_notice(details: NoticeReceived, filing: Filing, today: date) -> None:
    """Check the kind and the days of a notice, also against the day of its answer, if any."""
    if details.kind not in NOTICE_KINDS:
        raise unknown_code_error(details.kind, NOTICE_KINDS)
    check_not_future(details.received_on, today)
    check_due_day(details.due_on, details.received_on)
    check_working_days(details.working_days)
    _check_answer_order(_find_notice(filing, details.number))


def _check_answer(context: RecordContext, details: NoticeAnswered, filing: Filing) -> None:
    """Check the day of an answer to a notice, and that the submission folder was submitted for the filing."""
    check_not_future(details.answered_on, context.today)
    submission = find_submission(context.archive, details.submission)
    tags = [record.tag for record in filing.submissions]
    if str(submission) != details.submission or not any(tag.startswith(f"{submission}/") for tag in tags):
        raise UsageError(
            "The submission folder {submission} was not submitted for {filing}. Nothing was recorded. To list the "
            "submissions, run: archiver log --records {filing!q}",
            submission=details.submission,
            filing=filing.name,
        )
    _check_answer_order(_find_notice(filing, details.number))


def _find_notice(filing: Filing, number: int) -> Notice | None:
    """Return the filing's notice with this number; None if the notice is void."""
    return next((notice for notice in filing.notices if notice.number == number), None)


def _check_answer_order(notice: Notice | None) -> None:
    """Raise UsageError if a notice was answered before it was received."""
    if notice is not None and notice.answered_on is not None and notice.answered_on < notice.received_on:
        raise answer_before_notice_error(notice, notice.answered_on)
