"""Events of the journal that this release does not understand: each may be a hold, so nothing is disposed of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archiver.errors import Phrase, RetentionRefused
from archiver.model import UnreadEvent

#: Numbers in one sentence: enough to look them up, and it can still be read.
_FEW = 5


def listed(events: Sequence[int]) -> str:
    """Join the numbers of events for people: the first ones, where there are many."""
    return ", ".join(map(str, events[:_FEW])) + (", ..." if len(events) > _FEW else "")


def problems(unread: Sequence[UnreadEvent]) -> Iterator[Phrase]:
    """Describe what somebody has to look at: events of an unknown kind, and events that cannot be read."""
    unknown = [event for event in unread if event.action]
    if unknown:
        yield Phrase(
            "journal event {events} is of a kind that this release does not know ({action}), and may be a hold: "
            "nothing is disposed of; install the newer release that wrote it",
            events=listed([event.seq for event in unknown]),
            action=_actions(unknown),
        )
    damaged = [event.seq for event in unread if not event.action]
    if damaged:
        yield Phrase(
            "journal event {events} cannot be read, and may be a hold: nothing is disposed of; "
            "see what is wrong with it: archiver verify",
            events=listed(damaged),
        )


def refuse(unread: Sequence[UnreadEvent]) -> None:
    """Raise RetentionRefused, with the numbers, if there is any such event."""
    if not unread:
        return
    raise RetentionRefused(
        "Nothing is disposed of while journal event {events} is not understood{actions}: it may be a hold. "
        "Nothing was deleted. Install the newer release that wrote it, or see what is wrong with it: "
        "archiver verify",
        events=listed([event.seq for event in unread]),
        actions=f" ({_actions(unread)})" if any(event.action for event in unread) else "",
    )


def _actions(unread: Sequence[UnreadEvent]) -> str:
    return ", ".join(sorted({event.action[:100] for event in unread if event.action})[:_FEW])
