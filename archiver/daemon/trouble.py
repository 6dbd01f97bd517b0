"""What stands in the daemon's way: told to ``status``, also where the archive's disk takes no word of it."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import deque
from contextlib import suppress

from archiver import clock
from archiver.actions import protocol
from archiver.errors import Busy, Reporter
from archiver.intake.snapshot import Snapshot
from archiver.store import lock
from archiver.store.archive import Archive

#: Beside ``daemon.lock``; locked for as long as the daemon cannot write the archive.
ALARM = "failing"
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
#: More words than this between two turns come from one trouble, and only the last is shown.
_MOST_WORDS = 100


class Troubles:
    """Failures of one daemon: its last words for ``status``, an alarm while they last, pauses between attempts."""

    def __init__(self, archive: Archive, snapshot: Snapshot, report: Reporter, stopping: threading.Event) -> None:
        self._snapshot = snapshot
        self._report = report
        self._stopping = stopping
        self._words: deque[str] = deque(maxlen=_MOST_WORDS)
        self._owner = threading.get_ident()
        self._failures = 0
        self._alarm = lock.Flag(archive.root / ALARM)

    def prepare(self) -> None:
        """Make ready what a full disk would refuse later; raises StorageProblem."""
        self._alarm.open()

    def close(self) -> None:
        """End the alarm."""
        self._alarm.close()

    def remember(self, template: str, fields: dict[str, object]) -> None:
        """Leave word of trouble for ``status``, where that can be written."""
        word = {"at": clock.stamp(clock.read().wall), "template": template, "fields": fields}
        self._words.append(json.dumps(word, default=protocol.plain))
        # Errands and the replica report from threads of their own, to which the database does not listen.
        if threading.get_ident() == self._owner:
            self.leave_words()

    def leave_words(self) -> None:
        """Write the words that other threads left."""
        while self._words:
            # A disk that takes no word is what the alarm is for.
            with suppress(sqlite3.Error):
                self._snapshot.set_meta("last_problem", self._words.popleft())

    def report_disk(self, path: object, reason: object) -> None:
        """Report an error of the operating system's, or of SQLite's."""
        self._report(
            "{path}: {reason}. Nothing archived was lost. Check the disk and the permissions.",
            problem="storage",
            path=path,
            reason=reason,
        )

    def note(self, error: Exception | None) -> None:
        """Raise the alarm for an error of the archive's, and end it without one.

        Another writer that holds the archive for a while is no reason to call somebody.
        """
        if error is not None and not _is_busy(error):
            self._alarm.show()
        elif error is None:
            self._alarm.hide()

    def over(self) -> None:
        """Note that a turn went well, so that the next failure is a first one."""
        self._failures = 0

    def pause(self) -> None:
        """Wait before the next attempt, longer each time."""
        self._failures += 1
        self._stopping.wait(min(_FIRST_PAUSE_SECONDS * 2 ** (self._failures - 1), _LONGEST_PAUSE_SECONDS))


def _is_busy(error: Exception) -> bool:
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return isinstance(error, Busy)
