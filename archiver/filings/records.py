"""What people tell of a filing, journalled: its sheet, the review, notices, decisions, checks of the display."""

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
from archiver.filings.register import FIELDS, NOTICE_KINDS, SCHEMES, STATES, Filing, Notice, Question, register
from archiver.filings.typed_days import parse_day
from archiver.model import Event
from archiver.store.archive import Archive
from archiver.store.events.attached_files import EVIDENCE
from archiver.store.events.event_details import EventDetails
from archiver.store.events.filing_events import ChangeDecided, FilingUpdated, NoticeAnswered, NoticeReceived
from archiver.store.writer import Draft

_LONGEST_FIELD = 1000
_MOST_DAYS = 366
_DATES = ("issued_on", "service_start", "service_end")


@dataclass(frozen=True, slots=True)
class RecordContext:
    """Where a record goes: who waits how long, and what day it is for people."""

    archive: Archive
    wait_seconds: float
    today: date
    attached: EvidenceFile | None = None

    def filing(self, name: str) -> Filing:
        """What is known of a filing."""
        return register(self.archive.index.life(name)).get(name) or Filing(name)

    @contextmanager
    def recording(self) -> Iterator[Callable[[str, EventDetails], Event]]:
        """Yield a function that journals (filing, details) with the file.

        The writer's lock is held: a check made within stays true until the event is written.
        """
        attachments = {self.attached.journal_name(EVIDENCE): self.attached.stream} if self.attached else {}
        with self.archive.writing(self.wait_seconds) as writer:
            yield lambda filing, details: writer.append(Draft(filing, details, attachments))


def set_sheet(
    context: RecordContext,
    filing: str,
    fields: Mapping[str, Any],
    *,
    status: str | None = None,
    portal_text: str | None = None,
    on: date | None = None,
    forced: str | None = None,
    by: str | None = None,
) -> Event:
    """Change the filing's sheet, and record a look at its review status.

    ``forced``: the reason for a number that has none of the known forms.
    Raises UsageError for what cannot be; nothing is recorded then.
    """
    day = on or context.today
    check_past(context, day)
    _check_kinds(fields)
    if status is not None and status not in STATES:
        raise _unknown(status, STATES)
    if not fields and status is None:
        raise UsageError("There is nothing to set. Nothing was recorded. See: archiver filing set --help")
    details = FilingUpdated(
        fields=dict(fields),
        recorded_on=day,
        reported_by=by,
        number_reason=forced,
        status=status,
        portal_text=portal_text,
        evidence=context.attached.display_name if context.attached else None,
    )
    with context.recording() as record:
        known = context.filing(filing)
        _check_fields(known, fields, forced)
        last = known.last_submitted()
        if status is not None and on is not None and last is not None and on < last.on:
            raise _before_submission(on, last.on, last.tag)
        return record(filing, details)


def _check_kinds(fields: Mapping[str, Any]) -> None:
    """A field of another kind, once journalled, would be in everybody's way for good."""
    for name, value in fields.items():
        texts = value if name == "products" and isinstance(value, list) else [value]
        if name not in FIELDS or not all(isinstance(each, str) and len(each) <= _LONGEST_FIELD for each in texts):
            raise UsageError(
                "{name} is no field of a filing's sheet, or its value cannot be. Nothing was recorded.",
                name=str(name)[:100],
            )


def _check_fields(known: Filing, fields: Mapping[str, Any], forced: str | None) -> None:
    if (number := fields.get("number")) and not forced:
        detect_scheme(number)
    if (scheme := fields.get("scheme")) and scheme not in SCHEMES:
        raise _unknown(scheme, SCHEMES)
    days = {name: _day(fields.get(name) or known.fields.get(name)) for name in _DATES}
    start, end, issued = days["service_start"], days["service_end"], days["issued_on"]
    if start and end and end < start:
        raise UsageError(
            "The service would end on {end}, before its start on {start}. Nothing was recorded. Mend the date.",
            end=end,
            start=start,
        )
    first = known.submitted[0] if known.submitted else None
    if issued and first and issued < first.on:
        raise _before_submission(issued, first.on, first.tag)


