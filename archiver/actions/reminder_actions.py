"""Send reminders of deadlines, and each reminder only once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, NamedTuple

from archiver import clock, i18n
from archiver.actions.context import ActionContext
from archiver.actions.registry import action
from archiver.actions.request_fields import Request
from archiver.errors import LazyMessage, UsageError
from archiver.filings.due import delivery
from archiver.filings.due.reminders import ReminderDigest, pending_digests
from archiver.filings.register import register
from archiver.store.events.filing_events import ReminderSent
from archiver.store.writer import Draft

#: The ``object`` of a reminder's event. It names no filing, because one message may concern many filings.
_REMINDERS = "reminders"


@dataclass(frozen=True, slots=True, kw_only=True)
class SendReminders(Request):
    """A request to send all reminders that are due and were not sent yet."""


class PendingReminders(NamedTuple):
    """The messages to send now, and where to send them."""

    #: Addresses in apprise's form by role or person. They hold secrets: never print or journal them.
    addresses_by_role: dict[str, list[str]]
    messages: list[ReminderDigest]


def pending_reminders(context: ActionContext) -> PendingReminders:
    """Return the messages to send now, and the addresses of each role or person; sends nothing.

    Raises ConfigError if the file with the addresses cannot be used.
    """
    addresses_by_role = delivery.load_targets(context.config.desk.targets, os.environ)
    events = context.archive.index.life_events()
    today = clock.today(context.config.zone)
    messages = pending_digests(register(events).values(), events, today, addresses_by_role)
    return PendingReminders(addresses_by_role, messages)


@action("remind")
def send_reminders(context: ActionContext, _: SendReminders) -> dict[str, Any]:
    """Send the reminders that are due, and journal each message as soon as its service has accepted it.

    The result counts the items in the messages sent, and lists the recipients that could not be reached
    (``failed``, as "ROLE (NUMBER)" with the number of the address, from 1). Their messages are due again in the
    next run.

    Raises UsageError if the settings name no recipient, and ConfigError if the addresses cannot be used.
    """
    addresses_by_role, messages = pending_reminders(context)
    if not addresses_by_role:
        raise UsageError(
            "Nobody is named to be reminded. Nothing was sent. Set reminders.targets in the settings, or "
            "ARCHIVER_TARGET_OWNER in the environment."
        )
    translate = i18n.translator(context.config.lang or i18n.language_from_environment(os.environ))
    sent_item_count, failed_recipients = 0, []
    for message in messages:
        title = translate(
            LazyMessage.define(
                "archiver: {count} matters need you", singular="archiver: {count} matter needs you"
            ).with_fields(count=len(message.items))
        )
        body = "\n".join(translate(item.line) for item in message.items)
        if delivery.send_message(addresses_by_role[message.role][message.channel], title, body):
            _record_reminder(context, message)
            sent_item_count += len(message.items)
        else:
            failed_recipients.append(f"{message.role} ({message.channel + 1})")
    return {"sent": sent_item_count, "failed": failed_recipients}


def _record_reminder(context: ActionContext, message: ReminderDigest) -> None:
    """Journal a message that was sent, so that its items are not sent again."""
    items = [{"uid": item.uid, "step": item.step} for item in message.items]
    details = ReminderSent(recipient=message.role, channel=message.channel, items=items)
    with context.archive.writing(context.lock_timeout) as writer:
        writer.append(Draft(_REMINDERS, details))
