"""Decide which reminders are due.  Pure.

A deadline passes through *steps*: early, soon, last, overdue.  A *reminder* is one line of text about a step; a
*message* holds all reminders for one address.  The journal records which steps were sent to which address, so each
step is sent there only once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import chain
from typing import NamedTuple

from archiver.errors import LazyMessage
from archiver.filings.code_names import deadline_state_name
from archiver.filings.due.deadlines import Deadline, compute_open_deadlines, is_company_duty
from archiver.filings.due.rules import POLICY
from archiver.filings.due.working_days import count_working_days
from archiver.filings.register import Filing
from archiver.filings.register_codes import PENDING_STATES
from archiver.model import LifeEvent
from archiver.store.events.event_kinds import Action
from archiver.store.events.filing_events import ReminderSent

#: The roles that reminders go to.
OWNER, MANAGER = "owner", "manager"
#: Working days before a deadline on which a step begins: the owner is reminded, then reminded again, then reminded
#: together with the manager.  With more days nobody would act yet; with fewer, too little time would remain to
#: prepare a submission.
_EARLY_DAYS, _SOON_DAYS, _LAST_DAYS = 7, 3, 1


class Reminder(NamedTuple):
    """A line of a message.  Reminders with the same ``uid`` and ``step`` are sent only once to each address."""

    uid: str  # of the deadline or alert
    step: str  # the name of the step, usually with a day, such as "soon:2026-05-01"
    text: LazyMessage

    @property
    def filing(self) -> str:
        """The name of the filing.  It is the beginning of ``uid``, because no name in a ref contains a colon."""
        return self.uid.partition(":")[0]


class _AddressedReminder(NamedTuple):
    """A reminder and its recipient."""

    recipient: str  # a role, or the name of a person
    reminder: Reminder


class _ReminderStep(NamedTuple):
    """A step of a deadline, and the roles to remind."""

    name: str  # unique among the steps of the deadline, such as "soon:2026-05-01"; empty for _NO_STEP
    roles: tuple[str, ...]  # the roles to remind; empty for _NO_STEP


#: The step on a day on which nobody is reminded yet.
_NO_STEP = _ReminderStep("", ())


class _SentStep(NamedTuple):
    """A step that was sent to an address."""

    recipient: str
    address_index: int
    uid: str  # of the deadline or alert
    step: str


class DisplayAlert(NamedTuple):
    """A page of the company on which the filing number or the link is missing."""

    uid: str  # identifies the filing and the page
    message: LazyMessage
    checked_on: date  # the day of the last check of the page


class ReminderMessage(NamedTuple):
    """A message to one address of a role or person."""

    recipient: str  # the role, or the name of the person
    address_index: int  # position among the recipient's addresses, from 0; ``channel`` in the journal
    reminders: tuple[Reminder, ...]  # not empty


def select_pending_messages(
    filings: Iterable[Filing],
    events: Iterable[LifeEvent],
    today: date,
    addresses_by_recipient: Mapping[str, Sequence[str]],
) -> list[ReminderMessage]:
    """Return the messages to send today, ordered by recipient and address.  Sends nothing.

    ``events`` are events of the journal; reminders that they record as sent are left out.
    ``addresses_by_recipient`` has the addresses of roles and persons.  Reminders for a person without an address
    go to OWNER.  Reminders for MANAGER go to nobody if MANAGER has no address, because each of them also goes to
    the owner of the deadline.
    """
    sent_steps = _collect_sent_steps(events)
    filing_list = list(filings)
    addressed_reminders = chain(
        _build_deadline_reminders(filing_list, today), _build_display_reminders(filing_list)
    )
    reminders_by_recipient = _group_by_recipient(addressed_reminders, addresses_by_recipient)
    messages = []
    for recipient, reminders in sorted(reminders_by_recipient.items()):
        for address_index in range(len(addresses_by_recipient.get(recipient, ()))):
            unsent_reminders = tuple(
                reminder
                for reminder in reminders
                if _SentStep(recipient, address_index, reminder.uid, reminder.step) not in sent_steps
            )
            if unsent_reminders:
                messages.append(ReminderMessage(recipient, address_index, unsent_reminders))
    return messages


def _group_by_recipient(
    addressed_reminders: Iterable[_AddressedReminder], addresses_by_recipient: Mapping[str, Sequence[str]]
) -> dict[str, list[Reminder]]:
    """Return the reminders of each recipient, without duplicates, in the given order.

    OWNER gets the reminders of a recipient without an address, except the reminders of MANAGER.
    """
    reminders_by_recipient: dict[str, list[Reminder]] = defaultdict(list)
    for intended_recipient, reminder in addressed_reminders:
        has_address = intended_recipient in addresses_by_recipient
        recipient = intended_recipient if has_address or intended_recipient == MANAGER else OWNER
        if reminder not in reminders_by_recipient[recipient]:
            reminders_by_recipient[recipient].append(reminder)
    return reminders_by_recipient


def _collect_sent_steps(events: Iterable[LifeEvent]) -> set[_SentStep]:
    """Return the steps that the journal records as sent."""
    sent_steps = set()
    for event in events:
        if event.action == Action.REMINDER:
            sent_message = ReminderSent.from_details(event.details)
            sent_steps |= {
                _SentStep(sent_message.recipient, sent_message.channel, sent_item["uid"], sent_item["step"])
                for sent_item in sent_message.items
            }
    return sent_steps


def _build_deadline_reminders(filings: list[Filing], today: date) -> Iterator[_AddressedReminder]:
    """Yield the reminders of every open deadline whose step today has roles to remind."""
    for deadline in compute_open_deadlines(filings):
        step = _find_current_step(deadline, today)
        reminder = Reminder(deadline.uid, step.name, describe_deadline(deadline, today))
        for role in step.roles:
            # The owner of the deadline, if recorded, gets the reminder in place of the role.
            recipient = deadline.owner if role == OWNER and deadline.owner else role
            yield _AddressedReminder(recipient, reminder)


def _build_display_reminders(filings: list[Filing]) -> Iterator[_AddressedReminder]:
    """Yield a reminder to OWNER for every display alert; the day of the check is in the step."""
    for filing in filings:
        for alert in find_display_alerts(filing):
            step_name = f"missing:{alert.checked_on.isoformat()}"
            yield _AddressedReminder(OWNER, Reminder(alert.uid, step_name, alert.message))


def _find_current_step(deadline: Deadline, today: date) -> _ReminderStep:
    """Return today's reminder step of an open deadline; ``_NO_STEP`` if nobody is reminded today."""
    if is_company_duty(deadline):
        return _find_company_step(deadline.due_on, today)
    return _find_regulator_step(deadline.due_on, today)