def add_notice(
    context: RecordContext,
    filing: str,
    kind: str,
    received: date,
    *,
    due: date | None = None,
    days: int | None = None,
    issuer: str = "",
    document: str = "",
    owner: str = "",
    by: str | None = None,
) -> int:
    """Record a notice of the regulator; returns its number.

    ``days`` are working days.  Raises UsageError for dates that cannot be.
    """
    if kind not in NOTICE_KINDS:
        raise _unknown(kind, NOTICE_KINDS)
    if days is not None and not 0 < days <= _MOST_DAYS:
        raise UsageError(
            "{days} is no number of working days from 1 to {most}. Nothing was recorded.",
            days=days,
            most=_MOST_DAYS,
        )
    check_past(context, received)
    if due is not None and due < received:
        raise UsageError(
            "The notice would be due on {due}, before it was received on {received}. Nothing was recorded. Mend "
            "the dates.",
            due=due,
            received=received,
        )
    paper_sha256 = _digest(context.attached.stream) if context.attached else None
    with context.recording() as record:
        submitted = context.filing(filing).submitted
        if submitted and kind in ("correction", "refusal") and received < submitted[0].on:
            raise _before_submission(received, submitted[0].on, submitted[0].tag)
        number = 1 + sum(len(each.notices) for each in _filings(context.archive))
        notice = NoticeReceived(
            number=number,
            kind=kind,
            issuer=issuer,
            document=document,
            received_on=received,
            due_on=due,
            working_days=days,
            owner=owner,
            reported_by=by,
            paper_name=context.attached.display_name if context.attached else None,
            paper_sha256=paper_sha256,
        )
        record(filing, notice)
    return number


def answer_notice(context: RecordContext, number: int, submission: str, on: date, by: str | None) -> Notice:
    """Record that a notice was answered by a submission, on a day.

    Raises NotFoundError for an unknown notice, UsageError where it was answered
    before or the submission was handed in before the notice came.
    """
    check_past(context, on)
    with context.recording() as record:
        notice = find_notice(context.archive, number)
        _check_answer(notice, on)
        details = NoticeAnswered(number=number, submission=submission, answered_on=on, reported_by=by)
        record(notice.filing, details)
    return notice


def _check_answer(notice: Notice, on: date) -> None:
    if notice.answer is not None:
        raise UsageError(
            "Notice {number} was answered on {on} with {submission} already. Nothing was recorded. A later letter "
            "is a notice of its own: archiver notice add",
            number=notice.number,
            on=notice.answered_on,
            submission=notice.answer,
        )
    if on < notice.received:
        raise UsageError(
            "The answer of {on} would be before notice {number}, received on {received}. Nothing was recorded. "
            "Mend the date.",
            on=on,
            number=notice.number,
            received=notice.received,
        )


def decide(context: RecordContext, number: int, material: bool, reason: str, by: str | None) -> Question:
    """Record whether a change is material; raises NotFoundError, or UsageError where it is decided already."""
    if not reason.strip():
        raise UsageError("A reason is needed, for whoever reads this in three years. Nothing was changed.")
    details = ChangeDecided(
        number=number, is_material=material, reason=reason, decided_on=context.today, reported_by=by
    )
    with context.recording() as record:
        question = find_question(context.archive, number)
        _check_undecided(question)
        record(question.filing, details)
    return question


def _check_undecided(question: Question) -> None:
    if question.material is not None:
        raise UsageError(
            "Change {number} was decided on {on} already. Nothing was recorded. A new opinion belongs to the next "
            "change, or into the filing's materials.",
            number=question.number,
            on=question.decided_on,
        )


def find_notice(archive: Archive, number: int) -> Notice:
    """The notice of that number; raises NotFoundError."""
    for filing in _filings(archive):
        for each in filing.notices:
            if each.number == number:
                return each
    raise NotFoundError(
        "There is no notice {number}. Nothing was changed. See: archiver notice list", number=number
    )


def find_question(archive: Archive, number: int) -> Question:
    """The change of that number; raises NotFoundError."""
    for filing in _filings(archive):
        for each in filing.questions:
            if each.number == number:
                return each
    raise NotFoundError(
        "There is no change {number}. Nothing was changed. See: archiver change list", number=number
    )


def _filings(archive: Archive) -> Iterable[Filing]:
    return register(archive.index.life()).values()


def check_past(context: RecordContext, day: date) -> None:
    """Refuse a day that has not come."""
    if day > context.today:
        raise UsageError("{day} is in the future. Nothing was recorded. Mend --on.", day=day)


def _day(text: str | None) -> date | None:
    return parse_day(text) if text else None


def _unknown(word: str, known: tuple[str, ...]) -> UsageError:
    return UsageError("{word} is not one of: {known}. Nothing was recorded.", word=word, known=", ".join(known))


def _before_submission(day: date, submitted: date, tag: str) -> UsageError:
    return UsageError(
        "{day} is before {submitted}, when {tag} was handed in. Nothing was recorded. Mend the date.",
        day=day,
        submitted=submitted,
        tag=tag,
    )


def _digest(stream: IO[bytes]) -> str:
    stream.seek(0)
    digest = hashlib.sha256()
    while chunk := stream.read(1 << 20):
        digest.update(chunk)
    stream.seek(0)
    return digest.hexdigest()
