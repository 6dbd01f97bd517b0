"""Pass the daemon's failures on to ``archiver status``, even if the archive's disk takes no write."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from archiver import clock
from archiver.actions import protocol
from archiver.errors import Busy, LazyMessage, Reporter
from archiver.intake.snapshot import Snapshot
from archiver.store import lock
from archiver.store.archive import Archive

#: Beside ``daemon.lock``; locked for as long as the daemon cannot write the archive.
ALARM = "failing"
_FIRST_PAUSE_SECONDS = 1.0
#: Longer, and capture would go on late after an administrator has freed the disk.
_LONGEST_PAUSE_SECONDS = 30.0
#: More problems than this between two turns have one cause, and only the last is shown.
_MAX_QUEUED = 100


@dataclass(frozen=True, slots=True)
class LastProblem:
    """The daemon's last problem; ``code`` is empty for a problem left by an earlier release."""

    at: str
    code: str
    message: LazyMessage

    def as_json(self) -> dict[str, str]:
        """Return the problem's part of ``status --json``."""
        return {"at": self.at, "code": self.code, "message": str(self.message)}


def read_last_problem(snapshot: Snapshot) -> LastProblem | None:
    """Read what :meth:`FailureState.remember` wrote; an earlier release wrote template and fields, and no code."""
    stored = snapshot.meta("last_problem")
    if not stored:
        return None
    document = protocol.decode_value(json.loads(stored))
    if "message" not in document:
        return LastProblem(document["at"], "", LazyMessage.revive(document["template"], document["fields"]))
    return LastProblem(document["at"], document["code"], document["message"])


def report_system_error(report: Reporter, error: Exception, default_path: object, problem: str) -> None:
    """Report an error of the operating system or of SQLite, with ``default_path`` if the error names no file."""
    report(
        "{path}: {reason}. Nothing archived was lost. Check the disk and the permissions.",
        problem=problem,
        path=getattr(error, "filename", None) or default_path,
        reason=getattr(error, "strerror", None) or error,
    )


class FailureState:
    """Keep the last problem for ``status``, raise an alarm while the archive cannot be written, pace the attempts.

    The alarm is a lock on a file that is opened at the start: ``status`` sees it although the disk is full.
    """

    def __init__(self, archive: Archive, snapshot: Snapshot, stopping: threading.Event) -> None:
        self._snapshot = snapshot
        self._stopping = stopping
        self._queued_problems: deque[str] = deque(maxlen=_MAX_QUEUED)
        self._database_thread = threading.get_ident()
        self._failures = 0
        self._alarm = lock.LockFlag(archive.root / ALARM)

    def prepare(self) -> None:
        """Make the alarm's file, which a full disk would refuse later; raises StorageError."""
        self._alarm.open()

    def close(self) -> None:
        """End the alarm."""
        self._alarm.close()

    def remember(self, code: str, message: LazyMessage) -> None:
        """Keep a problem for ``status``; threads without the database leave writing to the next turn.

        ``code`` is what metrics count.
        """
        problem = {"at": clock.stamp(clock.read().wall), "code": code, "message": message}
        self._queued_problems.append(json.dumps(problem, default=protocol.encode_value))
        # Side jobs and the replica report from threads of their own; SQLite connections serve one thread.
        if threading.get_ident() == self._database_thread:
            self.write_queued_problems()

    def write_queued_problems(self) -> None:
        """Write the problems left by other threads."""
        while self._queued_problems:
            # If the disk takes no write, the alarm is raised.
            with suppress(sqlite3.Error):
                self._snapshot.set_meta("last_problem", self._queued_problems.popleft())

    def update_alarm(self, error: Exception | None) -> None:
        """Raise the alarm for an error of the archive; end it if ``error`` is None.

        A writer that holds the archive for a while changes nothing: it is no reason to call somebody.
        """
        if error is not None and not _is_busy(error):
            self._alarm.show()
        elif error is None:
            self._alarm.hide()

    def reset_pause(self) -> None:
        """Note a turn without failure: the pause after the next failure is the shortest."""
        self._failures = 0

    def pause(self) -> None:
        """Wait before the next attempt, twice as long each time; returns early when the daemon is told to stop."""
        self._failures += 1
        self._stopping.wait(min(_FIRST_PAUSE_SECONDS * 2 ** (self._failures - 1), _LONGEST_PAUSE_SECONDS))


def _is_busy(error: Exception) -> bool:
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return isinstance(error, Busy)
