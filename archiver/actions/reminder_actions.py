"""Send reminders of deadlines, and send each reminder only once.

A *reminder* is one message to one address. It lists every item, such as a deadline, that is due for a role or
person and was not sent to this address yet.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from typing import Any, NamedTuple

from archiver import clock, i18n
from archiver.actions.context import ActionContext
from archiver.actions.registry import action
from archiver.actions.request_fields import Request
from archiver.errors import LazyMessage, UsageError
from archiver.filings.due import delivery
from archiver.filings.due.reminders import ReminderMessage, select_pending_messages
from archiver.filings.register import filings_from_events
from archiver.store.events.filing_events import ReminderSent
from archiver.store.writing.drafts import Draft

#: The ``object`` of the events for a sent reminder. It names no filing, because a reminder may concern several.
_REMINDERS_OBJECT = "reminders"
_MESSAGE_TITLE = LazyMessage.define("archiver: {count} items to do", singular="archiver: {count} item to do")


@dataclass(frozen=True, slots=True, kw_only=True)
class SendReminders(Request):
    """A request to send all reminders that are due and were not sent yet."""


class PendingReminders(NamedTuple):
    """The reminders to send now, and the addresses of the recipients."""

    #: Lists of addresses (apprise URLs) by role or person. They hold secrets: never print or journal them.
    addresses_by_role: dict[str, list[str]]
    reminders: list[ReminderMessage]


def collect_pending_reminders(context: ActionContext) -> PendingReminders:
    """Return the reminders to send now, and the addresses of the recipients; send nothing.

    Raises ConfigError if the file with the addresses cannot be used.
    """
    addresses_by_role = delivery.load_addresses(context.config.desk.reminder_addresses_file, os.environ)
    filing_events = context.archive.index.life_events()
    filings = filings_from_events(filing_events).values()
    today = clock.today(context.config.zone)
    reminders = select_pending_messages(filings, filing_events, today, addresses_by_role)
    return PendingReminders(addresses_by_role, reminders)


@action("remind")
def send_reminders(context: ActionContext, _: SendReminders) -> dict[str, Any]:
    """Send all due reminders, and journal each reminder as soon as the delivery service has accepted it.

    Returns ``sent``, the number of items in all reminders that were sent, and ``failed``, the recipients that
    could not be reached. A recipient is named as "ROLE (NUMBER)", where NUMBER is the position of the address in
    the list of the role, from 1. A reminder that was not sent is due again in the next run.

    Raises UsageError if no recipient is configured, ConfigError if the addresses cannot be used, and Busy or
    StorageError if a sent reminder cannot be journalled.
    """
    addresses_by_role, reminders = collect_pending_reminders(context)
    if not addresses_by_role:
        raise UsageError(
            "Cannot send reminders: no recipient is configured. Nothing was recorded. Set reminders.targets in "
            "the configuration file, or ARCHIVER_TARGET_OWNER in the environment."
        )
    translate = i18n.translator(context.config.lang or i18n.language_from_environment(os.environ))
    sent_item_count, failed_recipients = 0, []
    for reminder in reminders:
        message_title = translate(_MESSAGE_TITLE.with_fields(count=len(reminder.reminders)))
        message_text = "\n".join(translate(item.text) for item in reminder.reminders)
        address = addresses_by_role[reminder.recipient][reminder.address_index]
        if delivery.send_message(address, message_title, message_text):
            _journal_sent_reminder(context, reminder)
            sent_item_count += len(reminder.reminders)
        else:
            failed_recipients.append(f"{reminder.recipient} ({reminder.address_index + 1})")
    return {"sent": sent_item_count, "failed": failed_recipients}


def _journal_sent_reminder(context: ActionContext, reminder: ReminderMessage) -> None:
    """Journal a sent reminder, so that the same items are not sent to this address again.

    There is an event for each filing with items in the reminder. If there are several, a common random id ties
    them together.
    """
    items_by_filing: dict[str, list[dict[str, str]]] = {}
    for item in reminder.reminders:
        items_by_filing.setdefault(item.filing, []).append({"uid": item.uid, "step": item.step})
    act_id = secrets.token_hex(16) if len(items_by_filing) > 1 else None
    drafts = [
        Draft(
            _REMINDERS_OBJECT,
            ReminderSent(
                recipient=reminder.recipient,
                channel=reminder.address_index,
                items=items,
                filing=filing_name,
                act=act_id,
            ),
        )
        for filing_name, items in items_by_filing.items()
    ]
    with context.archive.writing(context.lock_timeout) as writer:
        writer.write_batch(drafts)
