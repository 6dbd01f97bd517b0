"""Define the states of the watch on the folder, and the reasons for missing events, as stored in ``state.db``.

A *watch* is a request to the kernel (inotify) to report each change in a folder as an event.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from archiver.errors import LazyMessage
from archiver.intake.folder.presence import ABSENCE_REASONS

# The states.  The values are stored in ``state.db`` and published as metrics, so they must never change.
EVENTS = "events"  # every change raises an event
PARTIAL = "partly"  # some folders are not watched, and are only scanned
POLLING = "polling"  # the filesystem gives no events, so the folder is scanned often
SCANS_ONLY = "scans"  # the kernel grants no watch, so the folder is scanned often
STALLED = "deaf"  # there is a watch, but its events no longer arrive
MISSING = "missing"  # there is no folder, or another one

#: State of the watch -> how changes are detected.  The state is empty while no daemon runs.
WATCH_STATES: Mapping[str, LazyMessage] = {
    EVENTS: LazyMessage.define("watched by kernel notifications and scans", code="watching.events"),
    PARTIAL: LazyMessage.define(
        "watched partly by kernel notifications, otherwise by scans", code="watching.partly"
    ),
    POLLING: LazyMessage.define("watched by polling", code="watching.polling"),
    SCANS_ONLY: LazyMessage.define("watched by scans only", code="watching.scans"),
    STALLED: LazyMessage.define("watched by scans only", code="watching.deaf"),
    MISSING: LazyMessage.define("missing", code="watching.missing", context="folder"),
    "": LazyMessage.define("not watched", code="watching.none"),
}

NO_EVENTS = LazyMessage.define("{value} delivers no kernel notifications", code="watch.no-events")
WATCH_REFUSED = LazyMessage.define("the kernel refused the watch: {value}", code="watch.no-watch")
FOLDERS_UNWATCHED = LazyMessage.define(
    "folders without a watch: {value}; raise fs.inotify.max_user_watches", code="watch.folders-unwatched"
)
FOLDERS_TOO_DEEP = LazyMessage.define("folders too deep to be watched: {value}", code="watch.folders-too-deep")
EVENTS_LOST = LazyMessage.define("no kernel notifications arrive", code="watch.events-lost")
_REASONS = {
    **{
        reason.code: reason
        for reason in (NO_EVENTS, WATCH_REFUSED, FOLDERS_UNWATCHED, FOLDERS_TOO_DEEP, EVENTS_LOST)
    },
    **ABSENCE_REASONS,
}
#: Sentence that an earlier release left in ``state.db`` -> code of the reason; these sentences never change.
_FORMER_SENTENCES = {
    "{value} gives no events": "watch.no-events",
    "the kernel grants no watch: {value}": "watch.no-watch",
    "{value} folders are not watched; raise fs.inotify.max_user_watches": "watch.folders-unwatched",
    "{value} folders lie too deep to be watched": "watch.folders-too-deep",
    "events do not arrive": "watch.events-lost",
}


class WatchState(NamedTuple):
    """How the daemon learns of changes in the folder, and the reason if events are missing."""

    code: str  # one of the states above; empty while nothing is watched
    reason: LazyMessage | None = None  # one of the reasons above; None if no events are missing
    reason_value: str = ""  # for the field ``{value}`` of the reason


def watch_reason_message(stored_reason: str, reason_value: str) -> LazyMessage:
    """Return the sentence for a reason in ``state.db``, with ``reason_value`` in its field ``{value}``.

    ``stored_reason`` is a code, or the sentence that an earlier release stored.  A code that this release does not
    know, because a newer release stored it, is returned as "CODE: VALUE".
    """
    code = _FORMER_SENTENCES.get(stored_reason, stored_reason)
    reason = _REASONS.get(code)
    return (
        LazyMessage("{code}: {value}", code=code, value=reason_value)
        if reason is None
        else reason.with_fields(value=reason_value)
    )
