"""Compute deadlines from the register and the rules.  Pure, except for reading the calendar of working days."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import NamedTuple

from archiver.errors import LazyMessage
from archiver.filings.code_names import NOTICE_KIND_NAMES, name_for_code
from archiver.filings.due.rules import COMPANY, DUTY_SENTENCES, REGULATOR, STATED, rule_in_force
from archiver.filings.due.working_days import CalendarDay, add_working_days, count_working_days
from archiver.filings.register import ChangeQuestion, Filing, Notice, RecordedSubmission
from archiver.filings.register_codes import ENDED_STATES, PENDING_STATES
from archiver.naming.ref_names import RefName

#: The states of a deadline.
DONE, DONE_LATE, OVERDUE, TODAY, SOON, OPEN = "done", "done late", "overdue", "due today", "due soon", "open"
#: A deadline is due soon from this number of working days before its last day.  The second reminder is sent at the
#: same time.
_SOON_DAYS = 3


class Deadline(NamedTuple):
    """A duty of the company or of the regulator, and the last day for it."""

    uid: str  # never changes, even if the day moves: calendars and reminders refer to it
    filing: RefName  # the filing's name
    duty: LazyMessage  # the duty, such as "answer notice 3"
    due_on: date  # the last day; of a provisional deadline, the earlier of two possible days
    party: str  # who has the duty: COMPANY or REGULATOR
    basis: str  # STATUTE, POLICY or STATED
    article: LazyMessage | None  # the article of the statute; None if no statute is behind the duty
    counted_from: date  # the day from which the period counts
    owner: str  # the role or person in charge; empty if none is recorded
    is_provisional: bool = False  # True if the holidays of a year in the period are not published yet
    latest_due_on: date | None = None  # the later of two possible days of a provisional deadline; otherwise None
    done_on: date | None = None  # the day on which the duty was done; None while it is open

    def state(self, today: date) -> str:
        """Return the state on the day ``today``: DONE, DONE_LATE, OVERDUE, TODAY, SOON or OPEN."""
        if self.done_on is not None:
            return DONE if self.done_on <= self.due_on else DONE_LATE
        if self.due_on < today:
            return OVERDUE
        if self.due_on == today:
            return TODAY
        return SOON if count_working_days(today, self.due_on) <= _SOON_DAYS else OPEN


def compute_deadlines(filings: Iterable[Filing]) -> list[Deadline]:
    """Return every deadline of ``filings``, whether done or open, ordered by day, then by filing and uid."""
    all_deadlines = [deadline for filing in filings for deadline in _compute_filing_deadlines(filing)]
    return sorted(all_deadlines, key=lambda deadline: (deadline.due_on, deadline.filing, deadline.uid))


def compute_open_deadlines(filings: Iterable[Filing]) -> list[Deadline]:
    """Return the deadlines whose duty is not done yet, in the same order as :func:`compute_deadlines`."""
    return [deadline for deadline in compute_deadlines(filings) if deadline.done_on is None]


def _compute_filing_deadlines(filing: Filing) -> Iterator[Deadline]:
    """Yield every deadline of a filing.  A notice of revocation needs no answer, so it has no deadline."""
    yield from _compute_service_deadlines(filing)
    if filing.state in PENDING_STATES:
        yield from _compute_decision_deadline(filing)
        yield from _compute_portal_check_deadline(filing)
    yield from _compute_display_deadline(filing)
    for question in filing.change_questions:
        yield from _compute_change_deadlines(filing, question)
    for notice in filing.notices:
        if notice.kind != "revocation":
            yield _compute_notice_deadline(filing, notice)


def _compute_service_deadlines(filing: Filing) -> Iterator[Deadline]:
    """Yield the deadlines for the first submission and for the deregistration.

    They count from the days on which the service starts and ends.  If such a day is not recorded, the deadline is
    left out.
    """
    if service_start := filing.sheet_day("service_start"):
        first_submitted_on = next(
            (record.submitted_on for record in filing.submissions if record.kind in ("first", "subject")), None
        )
        yield _build_deadline(
            filing, uid="start", rule_key="start", counted_from=service_start, done_on=first_submitted_on
        )
    if service_end := filing.sheet_day("service_end"):
        deregistration = filing.newest_submission("deregistration")
        yield _build_deadline(
            filing,
            uid="end",
            rule_key="end",
            counted_from=service_end,
            done_on=deregistration.submitted_on if deregistration else filing.ended_on,
        )


def _compute_decision_deadline(filing: Filing) -> Iterator[Deadline]:
    """Yield the regulator's deadline to decide on a pending filing; nothing if no submission awaits a decision.

    The deadline counts from the newest such submission.
    """
    if submission := _find_reviewed_submission(filing):
        yield _build_deadline(
            filing, uid=f"review:{submission.tag}", rule_key="review", counted_from=submission.submitted_on
        )


def _compute_portal_check_deadline(filing: Filing) -> Iterator[Deadline]:
    """Yield the company's deadline to look up a pending filing's state on the portal again.

    The deadline counts from the newest day on which the state was seen or began.  Yields nothing if no such day is
    recorded.
    """
    known_state_days = [check.seen_on for check in filing.review_checks]
    if filing.state_on is not None:
        known_state_days.append(filing.state_on)
    if known_state_days:
        submission = _find_reviewed_submission(filing)
        # One uid for the whole review, so that each check moves the same calendar entry to a later day.
        check_uid = f"check:{submission.tag if submission else ''}"
        yield _build_deadline(filing, uid=check_uid, rule_key="check", counted_from=max(known_state_days))


def _find_reviewed_submission(filing: Filing) -> RecordedSubmission | None:
    """Return the newest submission that the regulator has to decide on; None if there is none."""
    return filing.newest_submission("subject", "first", "correction", "change", "deregistration")


def _compute_display_deadline(filing: Filing) -> Iterator[Deadline]:
    """Yield the deadline for displaying the filing number, if there is a number and the filing has not ended.

    The duty is done on the day of the first check that found both the number and the link on a page.
    """
    issued_on = filing.sheet_day("issued_on")
    if not filing.number or issued_on is None or filing.state in ENDED_STATES:
        return
    complete_display_days = [
        check.checked_on
        for check in filing.display_checks
        if check.number_found and check.link_found and check.checked_on >= issued_on
    ]
    yield _build_deadline(
        filing,
        uid=f"display:{filing.number}",
        rule_key="display",
        counted_from=issued_on,
        done_on=min(complete_display_days, default=None),
    )


def _compute_change_deadlines(filing: Filing, question: ChangeQuestion) -> Iterator[Deadline]:
    """Yield the deadlines for deciding on a change and, if the change is material, for submitting it.

    Both count from the day of the first change.  Yields nothing for an undecided change of an ended filing,
    because a decision is no longer needed.
    """
    change_uid = f"change:{question.number}"
    if filing.state in ENDED_STATES and question.is_material is None:
        return
    yield _build_deadline(
        filing,
        uid=f"{change_uid}:decide",
        rule_key="change",
        counted_from=question.first_changed_on,
        duty=DUTY_SENTENCES["decide"],
        done_on=question.decided_on,
    )
    if question.is_material:
        submission_days = [
            record.submitted_on
            for record in filing.submissions
            if record.kind == "change" and record.recorded_at > question.asked_at
        ]
        yield _build_deadline(
            filing,
            uid=change_uid,
            rule_key="change",
            counted_from=question.first_changed_on,
            done_on=min(submission_days, default=None),
        )


def _compute_notice_deadline(filing: Filing, notice: Notice) -> Deadline:
    """Return the deadline for answering a notice.

    It is the day that the notice states.  If the notice states only a number of working days, the day is counted
    in these; if it states neither, in the working days of the rule.
    """
    rule_key = "inspection" if notice.kind == "inspection" else "notice"
    kind_name = name_for_code(notice.kind, NOTICE_KIND_NAMES)
    stated_day = None
    if notice.due_on:
        stated_day = CalendarDay(notice.due_on)
    elif notice.working_days:
        stated_day = add_working_days(notice.received_on, notice.working_days)
    return _build_deadline(
        filing,
        uid=f"notice:{notice.number}",
        rule_key=rule_key,
        counted_from=notice.received_on,
        stated_day=stated_day,
        duty=DUTY_SENTENCES[rule_key].with_fields(number=notice.number, kind=kind_name),
        done_on=notice.answered_on,
        owner=notice.owner,
    )


def _build_deadline(
    filing: Filing,
    *,
    uid: str,
    rule_key: str,
    counted_from: date,
    stated_day: CalendarDay | None = None,
    duty: LazyMessage | None = None,
    done_on: date | None = None,
    owner: str = "",
) -> Deadline:
    """Return a deadline by the rule for ``rule_key`` that was in force on ``counted_from``.

    ``uid`` is unique in the filing.  ``stated_day`` replaces the day of the rule, even if the rule would give more
    time.  ``duty`` replaces the rule's sentence for the duty.  ``done_on`` is None while the duty is open.  If
    ``owner`` is empty and the duty is the company's, the filing's responsible person becomes the owner.
    """
    rule = rule_in_force(rule_key, counted_from)
    due_day = stated_day or add_working_days(counted_from, rule.working_days)
    default_owner = str(filing.sheet_fields.get("responsible") or "") if rule.party == COMPANY else ""
    return Deadline(
        uid=f"{filing.name}:{uid}",
        filing=filing.name,
        duty=duty or DUTY_SENTENCES[rule_key],
        due_on=due_day.earliest,
        party=rule.party,
        basis=STATED if stated_day else rule.basis,
        article=rule.article,
        counted_from=counted_from,
        owner=owner or default_owner,
        is_provisional=due_day.is_provisional,
        latest_due_on=due_day.latest,
        done_on=done_on,
    )


def is_company_duty(deadline: Deadline) -> bool:
    """Return True if the duty is the company's, False if it is the regulator's."""
    return deadline.party != REGULATOR
