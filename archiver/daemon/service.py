"""The life of the service around the daemon: start, reload, a vanished archive, the end."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable

from archiver import clock
from archiver.actions.protocol import SOCKET_NAME
from archiver.config.settings import Config
from archiver.daemon.capture_loop import Daemon
from archiver.daemon.log import LOG_LOST, Log
from archiver.daemon.metrics import PERIOD_SECONDS, Metrics
from archiver.daemon.reopen_reasons import ArchiveGone, FolderRemounted, HistoryReplaced
from archiver.daemon.sd_notify import Notifier
from archiver.daemon.socket_server import Reception
from archiver.daemon.trouble import report_system_error
from archiver.errors import ArchiverError, ConfigError, LazyMessage, Reporter, StorageError, message_from
from archiver.intake.folder.access import open_access
from archiver.intake.folder.watch_path import changed_watch_path
from archiver.intake.layout import check_layout
from archiver.store.archive import Archive

_LOOK_AGAIN_SECONDS = 1.0
#: The same trouble is told once in this time, not at every attempt.
_REPEAT_SECONDS = 60.0
_MANY = 1000


class Service:
    """Runs daemons, one after the other, until it is told to stop."""

    def __init__(
        self,
        load: Callable[[], Config],
        tell: Reporter,
        settle_seconds: float | None = None,
        wait_seconds: float = 30,
    ) -> None:
        """``load`` reads and validates the configuration; raises ConfigError."""
        self._load = load
        self._tell = Log(tell)
        self._settle = settle_seconds
        self._wait = wait_seconds
        self._stopping = threading.Event()
        self._reloading = False
        self._has_started = False
        self._daemon: Daemon | None = None
        self._told: dict[str, float] = {}
        self._problems: Counter[str] = Counter()
        self._notifier = Notifier()
        self._metrics = Metrics()
        self._reception: Reception | None = None
        #: While requests of other users are to be taken.
        self._config: Config | None = None
        self._next_look = 0.0
        #: What does not work now, and why.
        self._broken: dict[str, str] = {}

    def stop(self) -> None:
        """End after the work in hand; from another thread, never in a signal handler."""
        self._stopping.set()
        daemon = self._daemon
        if daemon is not None:
            daemon.stop()

    def reload(self) -> None:
        """Read the configuration again; from another thread, never in a signal handler."""
        self._reloading = True
        daemon = self._daemon
        if daemon is not None:
            daemon.interrupt()

    def run(self) -> None:
        """Work until :meth:`stop`; raises what stands in the way of the first start."""
        config = self._load()
        archive: Archive | None = self._open(config)
        try:
            while not self._stopping.is_set():
                archive = archive or self._await_archive(config)
                if archive is not None:
                    self._run_daemon(archive, config)
                    archive.close()
                    archive = None
                if self._reloading:
                    config = self._reloaded(config)
        finally:
            if archive is not None:
                archive.close()
            self._metrics.close()
            self._notifier.stopping()

    def _open(self, config: Config) -> Archive:
        return Archive(config.archive, notify=lambda text: self._report("{text}", text=text))

    def _run_daemon(self, archive: Archive, config: Config) -> None:
        try:
            self._metrics.configure(config)
            daemon = Daemon(archive, config, self._report, self._settle, self._wait, self._alive)
            self._daemon = daemon
            if self._stopping.is_set():
                daemon.stop()
            if self._reloading:
                daemon.interrupt()
            with contextlib.ExitStack() as open_while_it_runs:
                daemon.run(lambda: self._started(config, open_while_it_runs))
        except ArchiveGone:
            self._report(
                "The archive {path} is missing. Nothing archived was lost. Waiting until its volume is back.",
                problem="archive",
                path=config.archive,
            )
        except HistoryReplaced:
            self._report(
                "The archive {path} is of another time than before. Reading everything.", path=config.archive
            )
        except FolderRemounted:
            self._report("What is mounted at {path} has changed.", path=config.watch)
        except ArchiverError as error:
            self._start_again(error)
            self._report(error.message, problem=error.code)
        except (OSError, sqlite3.Error) as error:
            self._start_again(error)
            report_system_error(self._report, error, config.archive, problem="storage")
        finally:
            self._daemon = None

    def _started(self, config: Config, closing: contextlib.ExitStack) -> None:
        # With the daemon's lock in hand: the socket of another daemon is never taken away.
        closing.callback(self._close_reception)
        self._config = config
        self._open_reception()
        self._has_started = True
        self._notifier.ready(f"Watching {config.watch}")

    def _start_again(self, error: Exception) -> None:
        """What was right once is waited for; what stands in the way of the first start ends it."""
        if not self._has_started:
            raise error
        self._stopping.wait(_LOOK_AGAIN_SECONDS)

    def _await_archive(self, config: Config) -> Archive | None:
        """The archive, once its volume is there; None when there is something else to do first."""
        while not self._stopping.is_set() and not self._reloading:
            try:
                return self._open(config)
            except StorageError as error:
                # It is there again, and not as it was: somebody has to look.
                self._report(error.message, problem=error.code)
            except (ArchiverError, OSError, sqlite3.Error):
                # Its volume is still away, which was reported.
                pass
            self._notifier.alive()
            self._stopping.wait(_LOOK_AGAIN_SECONDS)
        return None

    def _reloaded(self, old: Config) -> Config:
        """The new configuration if it is a good one, else the old."""
        self._reloading = False
        self._notifier.reloading()
        try:
            new = self._load()
            if new.archive != old.archive:
                raise ConfigError(
                    "{path}: archive.path cannot change while the service runs. The settings of before stay in "
                    "force and nothing was lost. Stop the service, move the archive, and start it again.",
                    path=new.source,
                )
            # A daemon runs with the old settings, so their layout is that of the archive.
            check_layout(new, old.layout)
            self._take_folder(old, new)
        except (ArchiverError, OSError) as error:
            if isinstance(error, ArchiverError):
                self._report(error.message, problem="config")
            self._report("The configuration was not taken in; the one of before stays in force.", problem="config")
            return old
        self._report("The configuration {path} was taken in.", path=new.source)
        return new

    def _take_folder(self, old: Config, new: Config) -> None:
        """Check a folder at another path while the settings of before can still go on; raises ConfigError."""
        if new.watch == old.watch:
            return
        access = open_access(new.watch, new.archive)
        try:
            with contextlib.closing(self._open(new)) as archive:
                changed_watch_path(archive, new, access)
        except (OSError, sqlite3.Error):
            # The next daemon meets it too, and says so.
            return
        finally:
            access.close()

    def _alive(self) -> None:
        self._notifier.alive()
        daemon = self._daemon
        if daemon is not None and self._metrics.is_due():
            self._metrics.postpone()
            figures = self._metrics
            self._try("metrics", "figures", "", lambda: figures.update(daemon.gauges(), self._problems))
            self._try("metrics", "metrics.listen", figures.address, figures.listen)
            self._try("metrics", "metrics.textfile", figures.textfile, figures.write)
        if self._config is not None and clock.monotonic() >= self._next_look:
            self._open_reception()

    # --- what archiving can do without

    def _open_reception(self) -> None:
        self._next_look = clock.monotonic() + PERIOD_SECONDS
        self._try("socket", "socket", self._config and self._config.archive / SOCKET_NAME, self._receive)

    def _receive(self) -> None:
        """Take requests of other users, anew where the socket is gone; raises OSError."""
        if self._config is None or (self._reception is not None and self._reception.is_reachable):
            return
        if self._reception is not None:
            self._reception.close()
            self._reception = None
        self._reception = Reception(self._config, self._report)

    def _close_reception(self) -> None:
        if self._reception is not None:
            self._reception.close()
        self._reception = self._config = None

    def _try(self, problem: str, what: str, where: object, work: Callable[[], object]) -> None:
        """Do something that must not stop the work when it fails: told when that begins, and when it ends."""
        try:
            work()
        except Exception as error:
            # Whatever it is: the work goes on, and the next attempt is a few seconds away.
            reason = str(getattr(error, "strerror", None) or error)
            if self._broken.get(what) == reason:
                self._problems[problem] += 1
                return
            self._broken[what] = reason
            self._report(
                "Archiving goes on without {what} {where} ({reason}). Nothing was lost. It is tried again every "
                "{seconds:g} s.",
                problem=problem,
                what=what,
                where=where,
                reason=reason,
                seconds=PERIOD_SECONDS,
            )
        else:
            if self._broken.pop(what, None):
                self._report("Again with {what}.", what=what)

    def _report(self, template: str | LazyMessage, /, *, problem: str = "", **fields: object) -> None:
        message = message_from(template, fields)
        if problem:
            self._problems[problem] += 1
            key = message.template + repr(sorted((name, str(value)) for name, value in message.fields.items()))
            now = clock.monotonic()
            if now - self._told.get(key, -_REPEAT_SECONDS) < _REPEAT_SECONDS:
                return
            if len(self._told) > _MANY:
                self._told.clear()
            self._told[key] = now
            if self._daemon is not None:
                self._daemon.remember_problem(problem, message)
        self._tell(message, problem=problem)
        if self._tell.lost:
            self._problems["log"] += 1
            if self._daemon is not None:
                self._daemon.remember_problem("log", LOG_LOST.with_fields(count=self._tell.lost))
