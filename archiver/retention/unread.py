"""Refuse disposals while the journal has events that this release does not understand, and describe these events.

Any of these events may be a hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archiver.errors import LazyMessage, RetentionRefused
from archiver.model import UnreadEvent

#: Events that a message names: enough to look them up. With more, the message would be hard to read.
_MAX_NAMED_EVENTS = 5
#: Characters that a message shows of the name of an event's action. Another program may have chosen a name of any
#: length, and a long name would push the rest of the message off the screen. A shorter limit would cut real names.
_MAX_ACTION_LENGTH = 60


def format_event_numbers(unread_events: Sequence[UnreadEvent]) -> str:
    """Return the numbers of the first _MAX_NAMED_EVENTS events for a message, such as ``3 (hold), 7, ...``.

    The action of an event follows in parentheses, unless it cannot be read.
    """
    event_names = [
        f"{event.seq} ({event.action[:_MAX_ACTION_LENGTH]})" if event.action else str(event.seq)
        for event in unread_events[:_MAX_NAMED_EVENTS]
    ]
    return ", ".join(event_names) + (", ..." if len(unread_events) > _MAX_NAMED_EVENTS else "")


def describe_unread_events(unread_events: Sequence[UnreadEvent]) -> Iterator[LazyMessage]:
    """Yield a message for administrators about events of unknown kinds, and another about unreadable events.

    A message without any events to report is left out.
    """
    if unknown_events := [event for event in unread_events if event.action]:
        yield LazyMessage.define(
            "journal event {events} has a kind unknown to this release, and may be a hold: disposal is "
            "suspended; install the newer release",
            code="status.unknown-events",
        ).with_fields(events=format_event_numbers(unknown_events))
    if damaged_events := [event for event in unread_events if not event.action]:
        yield LazyMessage.define(
            "journal event {events} cannot be read and may be a hold: disposal is suspended; to verify the "
            "archive, run: archiver verify",
            code="status.unreadable-events",
        ).with_fields(events=format_event_numbers(damaged_events))


def refuse_unread_events(unread_events: Sequence[UnreadEvent]) -> None:
    """Raise RetentionRefused, with the numbers of the events, unless ``unread_events`` is empty."""
    if unread_events:
        raise RetentionRefused(
            "Disposal is suspended because journal event {events} is not understood and may be a hold. Nothing "
            "was deleted. Install the newer release that wrote the event. To verify the archive, run: archiver "
            "verify",
            events=format_event_numbers(unread_events),
        )