def _find_company_step(due_on: date, today: date) -> _ReminderStep:
    """Return today's step of a duty of the company.

    A step is sent only once under its name (see :class:`Reminder`).  Therefore the name contains the due date, so
    that the step is sent again if the deadline moves.  While the duty is overdue, the name contains today's date
    instead, so that the step is sent every day.
    """
    if due_on < today:
        return _ReminderStep(f"overdue:{today.isoformat()}", (OWNER, MANAGER))
    remaining_working_days = count_working_days(today, due_on)
    if remaining_working_days <= _LAST_DAYS:
        return _ReminderStep(f"last:{due_on.isoformat()}", (OWNER, MANAGER))
    if remaining_working_days <= _SOON_DAYS:
        return _ReminderStep(f"soon:{due_on.isoformat()}", (OWNER,))
    if remaining_working_days <= _EARLY_DAYS:
        return _ReminderStep(f"early:{due_on.isoformat()}", (OWNER,))
    return _NO_STEP


def _find_regulator_step(due_on: date, today: date) -> _ReminderStep:
    """Return today's step of a duty of the regulator: one reminder after the deadline has passed.

    The name of the step has no date, so the reminder is sent only once, even if the deadline moves.
    """
    return _ReminderStep("passed", (OWNER,)) if due_on < today else _NO_STEP


def describe_deadline(deadline: Deadline, today: date) -> LazyMessage:
    """Return a line for people with a deadline's filing and duty, its last day and today's state."""
    state_name = deadline_state_name(deadline.state(today), deadline.basis)
    if deadline.basis == POLICY:
        return LazyMessage(
            "{filing}: {what}, suggested date {on} [{state}]",
            filing=deadline.filing,
            what=deadline.duty,
            on=deadline.due_on.isoformat(),
            state=state_name,
        )
    if deadline.is_provisional:
        return LazyMessage(
            "{filing}: {what}, due {on} at the earliest (provisional: that year's holidays are not published "
            "yet) [{state}]",
            filing=deadline.filing,
            what=deadline.duty,
            on=deadline.due_on.isoformat(),
            state=state_name,
        )
    return LazyMessage(
        "{filing}: {what}, due {on} [{state}]",
        filing=deadline.filing,
        what=deadline.duty,
        on=deadline.due_on.isoformat(),
        state=state_name,
    )


def find_display_alerts(filing: Filing) -> list[DisplayAlert]:
    """Return an alert for each page on which the last check did not find both the filing number and the link.

    A page that could not be read is left out, because nothing may be missing on it.  A filing has alerts only
    while it is filed or pending.
    """
    if filing.state not in PENDING_STATES | {"filed"}:
        return []
    # Later checks of a page replace the earlier ones.
    last_check_by_page = {check.source: check for check in filing.display_checks}
    return [
        DisplayAlert(
            uid=f"{filing.name}:display:{check.source}",
            message=LazyMessage.define(
                "{filing}: the filing number or its link was missing on {source} on {on}",
                code="alert.display-missing",
            ).with_fields(filing=filing.name, source=check.source, on=check.checked_on.isoformat()),
            checked_on=check.checked_on,
        )
        for check in last_check_by_page.values()
        if not check.problem and not (check.number_found and check.link_found)
    ]
