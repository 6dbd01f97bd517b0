"""Run the loop that captures the changes of a watched folder, in the daemon and for ``run --once``."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from archiver import clock
from archiver.config.settings import Config
from archiver.daemon import upkeep
from archiver.daemon.daily_events import journal_clock_daily, sign_checkpoint_daily
from archiver.daemon.failures import FailureReporter, FailureState, report_system_error
from archiver.daemon.pending_list import PendingList
from archiver.daemon.refusals import journal_refusals
from archiver.daemon.reopen_reasons import ArchiveGone, FolderRemounted, HistoryReplaced
from archiver.daemon.socket_server import grant_group_access
from archiver.daemon.watched_folder import WatchedFolder
from archiver.daemon.watching.missed_events import find_missed_changes
from archiver.errors import ArchiverError, LazyMessage, Reporter, StorageError
from archiver.filings.change_detection import journal_new_questions
from archiver.intake.capture import Capturer
from archiver.intake.capture_result import Remainder
from archiver.intake.exclusion.ignore_rules import IgnoreRules
from archiver.intake.folder.access import open_access
from archiver.intake.folder.watch_path import check_watch_path_change
from archiver.intake.layout import check_layout
from archiver.intake.pipeline import Pipeline
from archiver.intake.scan import Scanner
from archiver.intake.scan_record import ScanRecord
from archiver.intake.seed_snapshot import seed_snapshot
from archiver.intake.snapshot_opening import is_from_other_history, open_snapshot
from archiver.intake.staging import ReadingStopped
from archiver.intake.timing.settle import Settler
from archiver.store import lock
from archiver.store.archive import Archive
from archiver.store.git import repository_format
from archiver.store.sqlite import is_damage_error
from archiver.store.system_limits import find_limit
from archiver.store.writing.drafts import Draft

if TYPE_CHECKING:
    from archiver.daemon.metrics import Gauges

#: The shortest pause between two turns. A shorter pause costs processor time until a changed file is captured.
_SHORTEST_PAUSE_SECONDS = 0.05
#: The longest pause between two turns. After a longer pause, a missing folder or a new mount is noticed late.
_LONGEST_PAUSE_SECONDS = 1.0


class Daemon:
    """Capture the changes of a watched folder in an archive, until told to stop.

    Owns the watch, the capturer's threads and child processes, the side jobs, the replication, and a connection
    to ``state.db``.  Call either :meth:`run` or :meth:`run_once`, and only one time: both end all of these.  If
    the call raises before the work has begun, call :meth:`close`.  The caller closes the archive.
    """

    def __init__(
        self,
        archive: Archive,
        config: Config,
        report: Reporter,
        settle_seconds: float | None = None,
        lock_timeout: float = 30,
        heartbeat: Callable[[], None] = lambda: None,
    ) -> None:
        """Open ``state.db`` and access to the folder; the work begins with :meth:`run` or :meth:`run_once`.

        ``settle_seconds`` replaces the configured quiet period, in which a path must not change before it is
        captured.  Each write waits at most ``lock_timeout`` seconds for the lock.  ``heartbeat`` is called
        repeatedly while the work progresses.

        Raises ConfigError, Busy, StorageError, OSError or sqlite3.Error; nothing stays open then.
        """
        self._archive = archive
        self._config = config
        self._report = report
        self._failure_reporter = FailureReporter(report, archive.root)
        self._lock_timeout = lock_timeout
        self._heartbeat = heartbeat
        self._stopping = threading.Event()
        #: Device and inode of the repository, to notice if another repository is at its path.
        self._archive_identity = archive.repository_identity()
        with contextlib.ExitStack() as open_resources:
            self._snapshot = open_snapshot(archive, lock_timeout)
            open_resources.callback(self._snapshot.close)
            self._failures = FailureState(archive, self._snapshot, self._stopping)
            open_resources.callback(self._failures.close)
            self._access = open_access(config.watch, config.archive)
            open_resources.callback(self._access.close)
            self._scan_record = ScanRecord(self._snapshot, archive.root)
            volatile_folder, probe_folder = self._scan_record.volatile_folder, archive.root / "canary"
            self._watched_folder = WatchedFolder(
                *(config, self._access, self._snapshot, volatile_folder, probe_folder, report),
                self._journal_event,
                archive,
            )
            open_resources.callback(self._watched_folder.stop_watching)
            self._capturer = Capturer(archive, self._snapshot, self._access, config, self._stopping)
            open_resources.callback(self._capturer.close)
            upkeep.apply_sensitive_patterns(archive, config, self._snapshot)
            upkeep.enforce_restrictions(archive, report)
            self._open_resources = open_resources.pop_all()  # closes all of these; empty after :meth:`close`
        self._side_work = upkeep.SideWork(config, report, lock_timeout)
        quiet_seconds = config.settle_seconds if settle_seconds is None else settle_seconds
        scanner = Scanner(self._access, IgnoreRules.with_litter(config.ignore))
        settler = Settler(quiet_seconds, config.maximum_delay_seconds)
        gate = self._watched_folder.deletion_gate
        self.pipeline = Pipeline(scanner, self._snapshot, settler, self._capturer, gate, config, report, heartbeat)
        self._pending_list = PendingList(self._snapshot, self.pipeline)
        self._memory_releaser = upkeep.MemoryReleaser(self.pipeline)
        #: The monotonic time of the last full scan; None if a full scan is due at once.
        self._last_scan_at: float | None = None
        self._is_interrupted = False
        self._is_folder_accepted = False

    def stop(self) -> None:
        """Ask the daemon to end soon, even in the middle of a large file.  Never call this in a signal handler."""
        self._stopping.set()
        self._watched_folder.wake()

    def interrupt(self) -> None:
        """Ask the daemon to end after the current turn, and return.  Never call this in a signal handler."""
        self._is_interrupted = True
        self._watched_folder.wake()

    def close(self) -> None:
        """End threads, child processes and the watch, and close ``state.db``; a second call does nothing."""
        self._open_resources.close()

    def measure_gauges(self) -> Gauges:
        """Measure the gauges for the metrics; raises OSError or sqlite3.Error if the archive cannot be read."""
        from archiver.daemon.metrics import measure_gauges

        watch_state = self._watched_folder.state
        return measure_gauges(self._archive, self._config, self._snapshot, self.pipeline, watch_state)

    def remember_problem(self, code: str, message: LazyMessage) -> None:
        """Store a problem and its code for ``archiver status``.  Any thread may call this method."""
        self._failures.remember_problem(code, message)

    def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Work until :meth:`stop` or :meth:`interrupt`; ``ready`` is called when the start has succeeded.

        Raises Busy if another daemon runs, and ArchiveGone, FolderRemounted or HistoryReplaced if everything has
        to be opened again.  Raises ArchiverError, OSError or sqlite3.Error if the start fails; later failures are
        reported, and the daemon tries again.
        """
        with lock.hold_lock(self._archive.root / "daemon.lock", 0):
            self._prepare_run()
            ready()
            try:
                while not self._stopping.is_set() and not self._is_interrupted:
                    self._heartbeat()
                    self._run_turn()
            except ReadingStopped:
                # stop() interrupted the reading of a large file; the unfinished copy was discarded.
                pass
            finally:
                self._finish_run()

    def run_once(self) -> Remainder:
        """Capture each change as soon as it has settled; return the paths that are not archived at the end.

        Returns early if the archive refuses every change, after the maximum delay, and after :meth:`stop`.

        Raises Busy if a daemon runs, StorageError if the watched folder is missing or the repository was restored
        to another state in the meantime, and ArchiverError, OSError or sqlite3.Error for other failures.
        """
        with lock.hold_lock(self._archive.root / "daemon.lock", 0):
            self._prepare_run()
            try:
                if not self._watched_folder.is_present():
                    raise self._watched_folder.missing_folder_error()
                deadline = clock.monotonic_seconds() + self._config.maximum_delay_seconds
                self._scan_folder()
                while not self.pipeline.is_idle and not self._stopping.is_set():
                    self.pipeline.capture_due(self._lock_timeout, gather=False)  # do not wait for a minimum age
                    if clock.monotonic_seconds() > deadline or self.pipeline.is_hopeless:
                        break
                    self._stopping.wait(_SHORTEST_PAUSE_SECONDS)
                if self.pipeline.refusal is None:
                    journal_new_questions(self._archive, self._config, self._lock_timeout)
                return self.pipeline.remainder()
            except HistoryReplaced:
                raise StorageError(
                    "The archive {path} was restored to another state during the run. No archived data was lost. "
                    "To start again, run: archiver run --once",
                    path=self._archive.root,
                ) from None
            except ReadingStopped:
                return self.pipeline.remainder()
            finally:
                self._finish_run()

    # --- start and end

    def _prepare_run(self) -> None:
        """Check the archive and the folder before a run, report what a person has to do, and journal the clock.

        Raises ConfigError if the layout or the folder belongs to another archive, and ArchiverError, OSError or
        sqlite3.Error if the archive cannot be used.
        """
        self._archive.check_writable()
        check_layout(self._config, self._archive.index.layout)
        self._archive.check_owner()
        self._failures.create_alarm_file()
        grant_group_access(self._config, self._report)
        with self._archive.writing(self._lock_timeout):
            # Before a file is read, writing() refuses refs that contradict the journal.
            self._archive.content.spool.clear()
        upkeep.report_unread_events(self._archive, self._report)
        self._accept_folder()
        upkeep.report_waiting_promise(self._archive, self._config, self._report)
        journal_clock_daily(self._archive, self._journal_event)

    def _accept_folder(self) -> None:
        """Check that the folder may be watched for this archive, and journal its path if the path has changed.

        Does nothing after a success with a present folder.  Raises ConfigError for another archive's folder.
        """
        if self._is_folder_accepted:
            return
        if move_event := check_watch_path_change(self._archive, self._config, self._access):
            self._journal_event(move_event)
            self._watched_folder.allow_other_mount()
        self._is_folder_accepted = self._watched_folder.is_present()

    def _finish_run(self) -> None:
        """Stop the work, record for ``status`` what is pending and that nothing is watched, and :meth:`close`."""
        self._side_work.stop()
        self._capturer.close()
        # Fails if the archive's disk is full, read-only or missing.  The next start writes a new list.
        with contextlib.suppress(sqlite3.Error, OSError):
            self._pending_list.update()
            self._scan_record.close()
            self._watched_folder.close()
        self.close()

    def _journal_event(self, draft: Draft) -> None:
        """Journal an event; raises Busy if another writer holds the lock, StorageError if writing fails."""
        with self._archive.writing(self._lock_timeout) as writer:
            writer.append(draft)

    # --- one turn

    def _run_turn(self) -> None:
        """Run one turn; after a failure, report it and pause, because a person has to fix most failures.

        Raises ArchiveGone, FolderRemounted, HistoryReplaced or ReadingStopped, which end the run.
        """
        if self._archive.repository_identity() != self._archive_identity:
            raise ArchiveGone
        try:
            self._capture_changes()
            self._failures.reset_retry_pause()
        except sqlite3.DatabaseError as error:
            self._recover_from_database_error(error)
        except (ArchiverError, OSError, RuntimeError, MemoryError) as error:
            if not (limit := find_limit(error)) and not isinstance(error, ArchiverError | OSError):
                raise
            # If the watched folder vanished during a scan, the next turn notices that, and nothing has failed.
            if limit or not isinstance(error, OSError) or self._watched_folder.is_present():
                self._failure_reporter.report_failure(error, getattr(error, "code", "storage"))
                self._pause_after_failure(error)

    def _capture_changes(self) -> None:
        """Find changes, start side jobs, capture the changes that have settled, and wait for further changes.

        Raises FolderRemounted, HistoryReplaced, ReadingStopped, ArchiverError, OSError or sqlite3.Error.
        """
        if not self._watched_folder.is_present():
            self._watched_folder.note_missing_folder()
            self._last_scan_at = None
            self._stopping.wait(_LONGEST_PAUSE_SECONDS)
            return
        if not self._watched_folder.is_access_still_suitable:
            raise FolderRemounted
        self._accept_folder()
        self._failures.write_queued_problems()
        repository_format.check_readable(self._archive.repository_path)
        now = clock.monotonic_seconds()
        if self._watched_folder.ensure_watched() or self._watched_folder.check_for_lost_events(now):
            self._last_scan_at = None
        self.pipeline.process_hints(self._watched_folder.take_hints(), now)
        self._scan_if_due(now)
        self._side_work.start_due_work(self._archive)
        self.pipeline.capture_due(self._lock_timeout)
        self._failures.update_alarm(self.pipeline.refusal)
        self._pending_list.update_if_due()
        self._memory_releaser.release_memory_if_idle()
        self._failure_reporter.try_optional_task(
            "refusals", lambda: journal_refusals(self._archive, self._journal_event)
        )
        pause = max(self.pipeline.pause(_LONGEST_PAUSE_SECONDS), _SHORTEST_PAUSE_SECONDS)
        if not self._watched_folder.wait(pause):
            self._stopping.wait(pause)

    def _scan_if_due(self, now: float) -> None:
        """If a full scan is due at ``now``, scan; then journal the clock and sign a checkpoint, each if due."""
        if self._last_scan_at is None or now >= self._last_scan_at + self._watched_folder.scan_interval_seconds:
            self._scan_folder()
            journal_clock_daily(self._archive, self._journal_event)
            self._failure_reporter.try_optional_task(
                "checkpoint", lambda: sign_checkpoint_daily(self._archive, self._lock_timeout)
            )

    def _scan_folder(self) -> None:
        """Compare the whole folder with the archive, and replace the watch if a change raised no event.

        Raises HistoryReplaced if ``state.db`` belongs to another state of the repository.
        """
        self._archive.restore_missing_settings(self._lock_timeout)
        if self._snapshot.is_file_replaced or is_from_other_history(self._archive, self._snapshot):
            raise HistoryReplaced
        # Other scans, at the start or after lost events, are expected to find changes without an event.
        is_regular_scan = self._last_scan_at is not None
        pending_before = self.pipeline.pending_paths()
        # A new snapshot is empty, and a process may have died after it wrote a version, but before its entries.
        seed_snapshot(self._snapshot, self._archive.index)
        full_scan = self.pipeline.scan(clock.monotonic_seconds())
        self._scan_record.note(has_news=bool(full_scan.changed))
        self._last_scan_at = clock.monotonic_seconds()
        self._watched_folder.note_unwatched_folders(full_scan, clock.monotonic_seconds())
        self._watched_folder.record_scanned_folder(full_scan.new_files)
        self.pipeline.set_quiet_periods(self._watched_folder.quiet_periods)
        if not is_regular_scan or not self._watched_folder.expects_events:
            return
        if missed_paths := find_missed_changes(full_scan, pending_before, self._snapshot):
            self._watched_folder.restart_stalled_watch(missed_paths[0], len(missed_paths))

    # --- failures

    def _pause_after_failure(self, error: Exception) -> None:
        """Wait before the next turn, longer after each failure; raise the alarm unless the archive is only busy.

        The next turn scans the whole folder, because the failed turn may have lost hints.
        """
        self._last_scan_at = None
        self._failures.update_alarm(error)
        self._failures.wait_before_retry()

    def _recover_from_database_error(self, error: sqlite3.DatabaseError) -> None:
        """Rebuild a damaged index from the journal; report any other error of SQLite as an error of the disk.

        Raises ArchiverError, OSError or sqlite3.Error if the index cannot be rebuilt.
        """
        if not is_damage_error(error):
            report_system_error(self._report, error, self._archive.root, problem="storage")
            self._pause_after_failure(error)
            return
        self._report(
            "The index is damaged ({reason}). Rebuilding it from the journal.", problem="database", reason=error
        )
        self._last_scan_at = None
        with self._archive.writing(self._lock_timeout):
            self._archive.reindex()
