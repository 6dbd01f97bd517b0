"""Fold the journal's events into the register (台账), the present state of each filing.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from archiver.model import LifeEvent
from archiver.store.events.event_kinds import Action
from archiver.store.events.filing_events import (
    ChangeDecided,
    ChangeNoticed,
    DisplayChecked,
    FilingEnded,
    FilingUpdated,
    NoticeAnswered,
    NoticeReceived,
    ReleaseSignalled,
    VersionSubmitted,
)

STATES = (
    "draft",
    "submitted",
    "under_review",
    "returned",
    "resubmitted",
    "filed",
    "change_pending",
    "deregistration_pending",
    "deregistered",
    "revoked",
    "withdrawn",
)
#: States in which the regulator owes an answer.
PENDING_STATES = frozenset(
    {"submitted", "under_review", "resubmitted", "change_pending", "deregistration_pending"}
)
#: States of a filing that is over: no display and no decision on a change is due any more.
ENDED_STATES = frozenset({"deregistered", "revoked", "withdrawn"})
SCHEMES = ("algorithm", "deep_synthesis", "genai_filing", "genai_registration")
#: The sheet's fields, in the order in which people read them.
FIELDS = (
    "company",
    "responsible",
    "manager",
    "algorithm",
    "category",
    "scheme",
    "products",
    "number",
    "issued_on",
    "published_at",
    "service_start",
    "service_end",
)
NOTICE_KINDS = ("correction", "inquiry", "refusal", "rectification", "inspection", "revocation")

#: Kind of submission -> the states in which one moves a filing on, and the state after it.
_STATE_AFTER_SUBMISSION = {
    "subject": ({"draft"}, "submitted"),
    "first": ({"draft"}, "submitted"),
    "correction": ({"submitted", "under_review", "returned"}, "resubmitted"),
    "change": ({"filed"}, "change_pending"),
    "deregistration": ({"filed", "change_pending"}, "deregistration_pending"),
}


@dataclass(frozen=True, slots=True)
class ReviewCheck:
    """A look at the review status, with the portal's own words."""

    status: str
    on: date
    portal_text: str
    user: str
    recorded_at: str
    evidence: str | None
    seq: int


@dataclass(frozen=True, slots=True)
class RecordedSubmission:
    """A submission to the regulator, as journalled."""

    tag: str  # the signed tag
    version: str  # tag of the version that was submitted
    kind: str
    submitted_on: date  # the day on the portal
    recorded_at: str


@dataclass(slots=True)
class Notice:
    """A notice of the regulator (补正通知, 问询函, ...)."""

    number: int
    filing: str
    kind: str
    issuer: str
    document: str
    received: date
    due_on: date | None  # the day to answer by, if the notice names one
    working_days: int | None  # the time to answer, if the notice names one
    owner: str
    file: str | None  # name of the attached paper
    paper_sha256: str | None
    recorded_at: str
    seq: int
    answer: str | None = None  # the submission that answers it
    answered_on: date | None = None


@dataclass(slots=True)
class ChangeQuestion:
    """A change after filing, and a person's decision: material (重大变更) or not.

    The program never decides: the question stays open until somebody answers.
    """

    number: int
    filing: str
    last_submission: str  # signed tag; empty without one
    first: date  # the day of the first change
    kinds: tuple[str, ...]
    materials: tuple[str, ...]
    signal: str  # the releases that were noticed, for people
    asked_at: str
    material: bool | None = None  # None: not decided yet
    reason: str = ""
    decided_on: date | None = None
    decided_at: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class DisplayCheck:
    """A look at a page of the company for the filing number and the link."""

    on: date
    recorded_at: str
    source: str
    number: bool  # whether the page shows the filing number
    link: bool  # whether it links to the regulator's publication
    problem: str  # why the page could not be read; empty if it was
    seq: int


@dataclass(slots=True)
class Filing:
    """A filing in the state after the events read so far; dates are days of the configured zone."""

    name: str
    fields: dict[str, Any] = field(default_factory=dict)
    state: str = "draft"
    portal_text: str = ""
    state_on: date | None = None
    checks: list[ReviewCheck] = field(default_factory=list)
    submissions: list[RecordedSubmission] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    questions: list[ChangeQuestion] = field(default_factory=list)
    displays: list[DisplayCheck] = field(default_factory=list)
    signal_values: dict[str, str] = field(default_factory=dict)  # of each signal at the last look
    ended_on: date | None = None

    @property
    def number(self) -> str:
        """Return the filing number; empty before the regulator has issued a number."""
        return str(self.fields.get("number") or "")

    def enter_state(self, state: str, on: date, portal_text: str = "") -> None:
        """Enter a state, and drop the portal's words on the state before."""
        self.state, self.state_on, self.portal_text = state, on, portal_text

    def sheet_day(self, field_name: str) -> date | None:
        """Return a date of the sheet; None if the field is empty."""
        field_value = self.fields.get(field_name)
        return date.fromisoformat(field_value) if field_value else None

    def newest_submission(self, *kinds: str) -> RecordedSubmission | None:
        """Return the newest submission to the regulator, of the given kinds if any are named."""
        newest_first = reversed(self.submissions)
        return next((record for record in newest_first if not kinds or record.kind in kinds), None)


def register(events: Iterable[LifeEvent]) -> dict[str, Filing]:
    """Fold the events of filings, oldest first, into the state of each filing by name.

    Events of other actions are left out: they change nothing that the register knows.
    """
    filings: dict[str, Filing] = {}
    for event in events:
        if event.action in _APPLIERS:
            filing = filings.setdefault(event.filing, Filing(event.filing))
            _APPLIERS[event.action](filing, event)
    return filings


