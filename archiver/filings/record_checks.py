"""Check facts that people report, before they are journalled.  Pure.

A record in the journal cannot be removed, so :mod:`archiver.filings.records` and
:mod:`archiver.filings.record_corrections` call these checks first.  The *sheet* of a filing is the set of its
fields, such as company and number.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from archiver.errors import UsageError
from archiver.filings.filing_numbers import detect_scheme
from archiver.filings.register import ChangeQuestion, Filing, Notice
from archiver.filings.register_codes import FIELDS, SCHEMES
from archiver.filings.typed_days import parse_day
from archiver.naming.ref_names import RefName
from archiver.store.names import too_long_error

#: The longest text of a field, in characters.  The journal keeps it for ever: any name or address fits, but no
#: pasted document.
_MAX_FIELD_LENGTH = 1000
#: The longest period in the rules is 30 working days, so a number for more than a year must be a typing error.
_MAX_WORKING_DAYS = 366
#: Characters of an invalid field name that a message quotes.
_MAX_QUOTED_LENGTH = 100
#: Fields of the sheet that hold a day in ISO 8601.
_DAY_FIELDS = ("issued_on", "service_start", "service_end")


def check_not_future(day: date, today: date) -> None:
    """Raise UsageError if ``day`` is after ``today``."""
    if day > today:
        raise UsageError("{day} is in the future. Nothing was recorded. Use today or an earlier date.", day=day)


def check_field_types(changed_fields: Mapping[str, Any]) -> None:
    """Check that ``changed_fields`` has only names of FIELDS, and texts of at most _MAX_FIELD_LENGTH characters.

    ``products`` may be a list of such texts.  The journal is never changed, so a value of a wrong type would break
    every later computation of the register.

    Raises UsageError for the first field that is not valid.
    """
    for field_name, field_value in changed_fields.items():
        has_several_texts = field_name == "products" and isinstance(field_value, list)
        field_texts = field_value if has_several_texts else [field_value]
        if field_name not in FIELDS or not all(isinstance(text, str) for text in field_texts):
            raise UsageError(
                "{name} is not a filing field, or its value is invalid. Nothing was recorded.",
                name=str(field_name)[:_MAX_QUOTED_LENGTH],
            )
        if any(len(text) > _MAX_FIELD_LENGTH for text in field_texts):
            raise too_long_error(field_name, _MAX_FIELD_LENGTH)


def check_field_values(
    filing: Filing, changed_fields: Mapping[str, Any], number_override_reason: str | None
) -> None:
    """Check the form of the filing number, the scheme, and the order of the days on a filing's sheet.

    With ``number_override_reason``, the number may have any form.  If a day is not in ``changed_fields``, its
    recorded value is used for the comparisons.

    Raises UsageError for the first value that is not valid.
    """
    if (number := changed_fields.get("number")) and not number_override_reason:
        detect_scheme(number)
    if (scheme := changed_fields.get("scheme")) and scheme not in SCHEMES:
        raise unknown_code_error(scheme, SCHEMES)
    day_by_field = {
        field_name: parse_day(changed_fields[field_name])
        if changed_fields.get(field_name)
        else filing.sheet_day(field_name)
        for field_name in _DAY_FIELDS
    }
    service_start, service_end = day_by_field["service_start"], day_by_field["service_end"]
    issued_on = day_by_field["issued_on"]
    if service_start and service_end and service_end < service_start:
        raise UsageError(
            "The end date of the company's service, {end}, is before the start date {start}. Nothing was "
            "recorded. Correct the dates.",
            end=service_end,
            start=service_start,
        )
    first_submission = filing.submissions[0] if filing.submissions else None
    if issued_on and first_submission and issued_on < first_submission.submitted_on:
        raise before_submission_error(issued_on, first_submission.submitted_on, first_submission.tag)


def check_status_day(filing: Filing, checked_on: date) -> None:
    """Check that a review status was seen on or after the day of the newest submission, if there is one.

    An older status would replace the state that the submission led to.  Raises UsageError if ``checked_on`` is
    before the submission.
    """
    newest_submission = filing.newest_submission()
    if newest_submission is not None and checked_on < newest_submission.submitted_on:
        raise before_submission_error(checked_on, newest_submission.submitted_on, newest_submission.tag)


def check_notice_answer(notice: Notice, answered_on: date) -> None:
    """Raise UsageError if ``notice`` is answered already, or was received after ``answered_on``."""
    if notice.answer_submission is not None:
        raise UsageError(
            "Notice {number} was already answered on {on} with {submission}. Nothing was recorded. To record a "
            "later letter as a new notice, run: archiver notice add",
            number=notice.number,
            on=notice.answered_on,
            submission=notice.answer_submission,
        )
    if answered_on < notice.received_on:
        raise answer_before_notice_error(notice, answered_on)


def answer_before_notice_error(notice: Notice, answered_on: date) -> UsageError:
    """Return the error for an answer before the day on which ``notice`` was received."""
    return UsageError(
        "The answer date {on} is before {received}, when notice {number} was received. Nothing was recorded. "
        "Correct the date.",
        on=answered_on,
        number=notice.number,
        received=notice.received_on,
    )


def check_working_days(working_days: int | None) -> None:
    """Raise UsageError if a notice states a number of working days that is not from 1 to _MAX_WORKING_DAYS."""
    if working_days is not None and not 0 < working_days <= _MAX_WORKING_DAYS:
        raise UsageError(
            "{days} is not from 1 to {most} working days. Nothing was recorded.",
            days=working_days,
            most=_MAX_WORKING_DAYS,
        )


def check_due_day(due_on: date | None, received_on: date) -> None:
    """Raise UsageError if a notice is due before it was received."""
    if due_on is not None and due_on < received_on:
        raise UsageError(
            "The notice deadline {due} is before {received}, when the notice was received. Nothing was recorded. "
            "Correct the dates.",
            due=due_on,
            received=received_on,
        )


def check_change_undecided(question: ChangeQuestion) -> None:
    """Raise UsageError if somebody has already decided whether the change is material."""
    if question.is_material is not None:
        raise UsageError(
            "Change {number} was already decided on {on}. Nothing was recorded. Record a different decision with "
            "the next change, or in the filing materials.",
            number=question.number,
            on=question.decided_on,
        )


def unknown_code_error(code: str, known_codes: tuple[str, ...]) -> UsageError:
    """Return the error for a code, such as a state or a kind, that is not among ``known_codes``."""
    return UsageError(
        "{word} is not valid. Nothing was recorded. Choose one of: {known}",
        word=code,
        known=", ".join(known_codes),
    )


def before_submission_error(day: date, submitted_on: date, submission_tag: RefName) -> UsageError:
    """Return the error for a day before the submission to the regulator with the signed tag ``submission_tag``."""
    return UsageError(
        "{day} is before {submitted}, the submission date of {tag}. Nothing was recorded. Correct the date.",
        day=day,
        submitted=submitted_on,
        tag=submission_tag,
    )
