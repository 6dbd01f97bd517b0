"""Sends reminders of deadlines, each step once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

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

#: The object of the events: a reminder may be about many filings.
_REMINDERS = "reminders"


@dataclass(frozen=True, slots=True, kw_only=True)
class SendReminders(Request):
    """All reminders due and not sent yet."""


def pending_reminders(context: ActionContext) -> tuple[dict[str, list[str]], list[ReminderDigest]]:
    """Return the addresses of each role or person, and the messages to send now.

    Raises ConfigError if the file with the addresses cannot be used.
    """
    addresses = delivery.load_targets(context.config.desk.targets, os.environ)
    events = context.archive.index.life()
    today = clock.today(context.config.zone)
    return addresses, pending_digests(register(events).values(), events, today, addresses)


@action("remind")
def send_reminders(context: ActionContext, _: SendReminders) -> dict[str, Any]:
    """Send the reminders now due, and journal each message as soon as the receiver accepts.

    A message that could not be sent is named in the answer and tried again the next time.  Raises UsageError
    if nobody is named to be reminded, ConfigError if the addresses cannot be used.
    """
    addresses, messages = pending_reminders(context)
    if not addresses:
        raise UsageError(
            "Nobody is named to be reminded. Nothing was sent. Set reminders.targets in the settings, or "
            "ARCHIVER_TARGET_OWNER in the environment."
        )
    translate = i18n.translator(context.config.lang or i18n.language_from_environment(os.environ))
    sent_items, failed_targets = 0, []
    for message in messages:
        title = translate(
            LazyMessage.define(
                "archiver: {count} matters need you", singular="archiver: {count} matter needs you"
            ).with_fields(count=len(message.items))
        )
        body = "\n".join(translate(item.line) for item in message.items)
        if delivery.send_message(addresses[message.role][message.channel], title, body):
            _record_reminder(context, message)
            sent_items += len(message.items)
        else:
            failed_targets.append(f"{message.role} ({message.channel + 1})")
    return {"sent": sent_items, "failed": failed_targets}


def _record_reminder(context: ActionContext, message: ReminderDigest) -> None:
    """Journal a sent message, lest a step be sent twice."""
    items = [{"uid": item.uid, "step": item.step} for item in message.items]
    details = ReminderSent(recipient=message.role, channel=message.channel, items=items)
    with context.archive.writing(context.lock_timeout) as writer:
        writer.append(Draft(_REMINDERS, details))
