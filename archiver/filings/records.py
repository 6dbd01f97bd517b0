"""Check and journal facts reported by people: sheets, reviews, notices and answers, decisions on changes.

A record in the journal cannot be taken back, so every check comes first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import IO, Any

from archiver.errors import NotFoundError, UsageError
from archiver.filings.evidence_file import EvidenceFile
from archiver.filings.filing_numbers import detect_scheme
from archiver.filings.register import (
    FIELDS,
    NOTICE_KINDS,
    SCHEMES,
    STATES,
    ChangeQuestion,
    Filing,
    Notice,
    register,
)
from archiver.filings.typed_days import parse_day
from archiver.model import Event
from archiver.store.archive import Archive
from archiver.store.events.attached_files import EVIDENCE
from archiver.store.events.event_details import EventDetails
from archiver.store.events.filing_events import ChangeDecided, FilingUpdated, NoticeAnswered, NoticeReceived
from archiver.store.writer import Draft

#: The journal keeps a sheet for ever: room for any name or address, and not for a pasted document.
_MAX_FIELD_LENGTH = 1000
#: The longest periods of the rules have 30 working days: more than a year's worth is a typing error.
_MAX_WORKING_DAYS = 366
_DAY_FIELDS = ("issued_on", "service_start", "service_end")


@dataclass(frozen=True, slots=True)
class RecordContext:
    """The target of a record, and the values needed for every record beside the facts."""

    archive: Archive
    lock_timeout: float  # seconds to wait for the writer's lock
    today: date  # in the archive's time zone, for the people who use it
    evidence_file: EvidenceFile | None = None  # journalled with the record

    def read_filing(self, filing_name: str) -> Filing:
        """Return a filing of the register; an empty filing if nothing was recorded yet."""
        return register(self.archive.index.life(filing_name)).get(filing_name) or Filing(filing_name)

    @contextmanager
    def locked_recorder(self) -> Iterator[Callable[[str, EventDetails], Event]]:
        """Hold the writer's lock, and yield a function to journal (filing, details) with the evidence file.

        A check made under the lock stays true until the event is written.

        Raises Busy and StorageError as :meth:`Archive.writing` does.
        """
        evidence_file = self.evidence_file
        attachments = {evidence_file.journal_name(EVIDENCE): evidence_file.stream} if evidence_file else {}
        with self.archive.writing(self.lock_timeout) as writer:
            yield lambda filing_name, details: writer.append(Draft(filing_name, details, attachments))


def update_sheet(
    context: RecordContext,
    filing_name: str,
    changed_fields: Mapping[str, Any],
    *,
    review_status: str | None = None,
    portal_text: str | None = None,
    checked_on: date | None = None,
    number_override_reason: str | None = None,
    reported_by: str | None = None,
) -> Event:
    """Change fields of a filing's sheet, and record a look at the review status.

    ``checked_on`` is the day of that look, None for today.  ``number_override_reason`` says why a filing number of
    an unknown form is right.

    Raises UsageError if there is nothing to record, or a field, status or day cannot be; nothing is recorded then.
    """
    recorded_on = checked_on or context.today
    check_not_future(context, recorded_on)
    _check_field_types(changed_fields)
    if review_status is not None and review_status not in STATES:
        raise _unknown_code_error(review_status, STATES)
    if not changed_fields and review_status is None:
        raise UsageError("There is nothing to set. Nothing was recorded. See: archiver filing set --help")
    details = FilingUpdated(
        fields=dict(changed_fields),
        recorded_on=recorded_on,
        reported_by=reported_by,
        number_reason=number_override_reason,
        status=review_status,
        portal_text=portal_text,
        evidence=context.evidence_file.display_name if context.evidence_file else None,
    )
    with context.locked_recorder() as record:
        filing = context.read_filing(filing_name)
        _check_field_values(filing, changed_fields, number_override_reason)
        newest = filing.newest_submission()
        if (
            review_status is not None
            and checked_on is not None
            and newest is not None
            and checked_on < newest.submitted_on
        ):
            raise _before_submission_error(checked_on, newest.submitted_on, newest.tag)
        return record(filing_name, details)


def _check_field_types(fields: Mapping[str, Any]) -> None:
    """Check names of fields, and types and lengths of values; raises UsageError.

    A value of another type, once journalled, would be in the way of every reader for good.
    """
    for name, value in fields.items():
        texts = value if name == "products" and isinstance(value, list) else [value]
        if name not in FIELDS or not all(
            isinstance(text, str) and len(text) <= _MAX_FIELD_LENGTH for text in texts
        ):
            raise UsageError(
                "{name} is no field of a filing's sheet, or its value cannot be. Nothing was recorded.",
                name=str(name)[:100],
            )


def _check_field_values(filing: Filing, fields: Mapping[str, Any], number_override_reason: str | None) -> None:
    """Check the form of number and scheme, and the order of the days, with the fields recorded before.

    Raises UsageError.
    """
    if (number := fields.get("number")) and not number_override_reason:
        detect_scheme(number)
    if (scheme := fields.get("scheme")) and scheme not in SCHEMES:
        raise _unknown_code_error(scheme, SCHEMES)
    days = {name: _parse_optional_day(fields.get(name) or filing.fields.get(name)) for name in _DAY_FIELDS}
    service_start, service_end, issued_on = days["service_start"], days["service_end"], days["issued_on"]
    if service_start and service_end and service_end < service_start:
        raise UsageError(
            "The service would end on {end}, before its start on {start}. Nothing was recorded. Mend the date.",
            end=service_end,
            start=service_start,
        )
    first_submission = filing.submissions[0] if filing.submissions else None
    if issued_on and first_submission and issued_on < first_submission.submitted_on:
        raise _before_submission_error(issued_on, first_submission.submitted_on, first_submission.tag)


def add_notice(
    context: RecordContext,
    filing_name: str,
    kind: str,
    received_on: date,
    *,
    due_on: date | None = None,
    working_days: int | None = None,
    issuer: str = "",
    document_number: str = "",
    owner: str = "",
    reported_by: str | None = None,
) -> int:
    """Record a notice of the regulator, and return the new number.

    ``due_on`` and ``working_days`` are the time to answer as the notice states it, if any; ``owner`` is the role
    or person to answer.

    Raises UsageError for an unknown kind, or days that cannot be; nothing is recorded then.
    """
    if kind not in NOTICE_KINDS:
        raise _unknown_code_error(kind, NOTICE_KINDS)
    if working_days is not None and not 0 < working_days <= _MAX_WORKING_DAYS:
        raise UsageError(
            "{days} is no number of working days from 1 to {most}. Nothing was recorded.",
            days=working_days,
            most=_MAX_WORKING_DAYS,
        )
    check_not_future(context, received_on)
    if due_on is not None and due_on < received_on:
        raise UsageError(
            "The notice would be due on {due}, before it was received on {received}. Nothing was recorded. Mend "
            "the dates.",
            due=due_on,
            received=received_on,
        )
    paper_sha256 = _hash_stream(context.evidence_file.stream) if context.evidence_file else None
    with context.locked_recorder() as record:
        submissions = context.read_filing(filing_name).submissions
        if submissions and kind in ("correction", "refusal") and received_on < submissions[0].submitted_on:
            raise _before_submission_error(received_on, submissions[0].submitted_on, submissions[0].tag)
        number = 1 + sum(len(filing.notices) for filing in _all_filings(context.archive))
        notice = NoticeReceived(
            number=number,
            kind=kind,
            issuer=issuer,
            document=document_number,
            received_on=received_on,
            due_on=due_on,
            working_days=working_days,
            owner=owner,
            reported_by=reported_by,
            paper_name=context.evidence_file.display_name if context.evidence_file else None,
            paper_sha256=paper_sha256,
        )
        record(filing_name, notice)
    return number


def answer_notice(
    context: RecordContext, number: int, submission: str, answered_on: date, reported_by: str | None
) -> Notice:
    """Record a submission as the answer to a notice; return the notice in the state before.

    Raises NotFoundError for an unknown notice, UsageError if the notice was answered already, or the answer would
    come before the notice; nothing is recorded then.
    """
    check_not_future(context, answered_on)
    with context.locked_recorder() as record:
        notice = find_notice(context.archive, number)
        _check_answer(notice, answered_on)
        details = NoticeAnswered(
            number=number, submission=submission, answered_on=answered_on, reported_by=reported_by
        )
        record(notice.filing, details)
    return notice


def _check_answer(notice: Notice, answered_on: date) -> None:
    if notice.answer is not None:
        raise UsageError(
            "Notice {number} was answered on {on} with {submission} already. Nothing was recorded. A later letter "
            "is a notice of its own: archiver notice add",
            number=notice.number,
            on=notice.answered_on,
            submission=notice.answer,
        )
    if answered_on < notice.received:
        raise UsageError(
            "The answer of {on} would be before notice {number}, received on {received}. Nothing was recorded. "
            "Mend the date.",
            on=answered_on,
            number=notice.number,
            received=notice.received,
        )


def decide_change(
    context: RecordContext, number: int, is_material: bool, reason: str, reported_by: str | None
) -> ChangeQuestion:
    """Record a person's decision whether a change is material; return the question in the state before.

    Raises NotFoundError for an unknown change, UsageError without a reason, or if the change was decided already;
    nothing is recorded then.
    """
    if not reason.strip():
        raise UsageError("A reason is needed, for whoever reads this in three years. Nothing was changed.")
    details = ChangeDecided(
        number=number, is_material=is_material, reason=reason, decided_on=context.today, reported_by=reported_by
    )
    with context.locked_recorder() as record:
        question = find_question(context.archive, number)
        _check_undecided(question)
        record(question.filing, details)
    return question


def _check_undecided(question: ChangeQuestion) -> None:
    if question.material is not None:
        raise UsageError(
            "Change {number} was decided on {on} already. Nothing was recorded. A new opinion belongs to the next "
            "change, or into the filing's materials.",
            number=question.number,
            on=question.decided_on,
        )


def find_notice(archive: Archive, number: int) -> Notice:
    """Return the notice with a number, in whichever filing; raises NotFoundError."""
    for filing in _all_filings(archive):
        for notice in filing.notices:
            if notice.number == number:
                return notice
    raise NotFoundError(
        "There is no notice {number}. Nothing was changed. See: archiver notice list", number=number
    )


def find_question(archive: Archive, number: int) -> ChangeQuestion:
    """Return the change with a number, in whichever filing; raises NotFoundError."""
    for filing in _all_filings(archive):
        for question in filing.questions:
            if question.number == number:
                return question
    raise NotFoundError(
        "There is no change {number}. Nothing was changed. See: archiver change list", number=number
    )


def _all_filings(archive: Archive) -> Iterable[Filing]:
    return register(archive.index.life()).values()


def check_not_future(context: RecordContext, day: date) -> None:
    """Refuse a day in the future; raises UsageError."""
    if day > context.today:
        raise UsageError("{day} is in the future. Nothing was recorded. Mend --on.", day=day)


def _parse_optional_day(text: str | None) -> date | None:
    return parse_day(text) if text else None


def _unknown_code_error(code: str, known_codes: tuple[str, ...]) -> UsageError:
    return UsageError(
        "{word} is not one of: {known}. Nothing was recorded.", word=code, known=", ".join(known_codes)
    )


def _before_submission_error(day: date, submitted_on: date, tag: str) -> UsageError:
    return UsageError(
        "{day} is before {submitted}, when {tag} was handed in. Nothing was recorded. Mend the date.",
        day=day,
        submitted=submitted_on,
        tag=tag,
    )


def _hash_stream(stream: IO[bytes]) -> str:
    """Return the SHA-256 of a whole stream, and go back to the start for the writer."""
    stream.seek(0)
    digest = hashlib.sha256()
    while chunk := stream.read(1 << 20):
        digest.update(chunk)
    stream.seek(0)
    return digest.hexdigest()
