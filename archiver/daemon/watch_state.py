"""The states of the watch on the folder, and the reasons for missing events, as ``state.db`` keeps them."""

from __future__ import annotations

from dataclasses import dataclass

from archiver.errors import LazyMessage

# The states, as ``state.db`` and the metrics hold them.
EVENTS = "events"  # every change raises an event
PARTLY = "partly"  # some folders are not watched, and are only scanned
POLLING = "polling"  # the filesystem gives no events, so the folder is scanned often
SCANS = "scans"  # the kernel grants no watch, so the folder is scanned often
DEAF = "deaf"  # there is a watch, but events stopped arriving
MISSING = "missing"  # there is no folder

NO_EVENTS = LazyMessage.define("{value} gives no events", code="watch.no-events")
NO_WATCH = LazyMessage.define("the kernel grants no watch: {value}", code="watch.no-watch")
NOT_ALL = LazyMessage.define(
    "{value} folders are not watched; raise fs.inotify.max_user_watches", code="watch.folders-unwatched"
)
TOO_FAR = LazyMessage.define("{value} folders lie too deep to be watched", code="watch.folders-too-deep")
NOT_HEARD = LazyMessage.define("events do not arrive", code="watch.events-lost")
_REASONS = {reason.code: reason for reason in (NO_EVENTS, NO_WATCH, NOT_ALL, TOO_FAR, NOT_HEARD)}
#: Sentence that an earlier release left in ``state.db`` -> code of the reason; these sentences never change.
_FORMER_SENTENCES = {
    "{value} gives no events": "watch.no-events",
    "the kernel grants no watch: {value}": "watch.no-watch",
    "{value} folders are not watched; raise fs.inotify.max_user_watches": "watch.folders-unwatched",
    "{value} folders lie too deep to be watched": "watch.folders-too-deep",
    "events do not arrive": "watch.events-lost",
}


@dataclass(frozen=True, slots=True)
class WatchState:
    """How changes of the folder become known, and the reason if events are missing."""

    code: str  # one of the states above; empty while nothing is watched
    reason: LazyMessage | None = None  # one of the reasons above; None without missing events
    value: str = ""  # for the field ``{value}`` of the reason


def watch_reason(stored_reason: str, value: str) -> LazyMessage:
    """Return the sentence for a reason in ``state.db``, with ``value`` in its field.

    ``stored_reason`` is a code, or the sentence that an earlier release stored.  A code that only a newer release
    knows stands for itself.
    """
    code = _FORMER_SENTENCES.get(stored_reason, stored_reason)
    reason = _REASONS.get(code)
    return (
        LazyMessage("{code}: {value}", code=code, value=value)
        if reason is None
        else reason.with_fields(value=value)
    )
