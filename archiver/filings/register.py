"""The register (台账): what is known of each filing, folded from the journal's events.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from archiver.model import LifeEvent
from archiver.store.events.actions import Action
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
PENDING = frozenset({"submitted", "under_review", "resubmitted", "change_pending", "deregistration_pending"})
ENDED = frozenset({"deregistered", "revoked", "withdrawn"})
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

#: What a handing-in of a kind does to the state, by the states that it may come from.
_BY_SUBMIT = {
    "subject": ({"draft"}, "submitted"),
    "first": ({"draft"}, "submitted"),
    "correction": ({"submitted", "under_review", "returned"}, "resubmitted"),
    "change": ({"filed"}, "change_pending"),
    "deregistration": ({"filed", "change_pending"}, "deregistration_pending"),
}


@dataclass(frozen=True, slots=True)
class Check:
    """One look at the review status, with the portal's own words."""

    status: str
    on: date
    portal_text: str
    user: str
    at: str
    evidence: str | None
    seq: int


@dataclass(frozen=True, slots=True)
class HandedIn:
    """One handing-in; ``at`` is when it was recorded."""

    tag: str
    version: str
    kind: str
    on: date
    at: str


@dataclass(slots=True)
class Notice:
    """A notice of the regulator (补正通知, 问询函, ...)."""

    number: int
    filing: str
    kind: str
    issuer: str
    document: str
    received: date
    due: date | None
    days: int | None
    owner: str
    file: str | None
    sha256: str | None
    at: str
    seq: int
    answer: str | None = None
    answered_on: date | None = None


@dataclass(slots=True)
class Question:
    """Whether a change of a filed filing is material (重大变更): a person's decision, never the program's."""

    number: int
    filing: str
    since: str
    first: date
    kinds: tuple[str, ...]
    materials: tuple[str, ...]
    signal: str
    at: str
    material: bool | None = None
    reason: str = ""
    decided_on: date | None = None
    decided_at: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Display:
    """One check of the public display."""

    on: date
    at: str
    source: str
    number: bool
    link: bool
    problem: str
    seq: int


@dataclass(slots=True)
class Filing:
    """One filing as it is known; dates are days of the configured zone."""

    name: str
    fields: dict[str, Any] = field(default_factory=dict)
    state: str = "draft"
    portal_text: str = ""
    state_on: date | None = None
    checks: list[Check] = field(default_factory=list)
    submitted: list[HandedIn] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    displays: list[Display] = field(default_factory=list)
    signals: dict[str, str] = field(default_factory=dict)
    ended: date | None = None

    @property
    def number(self) -> str:
        """The filing number, empty before it is issued."""
        return str(self.fields.get("number") or "")

    def enter(self, state: str, on: date, portal_text: str = "") -> None:
        """Enter a state; the portal's words were about the one before."""
        self.state, self.state_on, self.portal_text = state, on, portal_text

    def day(self, name: str) -> date | None:
        """A date of the sheet."""
        value = self.fields.get(name)
        return date.fromisoformat(value) if value else None

    def last_submitted(self, *kinds: str) -> HandedIn | None:
        """The newest handing-in, of these kinds where some are named."""
        return next((each for each in reversed(self.submitted) if not kinds or each.kind in kinds), None)


def register(events: Iterable[LifeEvent]) -> dict[str, Filing]:
    """Fold the events, oldest first, into the state of every filing."""
    filings: dict[str, Filing] = {}
    for event in events:
        if event.action in _APPLY:
            filing = filings.setdefault(event.filing, Filing(event.filing))
            _APPLY[event.action](filing, event)
    return filings


def released(signal: str, value: str) -> str:
    """A signal and what it says, for people: its value begins with a digest, which nobody reads."""
    return f"{signal} {value.partition(' ')[2]}".strip()


