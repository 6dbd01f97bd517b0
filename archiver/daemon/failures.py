"""Pass the daemon's failures on to ``archiver status``, even if the archive's disk cannot be written.

A *problem* is the report of a failure: a message for people, and a code for metrics.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from archiver import clock
from archiver.actions import protocol
from archiver.daemon.crash_log import UNEXPECTED_ERROR, write_crash_log
from archiver.errors import ArchiverError, Busy, LazyMessage, Reporter
from archiver.intake.snapshot import Snapshot
from archiver.store import lock
from archiver.store.archive import Archive
from archiver.store.sqlite import is_damage_error
from archiver.store.system_limits import find_limit

#: The name of a file in the archive's folder.  The daemon locks this file while it cannot write to the archive.
ALARM_FILE_NAME = "failing"
#: The pause after the first failure; each further failure doubles it, up to the longest.
_FIRST_PAUSE_SECONDS = 1.0
#: With a longer pause, capture resumes late after an administrator has freed space on the disk.
_LONGEST_PAUSE_SECONDS = 30.0
#: Further problems push the oldest problems out of the queue.  ``status`` shows only the last problem anyway.
_MAX_QUEUED_PROBLEMS = 100


class LastProblem(NamedTuple):
    """The daemon's last problem."""

    at: str  # wall time (RFC 3339, UTC)
    code: str  # empty for a problem that an earlier release stored
    message: LazyMessage

    def as_json(self) -> dict[str, str]:
        """Return the problem's part of ``status --json``, with the message in English."""
        return {"at": self.at, "code": self.code, "message": str(self.message)}


def read_last_problem(snapshot: Snapshot) -> LastProblem | None:
    """Return the problem that :meth:`FailureState.remember_problem` stored last; None if there is none.

    Raises ValueError or KeyError if the text in ``snapshot`` is not a stored problem.
    """
    stored_json = snapshot.meta("last_problem")
    if not stored_json:
        return None
    stored_problem = protocol.decode_value(json.loads(stored_json))
    if "message" not in stored_problem:
        # An earlier release stored the template and the fields of the message, and no code.
        message = LazyMessage.from_parts(stored_problem["template"], stored_problem["fields"])
        return LastProblem(stored_problem["at"], code="", message=message)
    return LastProblem(stored_problem["at"], stored_problem["code"], stored_problem["message"])


def report_system_error(report: Reporter, error: Exception, default_path: object, problem: str) -> None:
    """Report an error of the operating system or of SQLite as a problem with the code ``problem``.

    The message names the file in the error or, if there is none, ``default_path``.  Where a limit is reached, it
    says which one.
    """
    if (limit := find_limit(error)) is not None:
        report(limit.message, problem=limit.code)
        return
    report(
        "{path}: {reason}. No archived data was lost. Check the disk and the permissions.",
        problem=problem,
        path=getattr(error, "filename", None) or default_path,
        reason=getattr(error, "strerror", None) or error,
    )


class FailureReporter:
    """Report failures of work other than capturing, whatever the class of the exception.

    An unexpected error, which is a fault of the program, gets a crash log.  Errors with the same type and
    traceback share one crash log, so that repeated attempts do not fill the disk.
    """

    def __init__(self, report: Reporter, archive_root: Path) -> None:
        """Pass messages to ``report``; the message for an error without a path names ``archive_root``."""
        self._report = report
        self._archive_root = archive_root
        #: Type and traceback of each unexpected error -> the path of its crash log.
        self._crash_log_paths: dict[tuple[type[Exception], str], str] = {}

    def try_optional_task(self, problem: str, task: Callable[[], object]) -> None:
        """Run ``task``, which capturing does not need; report a failure as a problem with the code ``problem``.

        The caller tries again in the next turn.  Raises only the sqlite3.DatabaseError of a damaged index, which
        the caller has to rebuild because capturing reads the index too.
        """
        try:
            task()
        except Exception as error:
            if isinstance(error, sqlite3.DatabaseError) and is_damage_error(error):
                raise
            # Capturing must continue, whatever exception the optional work raises.
            self.report_failure(error, problem)

    def report_failure(self, error: Exception, problem: str) -> None:
        """Report ``error``, which was caught on this thread, as a problem with the code ``problem``."""
        if isinstance(error, ArchiverError):
            self._report(error.message, problem=problem)
        elif isinstance(error, (OSError, sqlite3.Error)) or find_limit(error) is not None:
            report_system_error(self._report, error, self._archive_root, problem)
        else:
            self._report_unexpected_error(error, problem)

    def _report_unexpected_error(self, error: Exception, problem: str) -> None:
        """Report an unexpected error, and write a crash log for the first error of the same type and traceback."""
        error_signature = (type(error), "".join(traceback.format_tb(error.__traceback__)))
        try:
            if error_signature not in self._crash_log_paths:
                self._crash_log_paths[error_signature] = write_crash_log(error, sys.argv[1:])
        except OSError:
            # No crash log can be written, so the message only contains the error's own text.
            report_system_error(self._report, error, self._archive_root, problem)
        else:
            crash_log_path = self._crash_log_paths[error_signature]
            self._report(UNEXPECTED_ERROR.with_fields(path=crash_log_path), problem=problem)


