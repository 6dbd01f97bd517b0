"""Compute the register (台账), the present state of each filing, from the journal's events.  Pure.

Each ``_apply_...`` function changes a filing in place, by one event.  Times (``..._at``) are ISO 8601 in UTC; days
are in the archive's time zone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

from archiver.filings.register_codes import ENDED_STATES, PENDING_STATES, describe_release
from archiver.model import LifeEvent
from archiver.naming.ref_names import RefName
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


class _Transition(NamedTuple):
    """The effect of a submission on the filing's state."""

    states_before: frozenset[str]  # a filing in any other state keeps its state
    state_after: str


#: Kind of submission -> its effect; submissions of other kinds do not change the state.
_TRANSITIONS: Mapping[str, _Transition] = {
    "subject": _Transition(frozenset({"draft"}), "submitted"),
    "first": _Transition(frozenset({"draft"}), "submitted"),
    "correction": _Transition(frozenset({"submitted", "under_review", "returned"}), "resubmitted"),
    "change": _Transition(frozenset({"filed"}), "change_pending"),
    "deregistration": _Transition(frozenset({"filed", "change_pending"}), "deregistration_pending"),
}


class ReviewCheck(NamedTuple):
    """A review status that somebody saw on the portal."""

    status: str  # one of STATES
    seen_on: date  # the day on which it was seen
    portal_text: str  # the portal's own words; empty if no words were recorded
    user: str  # the user who recorded it
    recorded_at: str
    evidence_name: str | None  # the name of the attached screenshot or letter
    seq: int  # number of the journal event


class RecordedSubmission(NamedTuple):
    """A submission to the regulator, as journalled."""

    tag: RefName  # the signed tag of the submission
    version: RefName  # tag of the version that was submitted
    kind: str  # such as "first" or "change"
    submitted_on: date  # the day on the portal
    recorded_at: str


@dataclass(slots=True)
class Notice:
    """A notice of the regulator (补正通知, 问询函, ...)."""

    number: int  # unique in the archive
    filing: RefName  # the filing's name
    kind: str  # one of NOTICE_KINDS
    issuer: str  # the authority that sent the notice
    document_number: str  # the authority's number of the notice (文号)
    received_on: date  # the day on which it was received
    due_on: date | None  # the last day to answer, if the notice names one
    working_days: int | None  # the time to answer, if the notice names one
    owner: str  # the role or person who answers; empty: the filing's responsible person
    paper_name: str | None  # name of the attached paper
    paper_sha256: str | None  # of the attached paper
    recorded_at: str
    seq: int  # number of the journal event
    answer_submission: RefName | None = None  # FILING/SUBMISSION of the answer; None before the answer
    answered_on: date | None = None


@dataclass(slots=True)
class ChangeQuestion:
    """A change after filing, and a person's decision: material (重大变更) or not.

    The program never decides: the question stays open until a person does.
    """

    number: int  # unique in the archive
    filing: RefName  # the filing's name
    last_submission: RefName  # signed tag of the last submission before the change; empty without one
    first_changed_on: date  # the day of the first change
    change_kinds: tuple[str, ...]  # the kinds of changes, by the patterns of the configuration
    changed_materials: tuple[str, ...]  # readable paths of changed materials, at most 100
    releases: str  # the releases that were noticed, for people, separated by "; "
    asked_at: str
    is_material: bool | None = None  # the decision; None before the decision
    reason: str = ""  # the reason for the decision
    decided_on: date | None = None
    decided_at: str = ""  # empty before the decision
    decided_by: str = ""  # the person who decided


class DisplayCheck(NamedTuple):
    """A search for the filing number and the link in a page of the company."""

    checked_on: date  # the day of the check
    recorded_at: str
    source: str  # address of the page, or name of a saved file
    number_found: bool  # True if the page shows the filing number
    link_found: bool  # True if the page links to the regulator's publication
    problem: str  # the reason why the page could not be read; empty if it was read
    seq: int  # number of the journal event