def _set(filing: Filing, event: LifeEvent) -> None:
    details = FilingUpdated.from_details(event.details)
    is_first = not filing.number
    filing.fields |= details.fields
    if is_first and filing.number and filing.state in {"draft", *PENDING} - {"deregistration_pending"}:
        filing.enter("filed", details.recorded_on)
    if details.status:
        text = details.portal_text or ""
        filing.enter(details.status, details.recorded_on, text)
        filing.checks.append(
            Check(details.status, details.recorded_on, text, event.user, event.at, details.evidence, event.seq)
        )


def _submit(filing: Filing, event: LifeEvent) -> None:
    details = VersionSubmitted.from_details(event.details)
    on = details.submitted_on
    filing.submitted.append(HandedIn(details.tag, details.version, details.kind, on, event.at))
    # The next handing-in makes an ended filing live again.
    filing.ended = None
    allowed, state = _BY_SUBMIT.get(details.kind, (set(), ""))
    if filing.state in allowed:
        filing.enter(state, on)
    if details.number:
        is_first = not filing.number
        filing.fields["number"] = details.number
        filing.fields.setdefault("issued_on", on.isoformat())
        if is_first and filing.state != "deregistration_pending":
            filing.enter("filed", on)


def _end(filing: Filing, event: LifeEvent) -> None:
    filing.ended = FilingEnded.from_details(event.details).ended_on
    if filing.state not in ENDED:
        filing.enter("deregistered", filing.ended)


def _notice(filing: Filing, event: LifeEvent) -> None:
    notice = NoticeReceived.from_details(event.details)
    filing.notices.append(
        Notice(
            notice.number,
            filing.name,
            notice.kind,
            notice.issuer,
            notice.document,
            notice.received_on,
            notice.due_on,
            notice.working_days,
            notice.owner,
            notice.paper_name,
            notice.paper_sha256,
            event.at,
            event.seq,
        )
    )
    if notice.kind in ("correction", "refusal") and filing.state in PENDING:
        filing.enter("returned", notice.received_on)
    if notice.kind == "revocation":
        filing.enter("revoked", notice.received_on)


def _answer(filing: Filing, event: LifeEvent) -> None:
    details = NoticeAnswered.from_details(event.details)
    for notice in filing.notices:
        if notice.number == details.number:
            notice.answer, notice.answered_on = details.submission, details.answered_on


def _question(filing: Filing, event: LifeEvent) -> None:
    details = ChangeNoticed.from_details(event.details)
    filing.questions.append(
        Question(
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


def _decision(filing: Filing, event: LifeEvent) -> None:
    details = ChangeDecided.from_details(event.details)
    for question in filing.questions:
        if question.number == details.number:
            question.material, question.reason = details.is_material, details.reason
            question.decided_at = event.at
            question.decided_on, question.by = details.decided_on, details.reported_by or event.user


def _display(filing: Filing, event: LifeEvent) -> None:
    details = DisplayChecked.from_details(event.details)
    filing.displays.append(
        Display(
            details.checked_on,
            event.at,
            details.source,
            details.number_found,
            details.link_found,
            details.problem,
            event.seq,
        )
    )


def _signal(filing: Filing, event: LifeEvent) -> None:
    details = ReleaseSignalled.from_details(event.details)
    last = filing.questions[-1] if filing.questions else None
    if details.signal in filing.signals and last is not None and last.material is None:
        # A release while a question waits is decided with it.
        told = released(details.signal, details.value)
        if told not in last.signal:
            last.signal = "; ".join(filter(None, (last.signal, told)))
    filing.signals[details.signal] = details.value


_APPLY: Mapping[str, Callable[[Filing, LifeEvent], None]] = {
    Action.SUBMIT: _submit,
    Action.FILING_SET: _set,
    Action.FILING_END: _end,
    Action.NOTICE: _notice,
    Action.NOTICE_ANSWER: _answer,
    Action.CHANGE_QUESTION: _question,
    Action.CHANGE_DECISION: _decision,
    Action.DISPLAY_CHECK: _display,
    Action.SIGNAL: _signal,
}