class FailureState:
    """Keep the last problem and the alarm for ``status``, and decide how long to wait before a retry.

    The *alarm* is on while the archive cannot be written.  It is a lock on a file that is created at the start, so
    ``status`` sees it even if the disk is full.  The owner calls :meth:`create_alarm_file` before the work, and
    :meth:`close` after it.
    """

    def __init__(self, archive: Archive, snapshot: Snapshot, stopping: threading.Event) -> None:
        """Use ``snapshot`` on the calling thread only.  Setting ``stopping`` ends a :meth:`wait_before_retry`."""
        self._snapshot = snapshot
        self._stopping = stopping
        #: Problems as JSON, oldest first, which are not written to the snapshot yet.
        self._queued_problems: deque[str] = deque(maxlen=_MAX_QUEUED_PROBLEMS)
        self._snapshot_thread_id = threading.get_ident()
        self._failure_count = 0
        self._alarm = lock.LockFlag(archive.root / ALARM_FILE_NAME)

    def create_alarm_file(self) -> None:
        """Create the alarm's file while the disk can be written; raises StorageError."""
        self._alarm.open()

    def close(self) -> None:
        """Switch the alarm off, and close the file."""
        self._alarm.close()

    def remember_problem(self, code: str, message: LazyMessage) -> None:
        """Store a problem for ``status``.  Any thread may call this method.

        ``code`` is the problem's code, as in the metrics.  Only the thread that created this object writes to the
        snapshot at once.  On any other thread, the problem is queued for :meth:`write_queued_problems`.
        """
        dated_problem = {"at": clock.format_time(clock.read_clocks().wall), "code": code, "message": message}
        self._queued_problems.append(json.dumps(dated_problem, default=protocol.encode_value))
        # Side jobs and replication report on their own threads, but an SQLite connection serves one thread only.
        if threading.get_ident() == self._snapshot_thread_id:
            self.write_queued_problems()

    def write_queued_problems(self) -> None:
        """Write the queued problems to the snapshot, and drop a problem that cannot be written.

        Call this only on the thread that created this object.
        """
        while self._queued_problems:
            # If the disk cannot be written, the alarm shows that to ``status`` instead.
            with suppress(sqlite3.Error):
                self._snapshot.set_meta("last_problem", self._queued_problems.popleft())

    def update_alarm(self, error: Exception | None) -> None:
        """Switch the alarm on if ``error`` prevented a write to the archive, and off if ``error`` is None.

        The alarm does not change if the archive was only busy: another writer will finish, so nobody has to act.
        """
        if error is not None and not _is_busy(error):
            self._alarm.raise_flag()
        elif error is None:
            self._alarm.lower_flag()

    def reset_retry_pause(self) -> None:
        """Register a success, so that the next failure leads to the shortest pause again."""
        self._failure_count = 0

    def wait_before_retry(self) -> None:
        """Wait before the next attempt, twice as long after each failure in a row, up to the longest pause.

        Returns early if the daemon has to stop.
        """
        self._failure_count += 1
        self._stopping.wait(min(_FIRST_PAUSE_SECONDS * 2 ** (self._failure_count - 1), _LONGEST_PAUSE_SECONDS))


def _is_busy(error: Exception) -> bool:
    """Return True if the error only means that another process or connection is writing."""
    if isinstance(error, sqlite3.Error):
        # The low byte is the primary result code; the other bytes say more about the same error.
        primary_code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        return primary_code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return isinstance(error, Busy)
