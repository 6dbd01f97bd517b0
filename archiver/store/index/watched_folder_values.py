"""Keep the journal's record of the watched folder in the table ``meta`` of ``index.db``."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any, NamedTuple

from archiver.model import Event
from archiver.store.events.capture_events import WatchedFolderAccepted, WatchPathChanged
from archiver.store.events.event_kinds import Action
from archiver.store.index.meta_values import MetaValues

#: Keys of the table ``meta``.
WATCH_PATH_KEY = "watch"
_DETAILS_KEY, _FIRST_KEY, _ACCEPTED_KEY, _DECIDED_KEY = (
    "folder",
    "folder_first",
    "folder_accepted",
    "absence_accepted",
)


class WatchedFolderRecord(NamedTuple):
    """The journal's record of the watched folder.  A number of an event is 0 without such an event."""

    #: The details of the newest event that identifies the watched folder; empty if there is none.
    details: Mapping[str, Any]
    #: The number of the first event that identifies the folder: earlier releases journalled none.
    first_seq: int
    #: The number of the event with which a person accepted the folder last.
    accepted_seq: int
    #: The number of the event with which a person accepted last that something was missing or replaced.
    absence_accepted_seq: int


def read_watched_folder(database: sqlite3.Connection) -> WatchedFolderRecord:
    """Return the record with a single query, because the daemon asks in each turn; raises sqlite3.Error."""
    value_keys = (_DETAILS_KEY, _FIRST_KEY, _ACCEPTED_KEY, _DECIDED_KEY)
    values = dict(database.execute("select key, value from meta where key in (?, ?, ?, ?)", value_keys))
    return WatchedFolderRecord(
        json.loads(values.get(_DETAILS_KEY, "{}")), *(int(values.get(key, 0)) for key in value_keys[1:])
    )


def apply_watched_folder(meta_values: MetaValues, event: Event) -> None:
    """Record the watched folder's identity or path, and the events of a person's acceptance."""
    if event.action == Action.WATCH_PATH:
        meta_values.set(WATCH_PATH_KEY, WatchPathChanged.from_details(event.details).new_path)
        return
    meta_values.set(_DETAILS_KEY, json.dumps(event.details))
    if meta_values.get(_FIRST_KEY) is None:
        meta_values.set(_FIRST_KEY, str(event.seq))
    if event.action == Action.WATCH_ACCEPT:
        meta_values.set(_ACCEPTED_KEY, str(event.seq))
        if WatchedFolderAccepted.from_details(event.details).accepted:
            meta_values.set(_DECIDED_KEY, str(event.seq))
