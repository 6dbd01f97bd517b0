"""Run the service around the daemon: start, reload the configuration, wait for a missing archive, and end."""

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
from archiver.daemon.failures import report_system_error
from archiver.daemon.log import LOG_LOST, Log
from archiver.daemon.metrics import UPDATE_SECONDS, Metrics
from archiver.daemon.reopen_reasons import ArchiveGone, FolderRemounted, HistoryReplaced
from archiver.daemon.sd_notify import SystemdNotifier
from archiver.daemon.socket_server import SocketServer
from archiver.errors import ArchiverError, ConfigError, LazyMessage, Reporter, StorageError, message_from
from archiver.intake.folder.access import open_access
from archiver.intake.folder.watch_path import check_watch_path_change
from archiver.intake.layout import check_layout
from archiver.store.archive import Archive

#: The time between two attempts to open the archive. A longer time delays capturing after the volume is back.
_RETRY_SECONDS = 1.0
#: The same problem is logged only once in this period. Otherwise, with a retry each second, it floods the log.
_REPEAT_PAUSE_SECONDS = 60.0
#: The most remembered problems. Many problems name a path, so their number would grow without end.
_MAX_REMEMBERED_PROBLEMS = 1000


class Service:
    """Run one daemon after another until :meth:`stop`.

    A new daemon starts after a reload, and after the archive or the folder was replaced.  The service owns the
    metrics and the socket server, and closes both before :meth:`run` returns.
    """

    def __init__(
        self,
        load_config: Callable[[], Config],
        report: Reporter,
        settle_seconds: float | None = None,
        lock_timeout: float = 30,
    ) -> None:
        """Prepare the service; nothing is opened before :meth:`run`.

        ``load_config`` reads the configuration, at the start and at each reload; it may raise ConfigError.
        ``settle_seconds`` replaces the configured quiet period; None keeps it.  ``lock_timeout`` is the number of
        seconds that each write waits for the writer's lock.
        """
        self._load_config = load_config
        self._log = Log(report)
        self._settle_seconds = settle_seconds
        self._lock_timeout = lock_timeout
        self._stopping = threading.Event()
        self._reloading = False
        self._has_daemon_started = False
        self._daemon: Daemon | None = None
        #: Template and fields of a problem's message -> the monotonic time at which it was logged last.
        self._last_logged_at: dict[str, float] = {}
        #: Problem code -> number of problems since the start.
        self._problem_counts: Counter[str] = Counter()
        self._notifier = SystemdNotifier()
        self._metrics = Metrics()
        self._socket_server: SocketServer | None = None
        #: The configuration of the running daemon; None while no requests of other users are served.
        self._config: Config | None = None
        self._next_socket_check_at = 0.0
        #: Name of each optional feature that fails at present -> the reason that was reported.
        self._failure_reasons: dict[str, str] = {}

    def stop(self) -> None:
        """Ask the service to end after the current step of its work, and return without waiting.

        Call this from another thread, never in a signal handler: a handler could wait for a lock that the
        interrupted thread holds.
        """
        self._stopping.set()
        daemon = self._daemon
        if daemon is not None:
            daemon.stop()

    def reload(self) -> None:
        """Ask the service to read the configuration again after the daemon's current turn; return without waiting.

        Call this from another thread, never in a signal handler, for the reason given at :meth:`stop`.
        """
        self._reloading = True
        daemon = self._daemon
        if daemon is not None:
            daemon.interrupt()

    def run(self) -> None:
        """Work until :meth:`stop`.

        Raises ArchiverError, OSError or sqlite3.Error if the first start fails.  Later failures are reported, and
        the service tries again.
        """
        config = self._load_config()
        archive: Archive | None = self._open_archive(config)
        try:
            while not self._stopping.is_set():
                archive = archive or self._wait_for_archive(config)
                if archive is not None:
                    self._run_daemon(archive, config)
                    archive.close()
                    archive = None
                if self._reloading:
                    config = self._reload_config(config)
        finally:
            if archive is not None:
                archive.close()
            self._metrics.close()
            self._notifier.notify_stopping()

    def _open_archive(self, config: Config) -> Archive:
        """Open the configured archive, and report each repair made on opening; the caller closes the archive.

        Raises ArchiverError, OSError or sqlite3.Error if the archive cannot be opened.
        """
        return Archive(config.archive, notify=lambda text: self._report("{text}", text=text))

    def _run_daemon(self, archive: Archive, config: Config) -> None:
        """Run a daemon on an open archive until it ends; report why, unless a stop or a reload was requested.

        Raises the daemon's ArchiverError, OSError or sqlite3.Error if no daemon of this service has started yet.
        """
        try:
            self._metrics.configure(config)
            daemon = self._create_daemon(archive, config)
            with contextlib.ExitStack() as open_resources:
                daemon.run(lambda: self._on_daemon_started(config, open_resources))
        except ArchiveGone:
            self._report(
                "The archive {path} is missing. No archived data was lost. Waiting for its volume to be mounted.",
                problem="archive",
                path=config.archive,
            )
        except HistoryReplaced:
            self._report(
                "The archive {path} was restored to another state. Reading everything again.", path=config.archive
            )
        except FolderRemounted:
            self._report("The filesystem mounted at {path} has changed.", path=config.watch)
        except ArchiverError as error:
            self._wait_unless_first_start(error)
            self._report(error.message, problem=error.code)
        except (OSError, sqlite3.Error) as error:
            self._wait_unless_first_start(error)
            report_system_error(self._report, error, config.archive, problem="storage")
        finally:
            # Not before the problem is reported, because the daemon stores it for ``status``.
            if self._daemon is not None:
                self._daemon.close()
            self._daemon = None

    def _create_daemon(self, archive: Archive, config: Config) -> Daemon:
        """Create a daemon that :meth:`stop` and :meth:`reload` reach from now on; the caller runs the daemon."""
        daemon = Daemon(
            archive, config, self._report, self._settle_seconds, self._lock_timeout, self._on_heartbeat
        )
        self._daemon = daemon
        # A request that arrived before the daemon existed has not reached it.
        if self._stopping.is_set():
            daemon.stop()
        if self._reloading:
            daemon.interrupt()
        return daemon

    def _on_daemon_started(self, config: Config, open_resources: contextlib.ExitStack) -> None:
        """Serve requests of other users until ``open_resources`` is closed, and notify systemd of the start.

        A socket that cannot be opened is reported, and tried again at later heartbeats.
        """
        open_resources.callback(self._close_socket)
        self._config = config
        # An existing socket file may be replaced: the daemon holds its lock, so no other daemon uses the file.
        self._try_to_open_socket()
        self._has_daemon_started = True
        self._notifier.notify_ready(f"Watching {config.watch}")

    def _wait_unless_first_start(self, error: Exception) -> None:
        """Pause before the next attempt to run a daemon.  Raises ``error`` if no daemon has started yet.

        At the first start, an administrator is present and reads the error.  A later failure may be temporary.
        """
        if not self._has_daemon_started:
            raise error
        self._stopping.wait(_RETRY_SECONDS)

    def _wait_for_archive(self, config: Config) -> Archive | None:
        """Open the archive once its volume is back; return None if a stop or a reload comes first.

        The caller closes the archive.
        """
        while not self._stopping.is_set() and not self._reloading:
            try:
                return self._open_archive(config)
            except StorageError as error:
                # The archive is back, but damaged or replaced, so a person has to act.
                self._report(error.message, problem=error.code)
            except (ArchiverError, OSError, sqlite3.Error):
                # The volume is still missing, which was reported when it vanished.
                pass
            self._notifier.notify_watchdog()
            self._stopping.wait(_RETRY_SECONDS)
        return None

    def _reload_config(self, old_config: Config) -> Config:
        """Read the configuration again, and return the configuration to use from now on.

        If the new configuration is unusable, the reason is reported and ``old_config`` is returned.
        """
        self._reloading = False
        self._notifier.notify_reloading()
        try:
            new_config = self._load_config()
            if new_config.archive != old_config.archive:
                raise ConfigError(
                    "{path}: archive.path cannot change while the service runs. Nothing was changed. Stop the "
                    "service, move the archive, and start the service.",
                    path=new_config.source,
                )
            # A daemon checked the old configuration against the archive, so its layout is the archive's.
            check_layout(new_config, old_config.layout)
            self._check_new_folder(old_config, new_config)
        except (ArchiverError, OSError) as error:
            if isinstance(error, ArchiverError):
                self._report(error.message, problem="config")
            self._report("Configuration not reloaded. The previous one remains in force.", problem="config")
            return old_config
        self._report("Reloaded the configuration file {path}.", path=new_config.source)
        return new_config

    def _check_new_folder(self, old_config: Config, new_config: Config) -> None:
        """Raise ConfigError if ``watch.path`` has changed and this archive may not watch the new folder.

        The next daemon checks the folder too, but by then the old configuration can no longer stay in force.
        """
        if new_config.watch == old_config.watch:
            return
        folder_access = open_access(new_config.watch, new_config.archive)
        try:
            with contextlib.closing(self._open_archive(new_config)) as archive:
                check_watch_path_change(archive, new_config, folder_access)
        except (OSError, sqlite3.Error):
            # The archive cannot be read.  The next daemon fails for the same reason, and reports it.
            return
        finally:
            folder_access.close()

    def _on_heartbeat(self) -> None:
        """Notify systemd's watchdog; publish the metrics and check the socket, each if due.

        The daemon calls this repeatedly while its work makes progress.
        """
        self._notifier.notify_watchdog()
        daemon = self._daemon
        if daemon is not None and self._metrics.is_update_due():
            self._metrics.schedule_next_update()
            metrics = self._metrics
            self._try_optional_feature(
                "metrics",
                "figures",
                "",
                lambda: metrics.replace_gauges(daemon.measure_gauges(), self._problem_counts),
            )
            self._try_optional_feature(
                "metrics", "metrics.listen", metrics.endpoint_address, metrics.open_endpoint
            )
            self._try_optional_feature("metrics", "metrics.textfile", metrics.textfile, metrics.write_textfile)
        if self._config is not None and clock.monotonic_seconds() >= self._next_socket_check_at:
            self._try_to_open_socket()

    # --- optional features: archiving goes on without the metrics and the socket

    def _try_to_open_socket(self) -> None:
        """Ensure that requests of other users are served; report a failure, and schedule the next check."""
        self._next_socket_check_at = clock.monotonic_seconds() + UPDATE_SECONDS
        socket_path = self._config and self._config.archive / SOCKET_NAME
        self._try_optional_feature("socket", "socket", socket_path, self._ensure_socket_server)

    def _ensure_socket_server(self) -> None:
        """Serve requests of other users while a daemon runs; raises OSError if no socket can be opened.

        If the socket was removed from the archive's folder, a new socket is opened.
        """
        if self._config is None or (self._socket_server is not None and self._socket_server.is_reachable):
            return
        if self._socket_server is not None:
            self._socket_server.close()
            self._socket_server = None
        self._socket_server = SocketServer(self._config, self._report)

    def _close_socket(self) -> None:
        """Stop serving requests of other users, until the next daemon starts."""
        if self._socket_server is not None:
            self._socket_server.close()
        self._socket_server = self._config = None

    def _try_optional_feature(
        self, problem_code: str, feature_name: str, address: object, task: Callable[[], object]
    ) -> None:
        """Run ``task`` for an optional feature.  Never raises, because archiving goes on without the feature.

        A failure is reported when it begins, when its reason changes, and when it is over.  In between, it is only
        counted under ``problem_code``.  The message names ``address``, the path or endpoint of the feature.  The
        caller tries again in a few seconds.
        """
        try:
            task()
        except Exception as error:
            # The Prometheus library raises errors of any class.
            reason = str(getattr(error, "strerror", None) or error)
            if self._failure_reasons.get(feature_name) == reason:
                self._problem_counts[problem_code] += 1
                return
            self._failure_reasons[feature_name] = reason
            self._report(
                "Cannot provide {what} {where} ({reason}). No archived data was lost. Capture continues without "
                "it; retrying every {seconds:g} s.",
                problem=problem_code,
                what=feature_name,
                where=address,
                reason=reason,
                seconds=UPDATE_SECONDS,
            )
        else:
            if self._failure_reasons.pop(feature_name, None):
                self._report("Available again: {what}.", what=feature_name)

    def _report(self, template: str | LazyMessage, /, *, problem: str = "", **fields: object) -> None:
        """Log a message, as a :class:`~archiver.errors.Reporter`.  Any thread may call this method.

        ``problem`` is the code of a problem, empty for any other message.  Each problem is counted, but logged and
        stored for ``archiver status`` only if it was not logged in the last ``_REPEAT_PAUSE_SECONDS``.
        """
        message = message_from(template, fields)
        if problem:
            self._problem_counts[problem] += 1
            message_key = message.template + repr(
                sorted((field_name, str(field_value)) for field_name, field_value in message.fields.items())
            )
            now = clock.monotonic_seconds()
            if now - self._last_logged_at.get(message_key, -_REPEAT_PAUSE_SECONDS) < _REPEAT_PAUSE_SECONDS:
                return
            if len(self._last_logged_at) > _MAX_REMEMBERED_PROBLEMS:
                self._last_logged_at.clear()
            self._last_logged_at[message_key] = now
            if self._daemon is not None:
                self._daemon.remember_problem(problem, message)
        self._log(message, problem=problem)
        if self._log.lost_count:
            self._problem_counts["log"] += 1
            if self._daemon is not None:
                self._daemon.remember_problem("log", LOG_LOST.with_fields(count=self._log.lost_count))
