"""Notice files that are written without pause, such as a log: each gets a version at every maximum delay."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterable

from archiver.intake.snapshot import Snapshot
from archiver.workers import name_to_text, text_to_name

#: A long copy is captured once or twice before it ends; with fewer versions, it would raise an alarm.
_MIN_VERSIONS = 3
_META_KEY = "restless"


class RestlessFiles:
    """The files whose last versions were all captured while they were being written; for a single thread."""

    def __init__(self, snapshot: Snapshot) -> None:
        """Keep the paths in ``snapshot``, for ``archiver status``; those of an earlier process are dropped."""
        self._snapshot = snapshot
        #: Path -> the number of successive versions.
        self._version_counts: Counter[bytes] = Counter()
        #: Group -> the paths that were still being written when its last attempt began.
        self._unsettled_paths: dict[Hashable, frozenset[bytes]] = {}
        self._snapshot.set_meta(_META_KEY, "")

    def note_attempt(self, group: Hashable, unsettled_paths: frozenset[bytes]) -> None:
        """Note which paths of a group are still being written while it is captured."""
        if unsettled_paths:
            self._unsettled_paths[group] = unsettled_paths
        else:
            self._unsettled_paths.pop(group, None)

    def note_version(self, group: Hashable, captured_paths: Iterable[bytes]) -> None:
        """Note that the group got a version with ``captured_paths``."""
        unsettled_paths = self._unsettled_paths.pop(group, frozenset())
        if not unsettled_paths and not self._version_counts:
            return
        for path in captured_paths:
            if path in unsettled_paths:
                self._version_counts[path] += 1
            else:
                self._version_counts.pop(path, None)
        restless_paths = sorted(path for path, count in self._version_counts.items() if count >= _MIN_VERSIONS)
        stored_text = json.dumps(list(map(name_to_text, restless_paths))) if restless_paths else ""
        self._snapshot.set_meta(_META_KEY, stored_text)


def read_restless_files(snapshot: Snapshot) -> list[bytes]:
    """Return the paths of the files that are written without pause; none from a text of another form."""
    try:
        return list(map(text_to_name, json.loads(snapshot.meta(_META_KEY) or "[]")))
    except (ValueError, TypeError, AttributeError):
        return []
