"""One archive kept complete with one watched folder: turns the pipeline's crank."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable

from archiver import clock
from archiver.config.settings import Config
from archiver.daemon.jobs import JobRunner
from archiver.daemon.metrics import Gauges, measure
from archiver.daemon.refusals import journal_refusals
from archiver.daemon.replication import Replication
from archiver.daemon.socket_server import let_in
from archiver.daemon.ticks import journal_tick, sign_daily
from archiver.daemon.trouble import FailureState
from archiver.daemon.watched_folder import WatchedFolder
from archiver.errors import ArchiverError, ConfigProblem, Reporter, StorageProblem
from archiver.filings.change_detection import open_questions
from archiver.intake.capture import Capturer
from archiver.intake.folder.watch_path import changed_watch_path
from archiver.intake.ignore import IgnoreRules
from archiver.intake.pipeline import Pipeline, Remainder
from archiver.intake.scan import Scanner
from archiver.intake.seed_snapshot import seed_snapshot
from archiver.intake.settle import Settler
from archiver.intake.snapshot import SkippedPath, is_foreign, open_snapshot
from archiver.intake.staging import ReadingStopped
from archiver.retention import unread
from archiver.retention.policy import in_force, new_promises
from archiver.store import lock, sensitive
from archiver.store.archive import Archive
from archiver.store.fsync import release_memory
from archiver.store.git import hooks
from archiver.store.sqlite import is_damage
from archiver.store.writer import Draft

_TICK_SECONDS = 0.05
_IDLE_SECONDS = 1.0
#: The list of what is pending is for people; with 100,000 files it costs too much for every tick.
_NOTE_SECONDS = 0.5
_NOTED_PATHS = 1000
_MANY_PATHS = 5000
#: An event is here long before; what a scan finds that is older than this had none.
_EVENT_SECONDS = 10.0


class ArchiveGone(Exception):
    """The archive's volume was taken away, or another one is mounted in its place."""


class HistoryReplaced(Exception):
    """The repository was put back to another state: what was known of the folder does not fit it."""


class FolderRemounted(Exception):
    """The watched folder has to be reached in another way from now on."""


