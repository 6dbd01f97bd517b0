"""Decide on reminders of deadlines: each step is sent once, in a single message to each recipient.  Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from archiver.errors import LazyMessage
from archiver.filings.code_names import DEADLINE_STATES, word_for
from archiver.filings.due.deadlines import Deadline, is_company_duty, open_deadlines
from archiver.filings.due.working_days import count_working_days
from archiver.filings.register import PENDING_STATES, Filing
from archiver.model import LifeEvent
from archiver.store.events.event_kinds import Action
from archiver.store.events.filing_events import ReminderSent

OWNER, MANAGER = "owner", "manager"
#: Working days before a deadline: the owner, the owner again, then the manager too.  Earlier, nobody would act;
#: later, the preparation of a submission would not fit into the time that is left.
_EARLY_DAYS, _SOON_DAYS, _LAST_DAYS = 7, 3, 1


@dataclass(frozen=True, slots=True)
class ReminderItem:
    """A line of a message; ``uid`` and ``step`` together are sent once to each address."""

    uid: str
    step: str
    line: LazyMessage


@dataclass(frozen=True, slots=True)
class ReminderDigest:
    """A message to a single address of a role or person."""

    role: str
    channel: int  # which of the addresses of that role, from 0
    items: tuple[ReminderItem, ...]


def pending_digests(
    filings: Iterable[Filing],
    events: Iterable[LifeEvent],
    today: date,
    addresses_by_role: Mapping[str, Sequence[str]],
) -> list[ReminderDigest]:
    """Return the messages to send today, without the items already sent according to ``events``.

    A manager without an address of their own is reached as the role manager, any other person as the owner.
    """
    sent_steps = {
        (reminder.recipient, reminder.channel, item["uid"], item["step"])
        for event in events
        if event.action == Action.REMINDER
        for reminder in (ReminderSent.from_details(event.details),)
        for item in reminder.items
    }
    items_by_role: dict[str, list[ReminderItem]] = defaultdict(list)
    for role, item in _reminder_items(list(filings), today):
        recipient = role if role in addresses_by_role else MANAGER if role == MANAGER else OWNER
        if item not in items_by_role[recipient]:
            items_by_role[recipient].append(item)
    digests = []
    for role, items in sorted(items_by_role.items()):
        for channel in range(len(addresses_by_role.get(role, ()))):
            unsent_items = tuple(item for item in items if (role, channel, item.uid, item.step) not in sent_steps)
            digests += [ReminderDigest(role, channel, unsent_items)] if unsent_items else []
    return digests


def _reminder_items(filings: list[Filing], today: date) -> Iterable[tuple[str, ReminderItem]]:
    """Yield role or person, and item, for every deadline in a step of today and every alert."""
    for deadline in open_deadlines(filings):
        step, roles = _reminder_step(deadline, today)
        for role in roles:
            recipient = deadline.owner if role == OWNER and deadline.owner else role
            yield recipient, ReminderItem(deadline.uid, step, deadline_line(deadline, today))
    for filing in filings:
        for uid, message, checked_on in display_alerts(filing):
            yield OWNER, ReminderItem(uid, f"missing:{checked_on.isoformat()}", message)


def _reminder_step(deadline: Deadline, today: date) -> tuple[str, tuple[str, ...]]:
    """Return the step of a deadline today, and the roles to remind; no roles before the first step.

    The day in a step's name lets the step be sent again once: after the deadline has moved, or daily if overdue.
    """
    if not is_company_duty(deadline):
        return ("passed", (OWNER,)) if deadline.on < today else ("", ())
    remaining_days = count_working_days(today, deadline.on)
    if deadline.on < today:
        return f"overdue:{today.isoformat()}", (OWNER, MANAGER)
    if remaining_days <= _LAST_DAYS:
        return f"last:{deadline.on.isoformat()}", (OWNER, MANAGER)
    if remaining_days <= _SOON_DAYS:
        return f"soon:{deadline.on.isoformat()}", (OWNER,)
    return (f"early:{deadline.on.isoformat()}", (OWNER,)) if remaining_days <= _EARLY_DAYS else ("", ())


def deadline_line(deadline: Deadline, today: date) -> LazyMessage:
    """Return a deadline and the state of today as a line of a message."""
    if deadline.provisional:
        return LazyMessage(
            "{filing}: {what}, by {on} at the earliest (provisional: that year's holidays are not published yet) "
            "[{state}]",
            filing=deadline.filing,
            what=deadline.what,
            on=deadline.on.isoformat(),
            state=word_for(deadline.state(today), DEADLINE_STATES),
        )
    return LazyMessage(
        "{filing}: {what}, by {on} [{state}]",
        filing=deadline.filing,
        what=deadline.what,
        on=deadline.on.isoformat(),
        state=word_for(deadline.state(today), DEADLINE_STATES),
    )


def display_alerts(filing: Filing) -> list[tuple[str, LazyMessage, date]]:
    """Return uid, message and day of the last check for each page without the filing number or the link.

    A page that could not be read is left out: perhaps nothing is missing there.
    """
    if filing.state not in PENDING_STATES | {"filed"}:
        return []
    last_checks = {check.source: check for check in filing.displays}
    return [
        (
            f"{filing.name}:display:{check.source}",
            LazyMessage.define(
                "{filing}: the filing number or its link was missing on {source} on {on}",
                code="alert.display-missing",
            ).with_fields(filing=filing.name, source=check.source, on=check.on.isoformat()),
            check.on,
        )
        for check in last_checks.values()
        if not check.problem and not (check.number and check.link)
    ]
