"""Deadlines computed from the register and the rules. Pure, except for reading the calendar of working days."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

from archiver.errors import LazyMessage
from archiver.filings.code_names import NOTICE_KIND_NAMES, name_for_code
from archiver.filings.due.rules import COMPANY, DUTY_SENTENCES, REGULATOR, STATED, rule_in_force
from archiver.filings.due.working_days import CalendarDay, add_working_days, count_working_days
from archiver.filings.register import ChangeQuestion, Filing, Notice
from archiver.filings.register_codes import ENDED_STATES, PENDING_STATES

#: The states of a deadline.
DONE, LATE, OVERDUE, TODAY, SOON, OPEN = "done", "done late", "overdue", "due today", "due soon", "open"
#: A deadline is due soon from this number of working days before it.  The second reminder is sent then too.
_SOON_DAYS = 3


@dataclass(frozen=True, slots=True)
class Deadline:
    """A duty of the company or of the regulator, and the last day for it."""

    uid: str  # never changes, even if the day moves: calendars and reminders refer to it
    filing: str  # the filing's name
    duty: LazyMessage  # the duty, such as "answer notice 3"
    due_on: date  # the last day; of a provisional deadline, the earliest day that it may turn out to be
    party: str  # who has the duty: COMPANY or REGULATOR
    basis: str  # STATUTE, POLICY or STATED
    article: LazyMessage | None  # the article of the statute; None without one
    counted_from: date  # the day from which the period counts
    owner: str  # the role or person in charge; empty if none is recorded
    is_provisional: bool = False  # True if the holidays of a year in the period are not published yet
    latest_due_on: date | None = None  # the latest day that a provisional deadline may turn out to be; else None
    done_on: date | None = None  # the day on which the duty was done; None while it is open

    def state(self, today: date) -> str:
        """Return the state on the day ``today``: DONE, LATE, OVERDUE, TODAY, SOON or OPEN."""
        if self.done_on is not None:
            return DONE if self.done_on <= self.due_on else LATE
        if self.due_on < today:
            return OVERDUE
        if self.due_on == today:
            return TODAY
        return SOON if count_working_days(today, self.due_on) <= _SOON_DAYS else OPEN


def compute_deadlines(filings: Iterable[Filing]) -> list[Deadline]:
    """Return every deadline of ``filings``, done and open, ordered by day, then by filing and uid."""
    all_deadlines = [deadline for filing in filings for deadline in _filing_deadlines(filing)]
    return sorted(all_deadlines, key=lambda deadline: (deadline.due_on, deadline.filing, deadline.uid))


def compute_open_deadlines(filings: Iterable[Filing]) -> list[Deadline]:
    """Return the deadlines whose duty is not done yet, in the same order as :func:`compute_deadlines`."""
    return [deadline for deadline in compute_deadlines(filings) if deadline.done_on is None]


def _filing_deadlines(filing: Filing) -> Iterator[Deadline]:
    """Yield every deadline of a filing.  A revocation needs no answer, so it has no deadline."""
    yield from _service_deadlines(filing)
    if filing.state in PENDING_STATES:
        yield from _review_deadlines(filing)
    yield from _display_deadline(filing)
    for question in filing.change_questions:
        yield from _change_deadlines(filing, question)
    for notice in filing.notices:
        if notice.kind != "revocation":
            yield _notice_deadline(filing, notice)


def _service_deadlines(filing: Filing) -> Iterator[Deadline]:
    """Yield the deadline of the first submission, and that of the deregistration.

    They count from the days on which the service starts and ends.  Without such a day, a deadline is left out.
    """
    if service_start := filing.sheet_day("service_start"):
        submitted_on = next(
            (record.submitted_on for record in filing.submissions if record.kind in ("first", "subject")), None
        )
        yield _make_deadline(filing, "start", "start", service_start, done_on=submitted_on)
    if service_end := filing.sheet_day("service_end"):
        deregistration = filing.newest_submission("deregistration")
        yield _make_deadline(
            filing,
            "end",
            "end",
            service_end,
            done_on=deregistration.submitted_on if deregistration else filing.ended_on,
        )


def _review_deadlines(filing: Filing) -> Iterator[Deadline]:
    """Yield the regulator's deadline to decide on a pending filing, and the company's to look at the portal again.

    The first counts from the newest submission that the regulator has to decide on, the second from the newest day
    on which the state is known.  Without such a day, a deadline is left out.
    """
    submission = filing.newest_submission("subject", "first", "correction", "change", "deregistration")
    if submission is not None:
        yield _make_deadline(filing, f"review:{submission.tag}", "review", submission.submitted_on)
    check_days = [day for day in (filing.state_on, *(check.seen_on for check in filing.review_checks)) if day]
    if check_days:
        # The whole review has one such deadline, with one uid.  Each check moves it on.
        yield _make_deadline(filing, f"check:{submission.tag if submission else ''}", "check", max(check_days))


def _display_deadline(filing: Filing) -> Iterator[Deadline]:
    """Yield the deadline for displaying the filing number, if there is a number and the filing has not ended.

    The first check that found both the number and the link on a page is the day on which it was done.
    """
    issued_on = filing.sheet_day("issued_on")
    if not filing.number or issued_on is None or filing.state in ENDED_STATES:
        return
    display_days = [
        check.checked_on
        for check in filing.display_checks
        if check.number_found and check.link_found and check.checked_on >= issued_on
    ]
    yield _make_deadline(
        filing, f"display:{filing.number}", "display", issued_on, done_on=min(display_days, default=None)
    )


def _change_deadlines(filing: Filing, question: ChangeQuestion) -> Iterator[Deadline]:
    """Yield the deadlines for deciding on a change and, if material, for submitting the change.

    Both count from the day of the first change.  An undecided change of a filing that has ended needs no decision
    any more, and has no deadlines.
    """
    change_uid = f"change:{question.number}"
    if filing.state in ENDED_STATES and question.is_material is None:
        return
    yield _make_deadline(
        filing,
        f"{change_uid}:decide",
        "change",
        question.first_changed_on,
        duty=DUTY_SENTENCES["decide"],
        done_on=question.decided_on,
    )
    if question.is_material:
        submission_days = [
            record.submitted_on
            for record in filing.submissions
            if record.kind == "change" and record.recorded_at > question.asked_at
        ]
        yield _make_deadline(
            filing, change_uid, "change", question.first_changed_on, done_on=min(submission_days, default=None)
        )


def _notice_deadline(filing: Filing, notice: Notice) -> Deadline:
    """Return the deadline for answering a notice.

    It is the day that the notice states.  Without one, it is counted in the working days that the notice states,
    and without those, in the working days of the rule.
    """
    rule_key = "inspection" if notice.kind == "inspection" else "notice"
    kind_name = name_for_code(notice.kind, NOTICE_KIND_NAMES)
    duty = DUTY_SENTENCES[rule_key].with_fields(number=notice.number, kind=kind_name)
    stated_day = None
    if notice.due_on:
        stated_day = CalendarDay(notice.due_on)
    elif notice.working_days:
        stated_day = add_working_days(notice.received_on, notice.working_days)
    notice_uid = f"notice:{notice.number}"
    return _make_deadline(
        filing,
        notice_uid,
        rule_key,
        notice.received_on,
        stated_day,
        duty=duty,
        done_on=notice.answered_on,
        owner=notice.owner,
    )


def _make_deadline(
    filing: Filing,
    uid: str,
    rule_key: str,
    counted_from: date,
    stated_day: CalendarDay | None = None,
    *,
    duty: LazyMessage | None = None,
    done_on: date | None = None,
    owner: str = "",
) -> Deadline:
    """Return a deadline by the rule for ``rule_key`` that was in force on ``counted_from``.

    ``uid`` is unique in the filing.  ``stated_day`` replaces the day of the rule, even if the rule would give more
    time.  ``duty`` replaces the rule's sentence for the duty.  ``done_on`` is None while the duty is open.  If
    ``owner`` is empty and the duty is the company's, the owner is the filing's responsible person.
    """
    rule = rule_in_force(rule_key, counted_from)
    due_day = stated_day or add_working_days(counted_from, rule.working_days)
    return Deadline(
        uid=f"{filing.name}:{uid}",
        filing=filing.name,
        duty=duty or DUTY_SENTENCES[rule_key],
        due_on=due_day.earliest,
        party=rule.party,
        basis=STATED if stated_day else rule.basis,
        article=rule.article,
        counted_from=counted_from,
        owner=owner or (str(filing.sheet_fields.get("responsible") or "") if rule.party == COMPANY else ""),
        is_provisional=due_day.is_provisional,
        latest_due_on=due_day.latest,
        done_on=done_on,
    )


def is_company_duty(deadline: Deadline) -> bool:
    """Return True if the duty is the company's, False if it is the regulator's."""
    return deadline.party != REGULATOR