@dataclass(slots=True)
class Filing:
    """A filing in the state after the events applied so far.  All lists are in the order of the journal."""

    name: RefName  # as in refs
    #: The sheet: a name of FIELDS -> a text, or a list of texts for "products".
    sheet_fields: dict[str, Any] = field(default_factory=dict)
    state: str = "draft"  # one of STATES
    portal_text: str = ""  # the portal's own words for the state; empty if none were recorded
    state_on: date | None = None  # the day on which the state began or was seen; None for a new draft
    review_checks: list[ReviewCheck] = field(default_factory=list)
    submissions: list[RecordedSubmission] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    change_questions: list[ChangeQuestion] = field(default_factory=list)
    display_checks: list[DisplayCheck] = field(default_factory=list)
    signal_values: dict[str, str] = field(default_factory=dict)  # name of a signal -> last journalled value
    ended_on: date | None = None  # None while the filing is live
    corrected_records: list[LifeEvent] = field(default_factory=list)  # in the order of the records

    @property
    def number(self) -> str:
        """The filing number; empty before the regulator has issued one."""
        return str(self.sheet_fields.get("number") or "")

    def enter_state(self, state: str, state_on: date, portal_text: str = "") -> None:
        """Set the state, the day on which the state began or was seen, and the portal's own words."""
        self.state, self.state_on, self.portal_text = state, state_on, portal_text

    def sheet_day(self, field_name: str) -> date | None:
        """Return the day in a field of the sheet; None if the field is empty.

        Raises ValueError if the text is not ISO 8601.
        """
        field_value = self.sheet_fields.get(field_name)
        return date.fromisoformat(field_value) if field_value else None

    def newest_submission(self, *kinds: str) -> RecordedSubmission | None:
        """Return the last recorded submission, of any of ``kinds`` if given; None if there is none."""
        newest_first = reversed(self.submissions)
        return next((record for record in newest_first if not kinds or record.kind in kinds), None)


def filings_from_events(events: Iterable[LifeEvent]) -> dict[str, Filing]:
    """Return the filings, by name, in their state after ``events``, which are in the order of the journal.

    Void events have no effect.  Events of other actions, such as reminders, do not change a filing and are
    skipped.
    """
    filings: dict[str, Filing] = {}
    for event in events:
        if event.action in _APPLY_FUNCTIONS:
            filing = filings.setdefault(event.filing, Filing(event.filing))
            if event.corrections:
                filing.corrected_records.append(event)
            if not event.is_void:
                _APPLY_FUNCTIONS[event.action](filing, event)
    return filings


def _apply_sheet_update(filing: Filing, event: LifeEvent) -> None:
    """Set fields of the sheet, and the review status if the event has one.

    The first filing number moves a draft or pending filing to the state ``filed``, unless a deregistration is
    pending.  A review status in the same event overrides ``filed``.
    """
    details = FilingUpdated.from_details(event.details)
    had_no_number = not filing.number
    filing.sheet_fields |= details.fields
    if had_no_number and filing.number and filing.state in {"draft", *PENDING_STATES} - {"deregistration_pending"}:
        filing.enter_state("filed", details.recorded_on)
    if details.status:
        portal_text = details.portal_text or ""
        filing.enter_state(details.status, details.recorded_on, portal_text)
        filing.review_checks.append(
            ReviewCheck(
                status=details.status,
                seen_on=details.recorded_on,
                portal_text=portal_text,
                user=event.user,
                recorded_at=event.at,
                evidence_name=details.evidence,
                seq=event.seq,
            )
        )


def _apply_submission(filing: Filing, event: LifeEvent) -> None:
    """Add a submission, change the state according to _TRANSITIONS, and make an ended filing live again.

    A filing number in the submission replaces the recorded number, and counts as issued on the day of the
    submission unless the sheet has a day.  The first number moves the filing to the state ``filed``, unless a
    deregistration is pending.
    """
    details = VersionSubmitted.from_details(event.details)
    submitted_on = details.submitted_on
    filing.submissions.append(
        RecordedSubmission(
            tag=details.tag,
            version=details.version,
            kind=details.kind,
            submitted_on=submitted_on,
            recorded_at=event.at,
        )
    )
    filing.ended_on = None
    transition = _TRANSITIONS.get(details.kind)
    if transition is not None and filing.state in transition.states_before:
        filing.enter_state(transition.state_after, submitted_on)
    if details.number:
        had_no_number = not filing.number
        filing.sheet_fields["number"] = details.number
        filing.sheet_fields.setdefault("issued_on", submitted_on.isoformat())
        if had_no_number and filing.state != "deregistration_pending":
            filing.enter_state("filed", submitted_on)


