"""The daemon: turns the pipeline's crank, survives a vanishing folder, ends cleanly."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable

from archiver import clock
from archiver.config import Config
from archiver.errors import ArchiverError, ConfigProblem, StorageProblem
from archiver.intake.capture import Capturer, Stopped
from archiver.intake.ignore import IgnoreRules
from archiver.intake.pipeline import Pipeline
from archiver.intake.scan import Scanner
from archiver.intake.seed import seed
from archiver.intake.settle import Settler
from archiver.intake.snapshot import Noted, Snapshot
from archiver.intake.watch import Watcher
from archiver.store import lock, names
from archiver.store.archive import Archive, Draft
from archiver.store.index import is_damage

_TICK_SECONDS = 0.05
_IDLE_SECONDS = 1.0
#: The list of what is pending is for people; with 100,000 files it costs too much for every tick.
_NOTE_SECONDS = 0.5
_DAY_NS = 86_400 * 10**9
_REFUSALS_AT_ONCE = 100


class Daemon:
    """Keeps one archive complete with one watched folder."""

    def __init__(
        self,
        archive: Archive,
        config: Config,
        report: Callable[..., None],
        settle_seconds: float | None = None,
        wait_seconds: float = 30,
    ) -> None:
        """``report`` gets a message template and its fields, as an error does."""
        self._archive = archive
        self._config = config
        self._report = report
        self._wait = wait_seconds
        self._stopping = threading.Event()
        self._snapshot = Snapshot(archive.root / "state.db")
        quiet = config.settle_seconds if settle_seconds is None else settle_seconds
        scanner = Scanner(config.watch, IgnoreRules(config.ignore))
        self._capturer = Capturer(archive, self._snapshot, config.watch, config.layout, self._stopping)
        self._pipeline = Pipeline(
            scanner,
            self._snapshot,
            Settler(quiet, config.maximum_delay_seconds),
            self._capturer,
            config.layout,
            report,
        )
        self._watcher: Watcher | None = None
        self._watched: str | None = None
        self._next_scan = 0.0
        self._next_note = 0.0
        self._noted: list[tuple[Noted, str]] = []

    def stop(self) -> None:
        """Ask the daemon to end; safe in a signal handler."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.wake()

    def run(self) -> None:
        """Work until :meth:`stop`; raises Busy where another daemon runs."""
        with lock.hold(self._archive.root / "daemon.lock", 0):
            self._prepare()
            try:
                while not self._stopping.is_set():
                    self._turn()
            except Stopped:
                pass
            finally:
                self._finish()

    def run_once(self) -> list[tuple[Noted, str]]:
        """Catch up with the watched folder; returns what still is not archived.

        Raises StorageProblem where the watched folder is missing.
        """
        with lock.hold(self._archive.root / "daemon.lock", 0):
            self._prepare()
            try:
                if not self._is_there():
                    raise StorageProblem(
                        "The watched folder {path} is missing. Nothing archived was lost. Mount it, or mend "
                        "watch.path in the configuration, and start again.",
                        path=self._config.watch,
                    )
                deadline = clock.monotonic() + self._config.maximum_delay_seconds
                self._scan()
                while not self._pipeline.is_idle and not self._stopping.is_set():
                    self._pipeline.capture_due(self._wait)
                    if clock.monotonic() > deadline:
                        break
                    self._stopping.wait(_TICK_SECONDS)
                return self._pipeline.pending()
            except Stopped:
                return self._pipeline.pending()
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
        self._archive.content.clear_spool()
        seed(self._snapshot, self._archive.index)
        if self._config.retention_years > self._archive.index.promised_years:
            self._append(Draft("policy", "retention", {"retention_years": self._config.retention_years}))
        self._tick()

    def _finish(self) -> None:
        self._capturer.close()
        self._note()
        self._snapshot.set_meta("watching", "")
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher = None
        self._snapshot.close()

    # --- one turn

    def _turn(self) -> None:
        if not self._is_there():
            self._lost()
            self._stopping.wait(_IDLE_SECONDS)
            return
        if self._watcher is not None and self._root_identity() != self._watched:
            # The folder was replaced by another one: inotify still holds the old.
            self._watcher.stop()
            self._watcher = None
        if self._watcher is None:
            self._watch()
        try:
            self._work()
        except ArchiverError as error:
            self._report(error.template, **error.fields)
            self._stopping.wait(_IDLE_SECONDS)
        except sqlite3.DatabaseError as error:
            self._database_problem(error)
        except OSError as error:
            # The watched folder may have gone while it was walked: the next turn sees that.
            if self._is_there():
                self._disk_problem(error.filename or self._archive.root, error.strerror)

    def _database_problem(self, error: sqlite3.DatabaseError) -> None:
        if not is_damage(error):
            self._disk_problem(self._archive.root, error)
            return
        self._report("The index is damaged ({reason}) and is rebuilt from the journal.", reason=error)
        with self._archive.writing(self._wait):
            self._archive.reindex()

    def _disk_problem(self, path: object, reason: object) -> None:
        self._report(
            "{path}: {reason}. Nothing archived was lost. Check the disk and the permissions.",
            path=path,
            reason=reason,
        )
        self._stopping.wait(_IDLE_SECONDS)

    def _work(self) -> None:
        watcher = self._watcher
        hints = watcher.take() if watcher is not None else set()
        self._pipeline.hint(hints, clock.monotonic())
        if clock.monotonic() >= self._next_scan:
            self._scan()
            self._tick()
        self._pipeline.capture_due(self._wait)
        if self._pipeline.is_idle or clock.monotonic() >= self._next_note:
            self._note()
        self._journal_refusals()
        if watcher is not None:
            watcher.wait(_IDLE_SECONDS if self._pipeline.is_idle else _TICK_SECONDS)

    def _scan(self) -> None:
        self._pipeline.scan(clock.monotonic())
        self._next_scan = clock.monotonic() + self._config.scan_minutes * 60
        self._snapshot.set_meta("root", self._root_identity() or "")

    def _note(self) -> None:
        pending = self._pipeline.pending()
        if [item for item, _ in pending] != [item for item, _ in self._noted]:
            self._snapshot.note_pending(pending)
        self._noted = pending
        self._next_note = clock.monotonic() + _NOTE_SECONDS

    # --- the watched folder

    def _watch(self) -> None:
        watcher = Watcher(self._config.watch)
        try:
            watcher.start()
            self._snapshot.set_meta("watching", "events")
        except OSError as error:
            self._report(
                "No events from {path} ({reason}). Nothing is lost: the folder is scanned every "
                "{minutes:g} minutes. Raise fs.inotify.max_user_watches and max_user_instances with sysctl.",
                path=self._config.watch,
                reason=error.strerror,
                minutes=self._config.scan_minutes,
            )
            self._snapshot.set_meta("watching", "scans")
        self._watcher = watcher
        self._watched = self._root_identity()
        self._next_scan = 0.0
        self._report("Watching {path}.", path=self._config.watch)

    def _lost(self) -> None:
        if self._snapshot.meta("watching") == "missing":
            return
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher = None
        self._snapshot.set_meta("watching", "missing")
        self._report(
            "The watched folder {path} is missing. Nothing archived was lost. Waiting until it is back.",
            path=self._config.watch,
        )
        self._append(Draft("watch-lost", "watch", {"path": names.text(os.fsencode(self._config.watch))}))

    def _is_there(self) -> bool:
        """Whether the folder can be trusted to be the watched one.

        An unmounted share leaves its empty mount point behind: another folder
        than before, and empty, is not a deletion of everything.
        """
        identity = self._root_identity()
        if identity is None:
            return False
        known = self._snapshot.meta("root")
        if identity == known or not known:
            return True
        try:
            return bool(os.listdir(self._config.watch)) or not self._snapshot.folders_below(b"")
        except OSError:
            return False

    def _root_identity(self) -> str | None:
        try:
            status = os.stat(self._config.watch)
        except OSError:
            return None
        return f"{status.st_dev}:{status.st_ino}" if os.path.isdir(self._config.watch) else None

    # --- the journal

    def _tick(self) -> None:
        """Journal the clock at least daily and after each boot: a gap earns no retention."""
        newest = self._archive.journal.head()
        if newest is None:
            return
        reading = clock.read()
        _, before = clock.from_evidence(newest.clock)
        if before.boot_id != reading.boot_id or reading.boottime_ns - before.boottime_ns > _DAY_NS:
            self._append(Draft("tick", "clock"))

    def _journal_refusals(self) -> None:
        """A git hook cannot journal what it refused: it leaves word in the spool."""
        note, taken = (self._archive.spool / name for name in ("refused", "refused.taken"))
        # A crash may have left what was taken before it was journalled.
        if not taken.exists():
            if not note.exists():
                return
            note.rename(taken)
        lines = taken.read_bytes().decode("utf-8", "replace").splitlines()
        details = {"attempts": lines[:_REFUSALS_AT_ONCE], "count": len(lines)}
        self._append(Draft("refuse", "git", details))
        taken.unlink()

    def _append(self, draft: Draft) -> None:
        with self._archive.writing(self._wait) as writer:
            writer.append(draft)
