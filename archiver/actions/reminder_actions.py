"""Reminders of what is due."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from archiver import clock, i18n
from archiver.actions.context import Action, ActionContext
from archiver.errors import Phrase, UsageProblem
from archiver.filings.due import delivery
from archiver.filings.due.reminders import ReminderDigest, digests
from archiver.filings.register import register
from archiver.store.writer import Draft

_REMINDERS = "reminders"


def waiting(context: ActionContext) -> tuple[dict[str, list[str]], list[ReminderDigest]]:
    """Where reminders go, and what is to be sent now; raises ConfigProblem."""
    where = delivery.targets(context.config.desk.targets, os.environ)
    events = context.archive.index.life()
    today = clock.today(context.config.zone)
    return where, digests(register(events).values(), events, today, where)


def remind(context: ActionContext) -> dict[str, Any]:
    """Send what is due and was not sent; what could not be sent is tried again the next time."""
    where, messages = waiting(context)
    if not where:
        raise UsageProblem(
            "Nobody is named to be reminded. Nothing was sent. Set reminders.targets in the settings, or "
            "ARCHIVER_TARGET_OWNER in the environment."
        )
    speak = i18n.translator(context.config.lang or i18n.of_environment(os.environ))
    sent, failed = 0, []
    for message in messages:
        title = speak(Phrase("archiver: {count} matters need you", count=len(message.items)))
        if delivery.send(
            where[message.role][message.channel], title, "\n".join(speak(item.line) for item in message.items)
        ):
            _note_sent(context, message)
            sent += len(message.items)
        else:
            failed.append(f"{message.role} ({message.channel + 1})")
    return {"sent": sent, "failed": failed}


def _note_sent(context: ActionContext, message: ReminderDigest) -> None:
    items = [{"uid": item.uid, "step": item.step} for item in message.items]
    with context.archive.writing(context.wait_seconds) as writer:
        writer.append(
            Draft("reminder", _REMINDERS, {"to": message.role, "channel": message.channel, "items": items})
        )


#: Name -> what does it, and the arguments with their kinds.
ACTIONS: Mapping[str, tuple[Action, Mapping[str, tuple[type, ...]]]] = {
    "remind": (remind, {}),
}