def _apply_end(filing: Filing, event: LifeEvent) -> None:
    """Set the day of the end.  A state such as ``revoked`` stays: it already says why the filing ended."""
    filing.ended_on = FilingEnded.from_details(event.details).ended_on
    if filing.state not in ENDED_STATES:
        filing.enter_state("deregistered", filing.ended_on)


def _apply_notice(filing: Filing, event: LifeEvent) -> None:
    """Add a notice; some kinds of notices also change the state of the filing.

    A correction or refusal returns a pending filing to the company.  A revocation moves any filing to ``revoked``.
    """
    details = NoticeReceived.from_details(event.details)
    filing.notices.append(
        Notice(
            number=details.number,
            filing=filing.name,
            kind=details.kind,
            issuer=details.issuer,
            document_number=details.document,
            received_on=details.received_on,
            due_on=details.due_on,
            working_days=details.working_days,
            owner=details.owner,
            paper_name=details.paper_name,
            paper_sha256=details.paper_sha256,
            recorded_at=event.at,
            seq=event.seq,
        )
    )
    if details.kind in ("correction", "refusal") and filing.state in PENDING_STATES:
        filing.enter_state("returned", details.received_on)
    if details.kind == "revocation":
        filing.enter_state("revoked", details.received_on)


def _apply_notice_answer(filing: Filing, event: LifeEvent) -> None:
    """Store the answering submission and the day of the answer in the notice with the event's number."""
    details = NoticeAnswered.from_details(event.details)
    for notice in filing.notices:
        if notice.number == details.number:
            notice.answer_submission, notice.answered_on = details.submission, details.answered_on


def _apply_change_question(filing: Filing, event: LifeEvent) -> None:
    """Add the open question raised by a detected change: is the change material, and so to be submitted?"""
    details = ChangeNoticed.from_details(event.details)
    filing.change_questions.append(
        ChangeQuestion(
            number=details.number,
            filing=filing.name,
            last_submission=details.last_submission,
            first_changed_on=details.first_changed_on,
            change_kinds=tuple(details.kinds),
            changed_materials=tuple(details.materials),
            releases=details.signal,
            asked_at=event.at,
        )
    )


def _apply_change_decision(filing: Filing, event: LifeEvent) -> None:
    """Store the decision, its reason, its day and the person in the question with the event's number."""
    details = ChangeDecided.from_details(event.details)
    for question in filing.change_questions:
        if question.number == details.number:
            question.is_material = details.is_material
            question.reason = details.reason
            question.decided_at = event.at
            question.decided_on = details.decided_on
            question.decided_by = details.reported_by or event.user


def _apply_display_check(filing: Filing, event: LifeEvent) -> None:
    """Add the result of a search for the filing number and the link on a page of the company."""
    details = DisplayChecked.from_details(event.details)
    filing.display_checks.append(
        DisplayCheck(
            checked_on=details.checked_on,
            recorded_at=event.at,
            source=details.source,
            number_found=details.number_found,
            link_found=details.link_found,
            problem=details.problem,
            seq=event.seq,
        )
    )


def _apply_signal_value(filing: Filing, event: LifeEvent) -> None:
    """Set the value of a signal: a file or repository whose changes announce releases of the algorithm.

    If the newest question is undecided, the release is added to that question.  The first value of a signal is no
    release.
    """
    details = ReleaseSignalled.from_details(event.details)
    newest_question = filing.change_questions[-1] if filing.change_questions else None
    if (
        details.signal in filing.signal_values
        and newest_question is not None
        and newest_question.is_material is None
    ):
        # The pending decision covers this release too: a filing with a pending question gets no second one.
        release = describe_release(details.signal, details.value)
        if release not in newest_question.releases:
            newest_question.releases = "; ".join(filter(None, (newest_question.releases, release)))
    filing.signal_values[details.signal] = details.value


_APPLY_FUNCTIONS: Mapping[str, Callable[[Filing, LifeEvent], None]] = {
    Action.SUBMIT: _apply_submission,
    Action.FILING_SET: _apply_sheet_update,
    Action.FILING_END: _apply_end,
    Action.NOTICE: _apply_notice,
    Action.NOTICE_ANSWER: _apply_notice_answer,
    Action.CHANGE_QUESTION: _apply_change_question,
    Action.CHANGE_DECISION: _apply_change_decision,
    Action.DISPLAY_CHECK: _apply_display_check,
    Action.SIGNAL: _apply_signal_value,
}
