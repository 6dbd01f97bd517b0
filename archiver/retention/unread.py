"""Events of the journal that this release does not understand: each may be a hold, so nothing is disposed of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archiver.errors import LazyMessage, RetentionRefused
from archiver.model import UnreadEvent

#: Events in one sentence: enough to look them up, and it can still be read.
_FEW = 5
#: Of an action's name, which somebody else chose.
_LONGEST_NAME = 60


def listed(unread: Sequence[UnreadEvent]) -> str:
    """Join the numbers of events, with their actions where these can be read: the first ones, of many."""
    shown = [
        f"{each.seq} ({each.action[:_LONGEST_NAME]})" if each.action else str(each.seq) for each in unread[:_FEW]
    ]
    return ", ".join(shown) + (", ..." if len(unread) > _FEW else "")


def problems(unread: Sequence[UnreadEvent]) -> Iterator[LazyMessage]:
    """Describe what somebody has to look at: events of an unknown kind, and events that cannot be read."""
    if unknown := [event for event in unread if event.action]:
        yield LazyMessage.define(
            "journal event {events} is of a kind that this release does not know, and may be a hold: "
            "nothing is disposed of; install the newer release that wrote it",
            code="status.unknown-events",
        ).with_fields(events=listed(unknown))
    if damaged := [event for event in unread if not event.action]:
        yield LazyMessage.define(
            "journal event {events} cannot be read, and may be a hold: nothing is disposed of; "
            "see what is wrong with it: archiver verify",
            code="status.unreadable-events",
        ).with_fields(events=listed(damaged))


def refuse(unread: Sequence[UnreadEvent]) -> None:
    """Raise RetentionRefused, with the numbers, if there is any such event."""
    if unread:
        raise RetentionRefused(
            "Nothing is disposed of while journal event {events} is not understood: it may be a hold. "
            "Nothing was deleted. Install the newer release that wrote it, or see what is wrong with it: "
            "archiver verify",
            events=listed(unread),
        )