class Daemon:
    """Keeps one archive complete with one watched folder."""

    def __init__(
        self,
        archive: Archive,
        config: Config,
        report: Reporter,
        settle_seconds: float | None = None,
        wait_seconds: float = 30,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        """``alive`` is called again and again while the work makes progress."""
        self._archive = archive
        self._config = config
        self._report = report
        self._wait = wait_seconds
        self._alive = alive
        self._stopping = threading.Event()
        self._identity = archive.identity()
        self._snapshot = open_snapshot(archive, wait_seconds)
        self._failures = FailureState(archive, self._snapshot, report, self._stopping)
        self._folder = WatchedFolder(config, self._snapshot, archive.root / "canary", report, self._append)
        quiet = config.settle_seconds if settle_seconds is None else settle_seconds
        self._scanner = Scanner(self._folder.access, IgnoreRules(config.ignore))
        self._capturer = Capturer(archive, self._snapshot, self._folder.access, config, self._stopping)
        self._hide_sensitive()
        self._jobs = JobRunner(config, report, wait_seconds)
        self._replication = Replication(config, report)
        self._settler = Settler(quiet, config.maximum_delay_seconds)
        self.pipeline = Pipeline(
            self._scanner, self._snapshot, self._settler, self._capturer, config, report, alive
        )
        #: When everything was scanned last; None makes the next scan due at once.
        self._scanned: float | None = None
        self._next_note = 0.0
        self._noted: list[tuple[SkippedPath, str]] = []
        self._interrupted = False
        self._is_taken = False
        self._swollen = False

    def _hide_sensitive(self) -> None:
        """A new rule counts for what was archived under the old one too."""
        rule = json.dumps(self._config.sensitive)
        if rule != (self._snapshot.meta("sensitive") or "[]"):
            sensitive.hide(self._archive.index, self._archive.content, self._config.sensitive)
            self._snapshot.set_meta("sensitive", rule)

    def stop(self) -> None:
        """Ask the daemon to end; safe in a signal handler."""
        self._stopping.set()
        self._folder.wake()

    def interrupt(self) -> None:
        """End at the next turn, with the work in hand done; safe in a signal handler."""
        self._interrupted = True
        self._folder.wake()

    def gauges(self) -> Gauges:
        """The figures of now."""
        return measure(self._archive, self._snapshot, self.pipeline, self._folder.state)

    def remember_problem(self, template: str, fields: dict[str, object]) -> None:
        """Leave word of trouble for ``status``, where that can be written."""
        self._failures.remember(template, fields)

    def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Work until :meth:`stop`; ``ready`` is called once everything is open.

        Raises Busy where another daemon runs, ArchiveGone, FolderRemounted and HistoryReplaced
        where everything has to be opened anew.
        """
        with lock.hold(self._archive.root / "daemon.lock", 0):
            self._prepare()
            ready()
            try:
                while not self._stopping.is_set() and not self._interrupted:
                    self._alive()
                    self._turn()
            except ReadingStopped:
                pass
            finally:
                self._finish()

    def run_once(self) -> Remainder:
        """Catch up with the watched folder; returns what still is not archived.

        Ends early where the archive takes nothing.  Raises StorageProblem where
        the watched folder is missing.
        """
        with lock.hold(self._archive.root / "daemon.lock", 0):
            self._prepare()
            try:
                if not self._folder.is_present():
                    raise StorageProblem(
                        "The watched folder {path} is missing. Nothing archived was lost. Mount it, or mend "
                        "watch.path in the configuration, and start again.",
                        path=self._config.watch,
                    )
                deadline = clock.monotonic() + self._config.maximum_delay_seconds
                self._scan()
                while not self.pipeline.is_idle and not self._stopping.is_set():
                    self.pipeline.capture_due(self._wait, gather=False)
                    if clock.monotonic() > deadline or self.pipeline.is_hopeless:
                        break
                    self._stopping.wait(_TICK_SECONDS)
                if self.pipeline.refusal is None:
                    open_questions(self._archive, self._config, self._wait)
                return self.pipeline.remainder()
            except HistoryReplaced:
                raise StorageProblem(
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
        if self._archive.index.layout != self._config.layout:
            raise ConfigProblem(
                "{config}: watch.layout is {given}, but this archive was made for {made}. Nothing was changed. "
                "Set it back, or make a new archive for the other layout.",
                config=self._config.source,
                given=self._config.layout,
                made=self._archive.index.layout,
            )
        self._archive.check_owner()
        self._failures.prepare()
        let_in(self._config, self._report)
        with self._archive.writing(self._wait):
            # Refs that contradict the journal end it here, before a file is read.
            self._archive.content.clear_spool()
        for reason in unread.problems(self._archive.index.unread()):
            self._report("Attention: {reason}.", problem="journal", reason=reason)
        self._take_folder()
        promises = self._archive.index.promises()
        if details := new_promises(in_force(self._config, promises), self._config, promises):
            self._append(Draft("policy", "retention", details))
        journal_tick(self._archive, self._append)

    def _take_folder(self) -> None:
        """Take the watched folder for this archive's once it is there; raises ConfigProblem for another's."""
        if self._is_taken:
            return
        if moved := changed_watch_path(self._archive, self._config, self._folder.access):
            self._append(moved)
            self._folder.allow_other_mount()
        self._is_taken = self._folder.is_present()

    def _finish(self) -> None:
        self._replication.stop()
        self._capturer.close()
        try:
            self._note()
            self._folder.close()
        except (sqlite3.Error, OSError):
            # The archive's disk is full, read-only or gone: what is noted there can be lost.
            self._folder.unwatch()
        self._failures.close()
        self._snapshot.close()

    # --- one turn

    def _turn(self) -> None:
        if self._archive.identity() != self._identity:
            raise ArchiveGone
        try:
            self._work()
            self._failures.reset_pause()
        except ArchiverError as error:
            self._report(error.template, problem=error.kind, **error.fields)
            self._pause(error)
        except sqlite3.DatabaseError as error:
            self._database_problem(error)
        except OSError as error:
            # The watched folder may have gone while it was walked: the next turn sees that.
            if self._folder.is_present():
                self._failures.report_disk(error.filename or self._archive.root, error.strerror)
                self._pause(error)

    def _work(self) -> None:
        if not self._folder.is_present():
            self._folder.report_missing()
            self._scanned = None
            self._stopping.wait(_IDLE_SECONDS)
            return
        if not self._folder.is_reached_as_before:
            raise FolderRemounted
        self._take_folder()
        self._failures.write_queued_problems()
        # Before any git of this turn.
        hooks.check(self._archive.repository_path)
        now = clock.monotonic()
        if self._folder.ensure_watched() or self._folder.check_for_lost_events(now):
            self._scanned = None
        self.pipeline.hint(self._folder.take_hints(), now)
        if self._scanned is None or now >= self._scanned + self._folder.scan_seconds:
            self._scan()
            journal_tick(self._archive, self._append)
            self._try_side_task("checkpoint", lambda: sign_daily(self._archive, self._snapshot, self._wait))
        self._try_side_task("errands", lambda: self._jobs.start_due_job(self._archive))
        self._try_side_task("replica", lambda: self._replication.start_if_due(self._archive))
        self.pipeline.capture_due(self._wait)
        self._failures.update_alarm(self.pipeline.refusal)
        if self.pipeline.is_idle or clock.monotonic() >= self._next_note:
            self._note()
        self._release_memory()
        self._try_side_task("refusals", lambda: journal_refusals(self._archive, self._append))
        pause = max(self.pipeline.pause(_IDLE_SECONDS), _TICK_SECONDS)
        if not self._folder.wait(pause):
            self._stopping.wait(pause)

    def _scan(self) -> None:
        self._archive.put_settings_back(self._wait)
        if self._snapshot.is_replaced or is_foreign(self._archive, self._snapshot):
            raise HistoryReplaced
        by_timer = self._scanned is not None
        known = self.pipeline.pending_paths()
        # A new snapshot is empty, and a process may have died between a version and its entries.
        seed_snapshot(self._snapshot, self._archive.index)
        found = self.pipeline.scan(clock.monotonic())
        self._scanned = clock.monotonic()
        self._folder.note_unwatched_folders(found, clock.monotonic())
        self._folder.remember()
        if by_timer and self._folder.expects_events:
            missed = self.pipeline.missed(found, known, _EVENT_SECONDS)
            if missed:
                self._folder.rewatch_after_silence(missed[0], len(missed))

    def _note(self) -> None:
        self.pipeline.drop_captured_elsewhere()
        pending = self.pipeline.pending(_NOTED_PATHS)
        if [item for item, _ in pending] != [item for item, _ in self._noted]:
            self._snapshot.note_pending(pending)
            self._snapshot.set_meta("pending_count", str(self.pipeline.pending_count))
        self._noted = pending
        self._next_note = clock.monotonic() + _NOTE_SECONDS

    def _release_memory(self) -> None:
        """After a great drop of files: the allocator keeps what it may need, for months."""
        if self.pipeline.pending_count > _MANY_PATHS:
            self._swollen = True
        elif self._swollen and self.pipeline.is_idle:
            self._swollen = False
            release_memory()

    # --- trouble

    def _try_side_task(self, name: str, work: Callable[[], object]) -> None:
        """Do what capturing does not need: it fails alone, says so, and is tried again by itself."""
        try:
            work()
        except ArchiverError as error:
            self._report(error.template, problem=name, **error.fields)
        except Exception as error:
            if isinstance(error, sqlite3.DatabaseError) and is_damage(error):
                # The index is rebuilt, for all that read it.
                raise
            self._report(
                "{path}: {reason}. Nothing archived was lost. Check the disk and the permissions.",
                problem=name,
                path=getattr(error, "filename", None) or self._archive.root,
                reason=getattr(error, "strerror", None) or error,
            )

    def _pause(self, error: Exception) -> None:
        """Wait before trying again, longer each time; and scan then, as hints may be lost."""
        self._scanned = None
        self._failures.update_alarm(error)
        self._failures.pause()

    def _database_problem(self, error: sqlite3.DatabaseError) -> None:
        if not is_damage(error):
            self._failures.report_disk(self._archive.root, error)
            self._pause(error)
            return
        self._report(
            "The index is damaged ({reason}) and is rebuilt from the journal.", problem="database", reason=error
        )
        self._scanned = None
        with self._archive.writing(self._wait):
            self._archive.reindex()

    # --- the journal

    def _append(self, draft: Draft) -> None:
        with self._archive.writing(self._wait) as writer:
            writer.append(draft)
