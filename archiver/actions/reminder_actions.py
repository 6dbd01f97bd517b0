"""Send reminders of deadlines, and each reminder only once.

A *reminder* is one message to one address: it lists every item, such as a deadline, that is due for a role or
person and was not sent there yet.
"""

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
from archiver.filings.due.reminders import ReminderMessage, pending_messages
from archiver.filings.register import filings_from_events
from archiver.store.events.filing_events import ReminderSent
from archiver.store.writer import Draft

#: The ``object`` of a reminder's event. It names no filing, because one reminder may concern many filings.
_REMINDERS = "reminders"


@dataclass(frozen=True, slots=True, kw_only=True)
class SendReminders(Request):
    """A request to send all reminders that are due and were not sent yet."""


class PendingReminders(NamedTuple):
    """The reminders to send now, and the recipients' addresses."""

    #: Addresses in apprise's form by role or person. They hold secrets: never print or journal them.
    addresses_by_role: dict[str, list[str]]
    reminders: list[ReminderMessage]


def pending_reminders(context: ActionContext) -> PendingReminders:
    """Return the reminders to send now, and the addresses to send them to. Sends nothing.

    Raises ConfigError if the file with the addresses cannot be used.
    """
    addresses_by_role = delivery.load_addresses(context.config.desk.reminder_addresses_file, os.environ)
    filing_events = context.archive.index.life_events()
    filings = filings_from_events(filing_events).values()
    today = clock.today(context.config.zone)
    reminders = pending_messages(filings, filing_events, today, addresses_by_role)
    return PendingReminders(addresses_by_role, reminders)


@action("remind")
def send_reminders(context: ActionContext, _: SendReminders) -> dict[str, Any]:
    """Send all due reminders, and journal each immediately on acceptance by the delivery service.

    The result counts the items of all reminders that were sent (``sent``), and lists the recipients that could not
    be reached (``failed``, as "ROLE (NUMBER)" with the number of the role's address, from 1). Their reminders are
    due again in the next run.

    Raises UsageError if the settings name no recipient, and ConfigError if the addresses cannot be used.
    """
    addresses_by_role, reminders = pending_reminders(context)
    if not addresses_by_role:
        raise UsageError(
            "Cannot send reminders: no recipient is configured. Nothing was recorded. Set reminders.targets in "
            "the configuration file, or ARCHIVER_TARGET_OWNER in the environment."
        )
    translate = i18n.translator(context.config.lang or i18n.language_from_environment(os.environ))
    sent_item_count, failed_recipients = 0, []
    for reminder in reminders:
        title = translate(
            LazyMessage.define(
                "archiver: {count} items need attention", singular="archiver: {count} item needs attention"
            ).with_fields(count=len(reminder.reminders))
        )
        reminder_text = "\n".join(translate(item.text) for item in reminder.reminders)
        if delivery.send_message(
            addresses_by_role[reminder.recipient][reminder.address_index], title, reminder_text
        ):
            _record_reminder(context, reminder)
            sent_item_count += len(reminder.reminders)
        else:
            failed_recipients.append(f"{reminder.recipient} ({reminder.address_index + 1})")
    return {"sent": sent_item_count, "failed": failed_recipients}


def _record_reminder(context: ActionContext, reminder: ReminderMessage) -> None:
    """Journal a sent reminder, to avoid sending the same items to this address again."""
    sent_items = [{"uid": item.uid, "step": item.step} for item in reminder.reminders]
    details = ReminderSent(recipient=reminder.recipient, channel=reminder.address_index, items=sent_items)
    with context.archive.writing(context.lock_timeout) as writer:
        writer.append(Draft(_REMINDERS, details))
