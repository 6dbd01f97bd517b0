"""Notice files that are written without pause, such as a log: each gets a version at every maximum delay."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable
from typing import NamedTuple

from archiver.intake.snapshot import Snapshot
from archiver.workers import name_to_text, text_to_name

#: A long copy is captured once or twice before it ends; with fewer versions, it would raise an alarm.
_MIN_VERSIONS = 3
#: A file is no longer written without pause after this many maximum delays without a version.
_DELAYS_UNTIL_REST = 2
_META_KEY = "restless"


class _Streak(NamedTuple):
    """The successive versions of a file that were captured while it was being written."""

    version_count: int
    last_at: float


class RestlessFiles:
    """The files whose last versions were all captured while they were being written; for a single thread.

    Times are monotonic seconds.
    """

    def __init__(self, snapshot: Snapshot, maximum_seconds: float) -> None:
        """Keep the paths in ``snapshot``, for ``archiver status``; ``maximum_seconds`` is the maximum delay."""
        self._snapshot = snapshot
        self._longest_gap_seconds = _DELAYS_UNTIL_REST * maximum_seconds
        self._streaks: dict[bytes, _Streak] = {}
        #: Group -> the paths that were still being written when its last attempt began.
        self._unsettled_paths: dict[Hashable, frozenset[bytes]] = {}
        #: The stored text; None as long as it may be that of an earlier process.
        self._stored_text: str | None = None

    def note_attempt(self, group: Hashable, unsettled_paths: frozenset[bytes]) -> None:
        """Note which paths of a group are still being written while it is captured."""
        if unsettled_paths:
            self._unsettled_paths[group] = unsettled_paths
        else:
            self._unsettled_paths.pop(group, None)

    def note_version(self, group: Hashable, captured_paths: Iterable[bytes], now: float) -> None:
        """Note that the group got a version with ``captured_paths``."""
        unsettled_paths = self._unsettled_paths.pop(group, frozenset())
        if not unsettled_paths and not self._streaks:
            return
        for path in captured_paths:
            streak = self._streaks.pop(path, None)
            if path in unsettled_paths:
                self._streaks[path] = _Streak(streak.version_count + 1 if streak else 1, now)
        self._store()

    def expire(self, now: float) -> None:
        """Forget the files without a version for a long time: the program has closed them, or pauses."""
        if self._streaks or self._stored_text is None:
            self._streaks = {
                path: streak
                for path, streak in self._streaks.items()
                if now - streak.last_at <= self._longest_gap_seconds
            }
            self._store()

    def _store(self) -> None:
        """Store the paths of the restless files, if they differ from the stored ones; raises sqlite3.Error."""
        restless = sorted(path for path, streak in self._streaks.items() if streak.version_count >= _MIN_VERSIONS)
        text = json.dumps(list(map(name_to_text, restless))) if restless else ""
        if text != self._stored_text:
            self._snapshot.set_meta(_META_KEY, text)
            self._stored_text = text


def read_restless_files(snapshot: Snapshot) -> list[bytes]:
    """Return the paths of the files that are written without pause; none from a text of another form."""
    try:
        return list(map(text_to_name, json.loads(snapshot.meta(_META_KEY) or "[]")))
    except (ValueError, TypeError, AttributeError):
        return []
