"""The register (台账): what is known of each filing, folded from the journal's events.  Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from archiver.model import LifeEvent

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
    details = event.details
    is_first = not filing.number
    filing.fields |= details["fields"]
    if is_first and filing.number and filing.state in {"draft", *PENDING} - {"deregistration_pending"}:
        filing.enter("filed", date.fromisoformat(details["on"]))
    if status := details.get("status"):
        on = date.fromisoformat(details["on"])
        text = details.get("portal_text") or ""
        filing.enter(status, on, text)
        filing.checks.append(Check(status, on, text, event.user, event.at, details.get("evidence"), event.seq))


def _submit(filing: Filing, event: LifeEvent) -> None:
    details = event.details
    on = date.fromisoformat(details["on"])
    filing.submitted.append(HandedIn(details["tag"], details["version"], details["kind"], on, event.at))
    # The next handing-in makes an ended filing live again.
    filing.ended = None
    allowed, state = _BY_SUBMIT.get(details["kind"], (set(), ""))
    if filing.state in allowed:
        filing.enter(state, on)
    if details.get("number"):
        is_first = not filing.number
        filing.fields["number"] = details["number"]
        filing.fields.setdefault("issued_on", details["on"])
        if is_first and filing.state != "deregistration_pending":
            filing.enter("filed", on)


def _end(filing: Filing, event: LifeEvent) -> None:
    filing.ended = date.fromisoformat(event.details["on"])
    if filing.state not in ENDED:
        filing.enter("deregistered", filing.ended)


def _notice(filing: Filing, event: LifeEvent) -> None:
    d = event.details
    due = date.fromisoformat(d["due"]) if d["due"] else None
    filing.notices.append(
        Notice(
            d["number"],
            filing.name,
            d["kind"],
            d["issuer"],
            d["document"],
            date.fromisoformat(d["received"]),
            due,
            d["days"],
            d["owner"],
            d["file"],
            d["sha256"],
            event.at,
            event.seq,
        )
    )
    if d["kind"] in ("correction", "refusal") and filing.state in PENDING:
        filing.enter("returned", date.fromisoformat(d["received"]))
    if d["kind"] == "revocation":
        filing.enter("revoked", date.fromisoformat(d["received"]))


def _answer(filing: Filing, event: LifeEvent) -> None:
    for notice in filing.notices:
        if notice.number == event.details["number"]:
            notice.answer = event.details["submission"]
            notice.answered_on = date.fromisoformat(event.details["on"])


def _question(filing: Filing, event: LifeEvent) -> None:
    d = event.details
    first = date.fromisoformat(d["first"])
    filing.questions.append(
        Question(
            d["number"],
            filing.name,
            d["since"],
            first,
            tuple(d["kinds"]),
            tuple(d["materials"]),
            d["signal"],
            event.at,
        )
    )


def _decision(filing: Filing, event: LifeEvent) -> None:
    d = event.details
    for question in filing.questions:
        if question.number == d["number"]:
            question.material, question.reason = d["material"], d["reason"]
            question.decided_at = event.at
            question.decided_on, question.by = date.fromisoformat(d["on"]), d["by"] or event.user


def _display(filing: Filing, event: LifeEvent) -> None:
    d = event.details
    on = date.fromisoformat(d["on"])
    filing.displays.append(
        Display(on, event.at, d["source"], d["number_found"], d["link_found"], d["problem"], event.seq)
    )


def _signal(filing: Filing, event: LifeEvent) -> None:
    signal, value = event.details["signal"], event.details["value"]
    last = filing.questions[-1] if filing.questions else None
    if signal in filing.signals and last is not None and last.material is None:
        # A release while a question waits is decided with it.
        told = released(signal, value)
        if told not in last.signal:
            last.signal = "; ".join(filter(None, (last.signal, told)))
    filing.signals[signal] = value


_APPLY = {
    "submit": _submit,
    "filing-set": _set,
    "filing-end": _end,
    "notice": _notice,
    "notice-answer": _answer,
    "change-question": _question,
    "change-decision": _decision,
    "display-check": _display,
    "signal": _signal,
}