def describe_release(signal: str, value: str) -> str:
    """Return a signal with the word in the value, for people; the digest before the word is left out."""
    return f"{signal} {value.partition(' ')[2]}".strip()


def _apply_update(filing: Filing, event: LifeEvent) -> None:
    """Take over the facts of a sheet, and a look at the review status.

    The first filing number makes a filing filed, whatever the portal said last, unless a deregistration is under
    way.
    """
    details = FilingUpdated.from_details(event.details)
    had_no_number = not filing.number
    filing.fields |= details.fields
    if had_no_number and filing.number and filing.state in {"draft", *PENDING_STATES} - {"deregistration_pending"}:
        filing.enter_state("filed", details.recorded_on)
    if details.status:
        portal_text = details.portal_text or ""
        filing.enter_state(details.status, details.recorded_on, portal_text)
        filing.checks.append(
            ReviewCheck(
                details.status,
                details.recorded_on,
                portal_text,
                event.user,
                event.at,
                details.evidence,
                event.seq,
            )
        )


def _apply_submission(filing: Filing, event: LifeEvent) -> None:
    """Add a submission; a filing number in the submission counts as issued on the same day."""
    details = VersionSubmitted.from_details(event.details)
    submitted_on = details.submitted_on
    filing.submissions.append(
        RecordedSubmission(details.tag, details.version, details.kind, submitted_on, event.at)
    )
    # A submission makes an ended filing live again.
    filing.ended_on = None
    states_before, state_after = _STATE_AFTER_SUBMISSION.get(details.kind, (set(), ""))
    if filing.state in states_before:
        filing.enter_state(state_after, submitted_on)
    if details.number:
        had_no_number = not filing.number
        filing.fields["number"] = details.number
        filing.fields.setdefault("issued_on", submitted_on.isoformat())
        if had_no_number and filing.state != "deregistration_pending":
            filing.enter_state("filed", submitted_on)


def _apply_end(filing: Filing, event: LifeEvent) -> None:
    """Note the end of a filing; a state such as revoked already says why, and stays."""
    filing.ended_on = FilingEnded.from_details(event.details).ended_on
    if filing.state not in ENDED_STATES:
        filing.enter_state("deregistered", filing.ended_on)


def _apply_notice(filing: Filing, event: LifeEvent) -> None:
    """Add a notice; a correction or refusal ends the review, a revocation the filing's validity."""
    details = NoticeReceived.from_details(event.details)
    filing.notices.append(
        Notice(
            details.number,
            filing.name,
            details.kind,
            details.issuer,
            details.document,
            details.received_on,
            details.due_on,
            details.working_days,
            details.owner,
            details.paper_name,
            details.paper_sha256,
            event.at,
            event.seq,
        )
    )
    if details.kind in ("correction", "refusal") and filing.state in PENDING_STATES:
        filing.enter_state("returned", details.received_on)
    if details.kind == "revocation":
        filing.enter_state("revoked", details.received_on)


def _apply_answer(filing: Filing, event: LifeEvent) -> None:
    details = NoticeAnswered.from_details(event.details)
    for notice in filing.notices:
        if notice.number == details.number:
            notice.answer, notice.answered_on = details.submission, details.answered_on


def _apply_question(filing: Filing, event: LifeEvent) -> None:
    details = ChangeNoticed.from_details(event.details)
    filing.questions.append(
        ChangeQuestion(
            details.number,
            filing.name,
            details.last_submission,
            details.first_changed_on,
            tuple(details.kinds),
            tuple(details.materials),
            details.signal,
            event.at,
        )
    )


def _apply_decision(filing: Filing, event: LifeEvent) -> None:
    details = ChangeDecided.from_details(event.details)
    for question in filing.questions:
        if question.number == details.number:
            question.material, question.reason = details.is_material, details.reason
            question.decided_at = event.at
            question.decided_on, question.by = details.decided_on, details.reported_by or event.user


def _apply_display_check(filing: Filing, event: LifeEvent) -> None:
    details = DisplayChecked.from_details(event.details)
    filing.displays.append(
        DisplayCheck(
            details.checked_on,
            event.at,
            details.source,
            details.number_found,
            details.link_found,
            details.problem,
            event.seq,
        )
    )


def _apply_signal(filing: Filing, event: LifeEvent) -> None:
    """Note the value of a signal; a first value is the base of comparison, and no release."""
    details = ReleaseSignalled.from_details(event.details)
    newest_question = filing.questions[-1] if filing.questions else None
    if details.signal in filing.signal_values and newest_question is not None and newest_question.material is None:
        # A release while a question waits is decided with it.
        release = describe_release(details.signal, details.value)
        if release not in newest_question.signal:
            newest_question.signal = "; ".join(filter(None, (newest_question.signal, release)))
    filing.signal_values[details.signal] = details.value


_APPLIERS: Mapping[str, Callable[[Filing, LifeEvent], None]] = {
    Action.SUBMIT: _apply_submission,
    Action.FILING_SET: _apply_update,
    Action.FILING_END: _apply_end,
    Action.NOTICE: _apply_notice,
    Action.NOTICE_ANSWER: _apply_answer,
    Action.CHANGE_QUESTION: _apply_question,
    Action.CHANGE_DECISION: _apply_decision,
    Action.DISPLAY_CHECK: _apply_display_check,
    Action.SIGNAL: _apply_signal,
}
