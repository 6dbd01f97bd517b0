"""What is due, by when, and why: from the register and the rules.  Pure but for the calendar of working days."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

from archiver.errors import Phrase
from archiver.filings.due.rules import COMPANY, REGULATOR, SENTENCES, STATED, rule
from archiver.filings.due.working_days import CalendarDay, after, between
from archiver.filings.register import ENDED, PENDING, Filing, Notice, Question

DONE, LATE, OVERDUE, TODAY, SOON, OPEN = "done", "done late", "overdue", "due today", "due soon", "open"
_SOON_DAYS = 3


@dataclass(frozen=True, slots=True)
class Due:
    """One thing to do (or, of the regulator, to wait for).

    ``uid`` stays the same for as long as the matter does.  ``latest``: the other
    candidate of a provisional date.  ``done`` is the day on which it was done.
    """

    uid: str
    filing: str
    what: Phrase
    on: date
    who: str
    basis: str
    source: str
    started: date
    owner: str
    provisional: bool = False
    latest: date | None = None
    done: date | None = None

    def state(self, today: date) -> str:
        """One of the words above."""
        if self.done is not None:
            return DONE if self.done <= self.on else LATE
        if self.on < today:
            return OVERDUE
        if self.on == today:
            return TODAY
        return SOON if between(today, self.on) <= _SOON_DAYS else OPEN


def deadlines(filings: Iterable[Filing]) -> list[Due]:
    """Everything that is or was due, by date."""
    found = [each for filing in filings for each in _of(filing)]
    return sorted(found, key=lambda each: (each.on, each.filing, each.uid))


def still_open(filings: Iterable[Filing]) -> list[Due]:
    """What is not done yet, by date."""
    return [each for each in deadlines(filings) if each.done is None]


def _of(filing: Filing) -> Iterator[Due]:
    yield from _service(filing)
    if filing.state in PENDING:
        yield from _review(filing)
    yield from _display(filing)
    for question in filing.questions:
        yield from _change(filing, question)
    for notice in filing.notices:
        if notice.kind != "revocation":
            yield _notice(filing, notice)


def _service(filing: Filing) -> Iterator[Due]:
    if start := filing.day("service_start"):
        first = next((each.on for each in filing.submitted if each.kind in ("first", "subject")), None)
        yield _due(filing, "start", "start", start, done=first)
    if end := filing.day("service_end"):
        last = filing.last_submitted("deregistration")
        yield _due(filing, "end", "end", end, done=last.on if last else filing.ended)


def _review(filing: Filing) -> Iterator[Due]:
    handed_in = filing.last_submitted("subject", "first", "correction", "change", "deregistration")
    if handed_in is not None:
        yield _due(filing, f"review:{handed_in.tag}", "review", handed_in.on)
    looked = [each for each in (filing.state_on, *(check.on for check in filing.checks)) if each]
    if looked:
        # One matter for the whole review, moving on with each look.
        yield _due(filing, f"check:{handed_in.tag if handed_in else ''}", "check", max(looked))


def _display(filing: Filing) -> Iterator[Due]:
    issued = filing.day("issued_on")
    if not filing.number or issued is None or filing.state in ENDED:
        return
    shown = [each.on for each in filing.displays if each.number and each.link and each.on >= issued]
    yield _due(filing, f"display:{filing.number}", "display", issued, done=min(shown, default=None))


def _change(filing: Filing, question: Question) -> Iterator[Due]:
    uid = f"change:{question.number}"
    if filing.state in ENDED and question.material is None:
        return
    yield _due(
        filing,
        f"{uid}:decide",
        "change",
        question.first,
        sentence=Phrase(SENTENCES["decide"]),
        done=question.decided_on,
    )
    if question.material:
        later = [each.on for each in filing.submitted if each.kind == "change" and each.at > question.at]
        yield _due(filing, uid, "change", question.first, done=min(later, default=None))


def _notice(filing: Filing, notice: Notice) -> Due:
    key = "inspection" if notice.kind == "inspection" else "notice"
    sentence = Phrase(SENTENCES[key], number=notice.number, kind=Phrase(notice.kind))
    stated = (
        CalendarDay(notice.due) if notice.due else after(notice.received, notice.days) if notice.days else None
    )
    uid = f"notice:{notice.number}"
    return _due(
        filing, uid, key, notice.received, stated, sentence=sentence, done=notice.answered_on, owner=notice.owner
    )


def _due(
    filing: Filing,
    uid: str,
    key: str,
    started: date,
    stated: CalendarDay | None = None,
    *,
    sentence: Phrase | None = None,
    done: date | None = None,
    owner: str = "",
) -> Due:
    law = rule(key, started)
    day = stated or after(started, law.days)
    return Due(
        uid=f"{filing.name}:{uid}",
        filing=filing.name,
        what=sentence or Phrase(SENTENCES[key]),
        on=day.on,
        who=law.who,
        basis=STATED if stated else law.basis,
        source=law.source,
        started=started,
        owner=owner or (str(filing.fields.get("responsible") or "") if law.who == COMPANY else ""),
        provisional=day.provisional,
        latest=day.latest,
        done=done,
    )


def is_ours(due: Due) -> bool:
    """Whether the company has to do it, rather than wait for the regulator."""
    return due.who != REGULATOR
