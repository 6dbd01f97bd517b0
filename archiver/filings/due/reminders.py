"""Whom to remind of what, and when: each step once, and everybody's matters in one message.  Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from archiver.errors import LazyMessage
from archiver.filings.code_names import DEADLINE_STATES, word_for
from archiver.filings.due.deadlines import Deadline, is_company_duty, open_deadlines
from archiver.filings.due.working_days import count_working_days
from archiver.filings.register import PENDING, Filing
from archiver.model import LifeEvent
from archiver.store.events.actions import Action
from archiver.store.events.filing_events import ReminderSent

OWNER, MANAGER = "owner", "manager"
#: Working days before the date: the owner, then the owner again, then the manager too.
_EARLY, _SOON, _LAST = 7, 3, 1


@dataclass(frozen=True, slots=True)
class ReminderItem:
    """One line of a message; ``uid`` and ``step`` together are sent once to each role."""

    uid: str
    step: str
    line: LazyMessage


@dataclass(frozen=True, slots=True)
class ReminderDigest:
    """Everything for one address of a role or person; ``channel`` is its place among them."""

    role: str
    channel: int
    items: tuple[ReminderItem, ...]


def digests(
    filings: Iterable[Filing], sent: Iterable[LifeEvent], today: date, known_roles: Mapping[str, Sequence[str]]
) -> list[ReminderDigest]:
    """What is to be sent today and was not sent yet; a person without a target of their own is the owner."""
    done = {
        (reminder.recipient, reminder.channel, item["uid"], item["step"])
        for event in sent
        if event.action == Action.REMINDER
        for reminder in (ReminderSent.from_details(event.details),)
        for item in reminder.items
    }
    waiting: dict[str, list[ReminderItem]] = defaultdict(list)
    for role, item in _items(list(filings), today):
        to = role if role in known_roles else MANAGER if role == MANAGER else OWNER
        if item not in waiting[to]:
            waiting[to].append(item)
    found = []
    for role, items in sorted(waiting.items()):
        for channel in range(len(known_roles.get(role, ()))):
            left = tuple(item for item in items if (role, channel, item.uid, item.step) not in done)
            found += [ReminderDigest(role, channel, left)] if left else []
    return found


def _items(filings: list[Filing], today: date) -> Iterable[tuple[str, ReminderItem]]:
    for due in open_deadlines(filings):
        step, roles = _step(due, today)
        for role in roles:
            yield due.owner if role == OWNER and due.owner else role, ReminderItem(due.uid, step, line(due, today))
    for filing in filings:
        for uid, phrase, on in alerts(filing):
            yield OWNER, ReminderItem(uid, f"missing:{on.isoformat()}", phrase)


def _step(due: Deadline, today: date) -> tuple[str, tuple[str, ...]]:
    if not is_company_duty(due):
        return ("passed", (OWNER,)) if due.on < today else ("", ())
    left = count_working_days(today, due.on)
    if due.on < today:
        return f"overdue:{today.isoformat()}", (OWNER, MANAGER)
    if left <= _LAST:
        return f"last:{due.on.isoformat()}", (OWNER, MANAGER)
    if left <= _SOON:
        return f"soon:{due.on.isoformat()}", (OWNER,)
    return (f"early:{due.on.isoformat()}", (OWNER,)) if left <= _EARLY else ("", ())


def line(due: Deadline, today: date) -> LazyMessage:
    """One matter in one line."""
    if due.provisional:
        return LazyMessage(
            "{filing}: {what}, by {on} at the earliest (provisional: that year's holidays are not published yet) "
            "[{state}]",
            filing=due.filing,
            what=due.what,
            on=due.on.isoformat(),
            state=word_for(due.state(today), DEADLINE_STATES),
        )
    return LazyMessage(
        "{filing}: {what}, by {on} [{state}]",
        filing=due.filing,
        what=due.what,
        on=due.on.isoformat(),
        state=word_for(due.state(today), DEADLINE_STATES),
    )


def alerts(filing: Filing) -> list[tuple[str, LazyMessage, date]]:
    """Pages on which the number or the link was missing when they were looked at last."""
    if filing.state not in PENDING | {"filed"}:
        return []
    last = {display.source: display for display in filing.displays}
    return [
        (
            f"{filing.name}:display:{display.source}",
            LazyMessage.define(
                "{filing}: the filing number or its link was missing on {source} on {on}",
                code="alert.display-missing",
            ).with_fields(filing=filing.name, source=display.source, on=display.on.isoformat()),
            display.on,
        )
        for display in last.values()
        if not display.problem and not (display.number and display.link)
    ]
