"""Replicate the archive to the bucket on a separate thread, so that a slow or absent bucket delays no version."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress

from archiver import clock
from archiver.config.settings import Config
from archiver.daemon.failures import FailureReporter
from archiver.errors import ArchiverError, Busy, Reporter
from archiver.replica.bucket import Bucket, TransferStopped
from archiver.replica.connect import open_replica, sync_replica
from archiver.replica.sync_result import HeldBackContent
from archiver.retention.policy import accepted_policy
from archiver.store.archive import Archive

#: The shortest time between two runs. With a shorter time, captures in quick succession are not sent together.
_MIN_INTERVAL_SECONDS = 10.0
#: The longest time between two runs. Retention dates move, and object locks run out, without any new event.
_MAX_INTERVAL_SECONDS = 3600.0
#: The pause after the first failure; each further failure doubles it, up to the longest.
_FIRST_PAUSE_SECONDS = 30.0
#: With a longer pause, replication resumes late after the bucket is back.
_LONGEST_PAUSE_SECONDS = 1800.0


class Replication:
    """Replicate after each journalled event and at least once an hour; less and less often after failures.

    Each run has a separate thread, which opens the archive again.  :meth:`stop` makes the thread end after the
    current part of a transfer.  The daemon does not wait for the thread: the next run adopts objects that were
    uploaded but not recorded.
    """

    def __init__(self, config: Config, report: Reporter) -> None:
        """Prepare replication; no thread is started yet.  ``report`` is called on the thread of a run."""
        self._config = config
        self._failures = FailureReporter(report, config.archive)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._bucket: Bucket | None = None
        #: The journal commit up to which everything is in the bucket; None before the first complete run.
        self._replicated_commit: str | None = None
        #: Monotonic times. No run starts before ``_earliest_run_at``. From ``_next_check_at`` on, a run is due
        #: even without a new event.
        self._earliest_run_at = 0.0
        self._next_check_at = 0.0
        self._failure_count = 0

    def start_if_due(self, archive: Archive) -> None:
        """Start a run if there is something to send or to check and no run is active; return at once.

        Does nothing for an archive without a replica.  Raises sqlite3.Error if the index cannot be read, and
        RuntimeError if no thread can be started.
        """
        now = clock.monotonic_seconds()
        if now < self._earliest_run_at or (self._thread is not None and self._thread.is_alive()):
            return
        journal_head = archive.index.head_commit
        if archive.index.current_replica() is None or (
            journal_head == self._replicated_commit and now < self._next_check_at
        ):
            return
        self._thread = threading.Thread(
            target=self._run_replication, args=(journal_head,), name="replica", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Ask a run to end after the current part of its transfer, because the daemon ends; return at once."""
        self._stopping.set()
        if self._bucket is not None:
            self._bucket.stop_transfers()

    def _run_replication(self, journal_head: str | None) -> None:
        """Replicate once, report a failure, and schedule the next run; the target of the thread.

        ``journal_head`` is the newest commit of the journal at the start: later events need another run.
        """
        try:
            held_back = self._replicate_once()
        except TransferStopped:
            # The daemon is stopping.  The first run after the next start continues the transfer.
            pass
        except Busy:
            # Another process is replicating, for example a command.
            self._postpone_next_run(_MIN_INTERVAL_SECONDS)
        except Exception as error:
            # Every exception leads to a pause: otherwise each turn of the daemon would start another thread.
            self._failure_count += 1
            self._postpone_next_run(
                min(_FIRST_PAUSE_SECONDS * 2 ** (self._failure_count - 1), _LONGEST_PAUSE_SECONDS)
            )
            # A daemon that stops cuts connections, so an expected error may not be the bucket's fault.
            if not (self._stopping.is_set() and isinstance(error, ArchiverError)):
                self._failures.report_failure(error, problem="replica")
        else:
            self._replicated_commit, self._failure_count = journal_head, 0
            self._postpone_next_run(_MIN_INTERVAL_SECONDS)
            self._schedule_next_check(held_back)

    def _schedule_next_check(self, held_back: HeldBackContent | None) -> None:
        """Make a run due in an hour, or earlier if the grace period of some held-back content ends before."""
        check_seconds = _MAX_INTERVAL_SECONDS
        if held_back is not None:
            # Content has to be sent when its grace period ends, although no event announces the end.
            release_seconds = (held_back.first_release - clock.read_clocks().wall).total_seconds()
            check_seconds = max(min(check_seconds, release_seconds + 1), _MIN_INTERVAL_SECONDS)
        self._next_check_at = clock.monotonic_seconds() + check_seconds

    def _postpone_next_run(self, seconds: float) -> None:
        """Begin no run within the next ``seconds``, whatever is journalled until then."""
        self._earliest_run_at = clock.monotonic_seconds() + seconds

    def _replicate_once(self) -> HeldBackContent | None:
        """Bring the bucket up to date; open the archive and the connection for this run, and close them again.

        Returns the new content that is held back during a grace period, or None if there is none.

        Raises Busy at once if another process replicates, TransferStopped after :meth:`stop`, and ArchiverError,
        OSError or sqlite3.Error for any other expected failure.
        """
        archive = Archive(self._config.archive)
        try:
            with open_replica(archive, self._config) as replica:
                self._bucket = replica.bucket
                # A lock is never shortened, so it lasts only as long as the retention that was accepted.
                policy = accepted_policy(self._config, archive.index.retention_promises())
                return sync_replica(archive, replica, policy, lock_timeout=0, stopping=self._stopping).held_back
        finally:
            self._bucket = None
            # An error from closing the database must not replace the error that ended the run.
            with suppress(sqlite3.Error):
                archive.close()
