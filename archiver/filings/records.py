"""Check and journal facts that people report: sheets, reviews, notices and answers, decisions on changes.

A *sheet* is the set of a filing's fields, such as its company and its number.  A record in the journal cannot be
removed, so every check precedes it.
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
from archiver.filings.record_checks import (
    before_submission_error,
    check_change_undecided,
    check_due_day,
    check_field_types,
    check_field_values,
    check_not_future,
    check_notice_answer,
    check_status_day,
    check_working_days,
    unknown_code_error,
)
from archiver.filings.register import ChangeQuestion, Filing, Notice, filings_from_events
from archiver.filings.register_codes import NOTICE_KINDS, STATES
from archiver.model import Event
from archiver.naming.ref_names import RefName
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.events.attached_files import EVIDENCE
from archiver.store.events.event_details import EventDetails
from archiver.store.events.event_kinds import Action
from archiver.store.events.filing_events import ChangeDecided, FilingUpdated, NoticeAnswered, NoticeReceived
from archiver.store.writing.drafts import Draft

_HASH_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class RecordContext:
    """The archive to record in, and the values that every record needs in addition to the facts."""

    archive: Archive
    lock_timeout: float  # seconds to wait for the writer's lock
    today: date  # in the archive's time zone
    evidence_file: EvidenceFile | None = None  # journalled with the record; closed by the caller

    def read_filing(self, filing_name: RefName) -> Filing:
        """Return the present state of a filing, or a new draft if nothing was recorded about the filing yet."""
        filings = filings_from_events(self.archive.index.life_events(filing_name))
        return filings.get(filing_name) or Filing(filing_name)

    @contextmanager
    def locked_recorder(self) -> Iterator[Callable[[str, EventDetails], Event]]:
        """Hold the writer's lock, and yield a function that journals an event with the evidence file.

        The function takes the name of the filing and the details, and returns the event.  Call it at most once,
        because it reads the evidence file to the end.  A check inside the ``with`` block stays true until the
        event is written, because nobody else can write.

        Raises Busy if the lock is not free within ``lock_timeout``, StorageError if the archive cannot be written.
        """
        evidence_file = self.evidence_file
        attachments = {evidence_file.attachment_name(EVIDENCE): evidence_file.stream} if evidence_file else {}
        with self.archive.writing(self.lock_timeout) as writer:
            yield lambda filing_name, details: writer.append(Draft(filing_name, details, attachments))


def update_sheet(
    context: RecordContext,
    filing_name: RefName,
    changed_fields: Mapping[str, Any],
    *,
    review_status: str | None = None,
    portal_text: str | None = None,
    checked_on: date | None = None,
    number_override_reason: str | None = None,
    reported_by: str | None = None,
) -> Event:
    """Record new values of a filing's sheet, the review status that somebody saw on the portal, or both.

    ``changed_fields`` maps names of FIELDS to texts; ``products`` may be a list of texts.  ``review_status`` is
    one of STATES, None to record no status, and ``portal_text`` is the portal's own words for it.  ``checked_on``
    is the day on which the facts were seen, None for today.  ``number_override_reason`` says why a filing number
    of an unknown form is right.  ``reported_by`` is the person who reported the facts, None for the user who runs
    the command.

    Returns the event.  Raises UsageError if there is nothing to record, if a field or status is not valid, or if a
    day contradicts the recorded days or is in the future; and the errors of :meth:`RecordContext.locked_recorder`.
    Nothing is recorded then.
    """
    recorded_on = checked_on or context.today
    check_not_future(recorded_on, context.today)
    _check_sheet_arguments(changed_fields, review_status)
    update_details = FilingUpdated(
        fields=dict(changed_fields),
        recorded_on=recorded_on,
        reported_by=reported_by,
        number_reason=number_override_reason,
        status=review_status,
        portal_text=portal_text,
        evidence=context.evidence_file.display_name if context.evidence_file else None,
    )
    with context.locked_recorder() as record_event:
        filing = context.read_filing(filing_name)
        check_field_values(filing, changed_fields, number_override_reason)
        # A status seen today needs no check: a submission in the future cannot be recorded.
        if review_status is not None and checked_on is not None:
            check_status_day(filing, checked_on)
        return record_event(filing_name, update_details)


def _check_sheet_arguments(changed_fields: Mapping[str, Any], review_status: str | None) -> None:
    """Check the arguments of :func:`update_sheet` as far as this is possible without the archive.

    Other checks compare them with recorded facts.  Raises UsageError for a field or status that does not exist,
    for a field value of a wrong type or length, and if neither a field nor a status is given.
    """
    check_field_types(changed_fields)
    if review_status is not None and review_status not in STATES:
        raise unknown_code_error(review_status, STATES)
    if not changed_fields and review_status is None:
        raise UsageError(
            "No field was given. Nothing was recorded. To see the options, run: archiver filing set --help"
        )


def add_notice(
    context: RecordContext,
    filing_name: RefName,
    notice_kind: str,
    received_on: date,
    *,
    due_on: date | None = None,
    working_days: int | None = None,
    issuer: str = "",
    document_number: str = "",
    owner: str = "",
    reported_by: str | None = None,
) -> int:
    """Record a notice of the regulator, and return its number: 1 for the first notice of the archive, then 2.

    ``notice_kind`` is one of NOTICE_KINDS.  ``due_on`` (the last day to answer) and ``working_days`` (the time to
    answer) are recorded as the notice states them, None if it does not state them.  ``owner`` is the role or
    person who has to answer; empty for the filing's responsible person.

    Raises UsageError if the kind is unknown, the number of working days is not valid, or a day is in the future or
    contradicts another day; and the errors of :meth:`RecordContext.locked_recorder`.  Nothing is recorded then.
    """
    if notice_kind not in NOTICE_KINDS:
        raise unknown_code_error(notice_kind, NOTICE_KINDS)
    check_working_days(working_days)
    check_not_future(received_on, context.today)
    check_due_day(due_on, received_on)
    paper_sha256 = _hash_stream(context.evidence_file.stream) if context.evidence_file else None
    with context.locked_recorder() as record_event:
        submissions = context.read_filing(filing_name).submissions
        if submissions and notice_kind in ("correction", "refusal") and received_on < submissions[0].submitted_on:
            raise before_submission_error(received_on, submissions[0].submitted_on, submissions[0].tag)
        # Void notices count too, because they keep their numbers.
        records = context.archive.index.life_events()
        notice_number = 1 + sum(record.action == Action.NOTICE for record in records)
        notice = NoticeReceived(
            number=notice_number,
            kind=notice_kind,
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
        record_event(filing_name, notice)
    return notice_number


def answer_notice(
    context: RecordContext,
    notice_number: int,
    submission_name: RefName,
    answered_on: date,
    reported_by: str | None,
) -> Notice:
    """Record a submission as the answer to a notice, and return the notice as it was before the answer.

    ``submission_name`` is FILING/SUBMISSION, as in refs.  The caller checks that this folder was submitted.

    Raises NotFoundError if the notice does not exist, UsageError if the notice is already answered, or if
    ``answered_on`` is before the day of the notice or in the future; and the errors of
    :meth:`RecordContext.locked_recorder`.  Nothing is recorded then.
    """
    check_not_future(answered_on, context.today)
    with context.locked_recorder() as record_event:
        notice = find_notice(context.archive, notice_number)
        check_notice_answer(notice, answered_on)
        answer_details = NoticeAnswered(
            number=notice_number, submission=submission_name, answered_on=answered_on, reported_by=reported_by
        )
        record_event(notice.filing, answer_details)
    return notice


def decide_change(
    context: RecordContext, question_number: int, is_material: bool, reason: str, reported_by: str | None
) -> ChangeQuestion:
    """Record a person's decision on a change: material or not.  Return the question as it was before the decision.

    The decision is dated today.  ``reported_by`` is the person who decided, if not the archive's actor.

    Raises NotFoundError if the change does not exist, UsageError if ``reason`` is blank or the change is already
    decided; and the errors of :meth:`RecordContext.locked_recorder`.  Nothing is recorded then.
    """
    names.check_reason(reason)
    decision_details = ChangeDecided(
        number=question_number,
        is_material=is_material,
        reason=reason,
        decided_on=context.today,
        reported_by=reported_by,
    )
    with context.locked_recorder() as record_event:
        question = find_question(context.archive, question_number)
        check_change_undecided(question)
        record_event(question.filing, decision_details)
    return question


def find_notice(archive: Archive, notice_number: int) -> Notice:
    """Return the notice with this number, which is unique in the archive.

    Raises NotFoundError if there is no such notice, or if it is void.
    """
    for filing in _read_all_filings(archive):
        for notice in filing.notices:
            if notice.number == notice_number:
                return notice
        for record in filing.corrected_records:
            if (
                record.action == Action.NOTICE
                and NoticeReceived.from_details(record.details).number == notice_number
            ):
                raise NotFoundError(
                    "Notice {number} is void since event {seq} ({reason}). Nothing was changed. To list the "
                    "notices, run: archiver notice list",
                    number=notice_number,
                    seq=record.corrections[-1].seq,
                    reason=record.corrections[-1].reason,
                )
    raise NotFoundError(
        "Notice {number} does not exist. Nothing was changed. To list the notices, run: archiver notice list",
        number=notice_number,
    )


def find_question(archive: Archive, question_number: int) -> ChangeQuestion:
    """Return the question about the change with this number, which is unique in the archive.

    Raises NotFoundError if there is no such change.
    """
    for filing in _read_all_filings(archive):
        for question in filing.change_questions:
            if question.number == question_number:
                return question
    raise NotFoundError(
        "Change {number} does not exist. Nothing was changed. To list the changes, run: archiver change list",
        number=question_number,
    )


def _read_all_filings(archive: Archive) -> Iterable[Filing]:
    """Return the present state of every filing."""
    return filings_from_events(archive.index.life_events()).values()


def _hash_stream(stream: IO[bytes]) -> str:
    """Return the SHA-256 of a whole stream, in hexadecimal, and rewind the stream so that it can be journalled."""
    stream.seek(0)
    digest = hashlib.sha256()
    while chunk := stream.read(_HASH_CHUNK_BYTES):
        digest.update(chunk)
    stream.seek(0)
    return digest.hexdigest()
