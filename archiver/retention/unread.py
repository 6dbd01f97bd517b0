"""Events of the journal that this release does not understand: each may be a hold, so nothing is disposed of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archiver.errors import LazyMessage, RetentionRefused
from archiver.model import UnreadEvent

#: Events named in a sentence: enough to look them up; with more the sentence could not be read any longer.
_MAX_NAMED_EVENTS = 5
#: Characters shown of an action's name, which another program chose: a long one would push the rest of the
#: sentence off the screen, a shorter limit would cut real names.
_MAX_ACTION_LENGTH = 60


def format_events(unread_events: Sequence[UnreadEvent]) -> str:
    """Join the numbers of the first events, with the actions where these can be read, for a sentence."""
    event_names = [
        f"{event.seq} ({event.action[:_MAX_ACTION_LENGTH]})" if event.action else str(event.seq)
        for event in unread_events[:_MAX_NAMED_EVENTS]
    ]
    return ", ".join(event_names) + (", ..." if len(unread_events) > _MAX_NAMED_EVENTS else "")


def describe_problems(unread_events: Sequence[UnreadEvent]) -> Iterator[LazyMessage]:
    """Describe for an administrator the events of an unknown kind, and the events that cannot be read."""
    if unknown_events := [event for event in unread_events if event.action]:
        yield LazyMessage.define(
            "journal event {events} is of a kind that this release does not know, and may be a hold: "
            "nothing is disposed of; install the newer release that wrote it",
            code="status.unknown-events",
        ).with_fields(events=format_events(unknown_events))
    if damaged_events := [event for event in unread_events if not event.action]:
        yield LazyMessage.define(
            "journal event {events} cannot be read, and may be a hold: nothing is disposed of; "
            "see what is wrong with it: archiver verify",
            code="status.unreadable-events",
        ).with_fields(events=format_events(damaged_events))


def refuse_unread_events(unread_events: Sequence[UnreadEvent]) -> None:
    """Refuse a disposal while the journal has unread events.

    Raises RetentionRefused with the numbers of the events.
    """
    if unread_events:
        raise RetentionRefused(
            "Nothing is disposed of while journal event {events} is not understood: it may be a hold. "
            "Nothing was deleted. Install the newer release that wrote it, or see what is wrong with it: "
            "archiver verify",
            events=format_events(unread_events),
        )
