"""Keep one archive complete with one watched folder: the loop of the daemon, and of ``run --once``."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable

from archiver import clock
from archiver.config.settings import Config
from archiver.daemon.jobs import JobRunner
from archiver.daemon.metrics import Gauges, measure
from archiver.daemon.pending_list import PendingList
from archiver.daemon.refusals import journal_refusals
from archiver.daemon.reopen_reasons import ArchiveGone, FolderRemounted, HistoryReplaced
from archiver.daemon.replication import Replication
from archiver.daemon.socket_server import grant_group_access
from archiver.daemon.ticks import journal_tick, sign_daily
from archiver.daemon.trouble import FailureState, report_system_error
from archiver.daemon.watched_folder import WatchedFolder
from archiver.errors import ArchiverError, LazyMessage, Reporter, StorageError
from archiver.filings.change_detection import journal_new_questions
from archiver.intake.capture import Capturer
from archiver.intake.folder.watch_path import changed_watch_path
from archiver.intake.ignore import IgnoreRules
from archiver.intake.layout import check_layout
from archiver.intake.pipeline import Pipeline, Remainder
from archiver.intake.scan import Scanner
from archiver.intake.seed_snapshot import seed_snapshot
from archiver.intake.settle import Settler
from archiver.intake.snapshot import is_foreign, open_snapshot
from archiver.intake.staging import ReadingStopped
from archiver.retention import unread
from archiver.retention.policy import new_promises, policy_in_force
from archiver.store import lock, sensitive
from archiver.store.archive import Archive
from archiver.store.fsync import release_memory
from archiver.store.git import hooks
from archiver.store.sqlite import is_damage
from archiver.store.writer import Draft

_TICK_SECONDS = 0.05
_IDLE_SECONDS = 1.0
#: From so many pending files on, the allocator keeps memory that is worth returning afterwards.
_MEMORY_RELEASE_PATHS = 5000
#: Events arrive much earlier: a change that a scan finds and that is older than this had no event.
_EVENT_SECONDS = 10.0


class Daemon:
    """Capture from one watched folder into one archive until told to stop.

    Owns the watch, the capturer's threads and children, the side jobs, the replication and its connection to
    ``state.db``; they end with :meth:`run` or :meth:`run_once`.  The archive belongs to the caller.
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
        """``heartbeat`` is called again and again while the work makes progress; ``lock_timeout``: seconds."""
        self._archive = archive
        self._config = config
        self._report = report
        self._lock_timeout = lock_timeout
        self._heartbeat = heartbeat
        self._stopping = threading.Event()
        self._identity = archive.identity()
        self._snapshot = open_snapshot(archive, lock_timeout)
        self._failures = FailureState(archive, self._snapshot, self._stopping)
        self._folder = WatchedFolder(config, self._snapshot, archive.root / "canary", report, self._append)
        quiet = config.settle_seconds if settle_seconds is None else settle_seconds
        self._scanner = Scanner(self._folder.access, IgnoreRules(config.ignore))
        self._capturer = Capturer(archive, self._snapshot, self._folder.access, config, self._stopping)
        self._hide_sensitive()
        self._jobs = JobRunner(config, report, lock_timeout)
        self._replication = Replication(config, report)
        self._settler = Settler(quiet, config.maximum_delay_seconds)
        self.pipeline = Pipeline(
            self._scanner, self._snapshot, self._settler, self._capturer, config, report, heartbeat
        )
        self._pending_list = PendingList(self._snapshot, self.pipeline)
        #: The time of the last scan of everything; None makes the next one due at once.
        self._last_scan: float | None = None
        self._interrupted = False
        self._is_folder_accepted = False
        self._had_many_paths = False

    def _hide_sensitive(self) -> None:
        """Apply changed [sensitive] patterns to materials archived under the old patterns too."""
        patterns = json.dumps(self._config.sensitive)
        if patterns != (self._snapshot.meta("sensitive") or "[]"):
            sensitive.hide_archived(self._archive.index, self._archive.content, self._config.sensitive)
            self._snapshot.set_meta("sensitive", patterns)

    def stop(self) -> None:
        """Ask the daemon to end; from another thread, never in a signal handler."""
        self._stopping.set()
        self._folder.wake()

    def interrupt(self) -> None:
        """End at the next turn, with the work in hand done; from another thread, never in a signal handler."""
        self._interrupted = True
        self._folder.wake()

    def gauges(self) -> Gauges:
        """Measure the figures for the metrics; raises OSError or sqlite3.Error if the archive cannot be read."""
        return measure(self._archive, self._snapshot, self.pipeline, self._folder.state)

    def remember_problem(self, code: str, message: LazyMessage) -> None:
        """Keep a problem for ``archiver status``; safe on every thread."""
        self._failures.remember(code, message)

    def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Work until :meth:`stop` or :meth:`interrupt`; ``ready`` is called once everything is open.

        Raises Busy if another daemon runs; ArchiveGone, FolderRemounted or HistoryReplaced if everything has to be
        opened anew; and whatever stands in the way of the start.
        """
        with lock.hold(self._archive.root / "daemon.lock", 0):
            self._prepare()
            ready()
            try:
                while not self._stopping.is_set() and not self._interrupted:
                    self._heartbeat()
                    self._turn()
            except ReadingStopped:
                # stop() ended the reading of a large file; its copy was discarded.
                pass
            finally:
                self._finish()

    def run_once(self) -> Remainder:
        """Capture what differs from the archive; return the paths still not archived.

        Ends early if the archive refuses everything, or after the maximum delay.

        Raises Busy if a daemon runs, StorageError if the watched folder is missing.
        """
        with lock.hold(self._archive.root / "daemon.lock", 0):
            self._prepare()
            try:
                if not self._folder.is_present():
                    raise StorageError(
                        "The watched folder {path} is missing. Nothing archived was lost. Mount it, or mend "
                        "watch.path in the configuration, and start again.",
                        path=self._config.watch,
                    )
                deadline = clock.monotonic() + self._config.maximum_delay_seconds
                self._scan()
                while not self.pipeline.is_idle and not self._stopping.is_set():
                    self.pipeline.capture_due(self._lock_timeout, gather=False)
                    if clock.monotonic() > deadline or self.pipeline.is_hopeless:
                        break
                    self._stopping.wait(_TICK_SECONDS)
                if self.pipeline.refusal is None:
                    journal_new_questions(self._archive, self._config, self._lock_timeout)
                return self.pipeline.remainder()
            except HistoryReplaced:
                raise StorageError(
                    "The archive {path} was put back to another state meanwhile. No archived data was lost. "
                    "Start again with: archiver run --once",
                    path=self._archive.root,
                ) from None
            except ReadingStopped:
                return self.pipeline.remainder()
            finally:
                self._finish()

    # --- start and end

    def _prepare(self) -> None:
        """Check the archive and the folder before a run; raises ConfigError for settings of another archive."""
        check_layout(self._config, self._archive.index.layout)
        self._archive.check_owner()
        self._failures.prepare()
        grant_group_access(self._config, self._report)
        with self._archive.writing(self._lock_timeout):
            # writing() refuses refs that contradict the journal: before a file is read.
            self._archive.content.clear_spool()
        for reason in unread.describe_problems(self._archive.index.unread()):
            self._report("Attention: {reason}.", problem="journal", reason=reason)
        self._accept_folder()
        promises = self._archive.index.promises()
        if promised := new_promises(policy_in_force(self._config, promises), self._config, promises):
            self._append(Draft("retention", promised))
        journal_tick(self._archive, self._append)

    def _accept_folder(self) -> None:
        """Check the watched folder once, when present, to be of this archive; raises ConfigError."""
        if self._is_folder_accepted:
            return
        if move_event := changed_watch_path(self._archive, self._config, self._folder.access):
            self._append(move_event)
            self._folder.allow_other_mount()
        self._is_folder_accepted = self._folder.is_present()

    def _finish(self) -> None:
        """End threads, children and the watch; a disk without room must not keep the daemon from ending."""
        self._replication.stop()
        self._capturer.close()
        try:
            self._pending_list.update()
            self._folder.close()
        except (sqlite3.Error, OSError):
            # The archive's disk is full, read-only or gone: the list of pending paths is made again by a scan.
            self._folder.unwatch()
        self._failures.close()
        self._snapshot.close()

    # --- one turn

    def _turn(self) -> None:
        """Work once; report a failure and pause, since most failures are of a disk, and need a person."""
        if self._archive.identity() != self._identity:
            raise ArchiveGone
        try:
            self._work()
            self._failures.reset_pause()
        except ArchiverError as error:
            self._report(error.message, problem=error.code)
            self._pause(error)
        except sqlite3.DatabaseError as error:
            self._database_problem(error)
        except OSError as error:
            # The watched folder may have gone while it was walked: the next turn sees that.
            if self._folder.is_present():
                report_system_error(self._report, error, self._archive.root, problem="storage")
                self._pause(error)

    def _work(self) -> None:
        """Do one turn: watch, scan if due, start side jobs, capture finished files, wait for more."""
        if not self._folder.is_present():
            self._folder.report_missing()
            self._last_scan = None
            self._stopping.wait(_IDLE_SECONDS)
            return
        if not self._folder.is_reached_as_before:
            raise FolderRemounted
        self._accept_folder()
        self._failures.write_queued_problems()
        # Before any git of this turn: git obeys these files.
        hooks.check(self._archive.repository_path)
        now = clock.monotonic()
        if self._folder.ensure_watched() or self._folder.check_for_lost_events(now):
            self._last_scan = None
        self.pipeline.process_hints(self._folder.take_hints(), now)
        if self._last_scan is None or now >= self._last_scan + self._folder.scan_seconds:
            self._scan()
            journal_tick(self._archive, self._append)
            self._try_side_task("checkpoint", self._sign_daily)
        self._try_side_task("errands", lambda: self._jobs.start_due_job(self._archive))
        self._try_side_task("replica", lambda: self._replication.start_if_due(self._archive))
        self.pipeline.capture_due(self._lock_timeout)
        self._failures.update_alarm(self.pipeline.refusal)
        self._pending_list.update_if_due()
        self._release_memory()
        self._try_side_task("refusals", lambda: journal_refusals(self._archive, self._append))
        pause = max(self.pipeline.pause(_IDLE_SECONDS), _TICK_SECONDS)
        if not self._folder.wait(pause):
            self._stopping.wait(pause)

    def _scan(self) -> None:
        """Compare everything with the archive; a change without an event reveals a deaf watch.

        Raises HistoryReplaced if ``state.db`` belongs to another state of the repository.
        """
        self._archive.put_settings_back(self._lock_timeout)
        if self._snapshot.is_replaced or is_foreign(self._archive, self._snapshot):
            raise HistoryReplaced
        by_timer = self._last_scan is not None
        pending_before = self.pipeline.pending_paths()
        # A new snapshot is empty, and a process may have died between a version and its entries.
        seed_snapshot(self._snapshot, self._archive.index)
        scan = self.pipeline.scan(clock.monotonic())
        self._last_scan = clock.monotonic()
        self._folder.note_unwatched_folders(scan, clock.monotonic())
        self._folder.remember()
        if by_timer and self._folder.expects_events:
            missed_paths = self.pipeline.missed(scan, pending_before, _EVENT_SECONDS)
            if missed_paths:
                self._folder.rewatch_after_silence(missed_paths[0], len(missed_paths))

    def _release_memory(self) -> None:
        """Return memory to the system after a great drop of files; the allocator keeps such memory for months."""
        if self.pipeline.pending_count > _MEMORY_RELEASE_PATHS:
            self._had_many_paths = True
        elif self._had_many_paths and self.pipeline.is_idle:
            self._had_many_paths = False
            release_memory()

    # --- failures

    def _try_side_task(self, name: str, work: Callable[[], object]) -> None:
        """Do something capturing does not need: a failure is reported, and the next turn tries again.

        Raises only a damaged index, which is rebuilt for everyone who reads it.
        """
        try:
            work()
        except ArchiverError as error:
            self._report(error.message, problem=name)
        except Exception as error:
            if isinstance(error, sqlite3.DatabaseError) and is_damage(error):
                raise
            report_system_error(self._report, error, self._archive.root, problem=name)

    def _pause(self, error: Exception) -> None:
        """Wait before the next turn, longer each time, and scan everything then: hints may be lost."""
        self._last_scan = None
        self._failures.update_alarm(error)
        self._failures.pause()

    def _database_problem(self, error: sqlite3.DatabaseError) -> None:
        """Rebuild a damaged index from the journal; treat other errors of SQLite as errors of the disk."""
        if not is_damage(error):
            report_system_error(self._report, error, self._archive.root, problem="storage")
            self._pause(error)
            return
        self._report(
            "The index is damaged ({reason}) and is rebuilt from the journal.", problem="database", reason=error
        )
        self._last_scan = None
        with self._archive.writing(self._lock_timeout):
            self._archive.reindex()

    # --- the journal

    def _sign_daily(self) -> None:
        sign_daily(self._archive, self._snapshot, self._lock_timeout)

    def _append(self, draft: Draft) -> None:
        with self._archive.writing(self._lock_timeout) as writer:
            writer.append(draft)
