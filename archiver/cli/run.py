"""``archiver run``."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import click

from archiver import keyboard_interrupt
from archiver.cli.session import Session, command
from archiver.errors import Busy, LazyMessage, NotArchived, message_from
from archiver.naming.ref_names import RefName
from archiver.store.permissions import umask_for

if TYPE_CHECKING:
    from collections.abc import Iterable

    from archiver.cli.console import Console
    from archiver.errors import Reporter
    from archiver.intake.snapshot import SkippedPath

#: Pause between two scans of the watched folder while ``run --once`` waits for a running daemon.
_RESCAN_SECONDS = 0.5


@command("Watch the folder, and capture changes once files have settled. Ctrl-C stops it.")
@click.option(
    "--once",
    is_flag=True,
    help=(
        "Capture all settled changes in the watched folder, list files that are still being written, then "
        "exit; exit code 9: a file could not be captured."
    ),
)
@click.option(
    "--settle",
    "settle_seconds",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Seconds without a change until a file has settled, for this run.",
)
@click.option(
    "--log",
    "log_format",
    type=click.Choice(["text", "json"]),
    default="text",
    help="Log format; json prints one object per line.",
)
def run_command(session: Session, once: bool, settle_seconds: float | None, log_format: str) -> None:
    """Run the service until SIGINT or SIGTERM; SIGHUP reloads the configuration.

    With ``once``, captures the settled changes and returns.  ``settle_seconds`` replaces the configured quiet
    period, unless it is None.
    """
    # The imports take most of a second.  Nothing has begun yet, so Ctrl-C may simply end the process.
    keyboard_interrupt.exit_on_ctrl_c(keyboard_interrupt.EXIT_CODE)
    from archiver.daemon.log import Log

    # The kernel sends SIGIO to a process with leases on files.  The default action would end the process.
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    # New files are readable only by their owner, until the program has read which group may read the archive.
    os.umask(umask_for(None))
    log_printer = _LogPrinter(session.console, as_json=log_format == "json")
    if once:
        _capture_once(session, Log(log_printer), settle_seconds)
        return
    from archiver.daemon.service import Service
    from archiver.daemon.signal_listener import SignalListener

    service = Service(session.read_config, log_printer, settle_seconds, session.lock_timeout)
    function_by_signal = {signal.SIGINT: service.stop, signal.SIGTERM: service.stop, signal.SIGHUP: service.reload}
    with SignalListener(function_by_signal):
        service.run()
    Log(log_printer)("Stopped. Everything reported as archived is stored durably.")


def _capture_once(session: Session, report: Reporter, settle_seconds: float | None) -> None:
    """Capture every settled change once, and report each path that is still not archived.

    A change has settled if the file did not change during the quiet period: ``settle_seconds``, or the period in
    the settings if ``settle_seconds`` is None.  If a daemon is running, waits until the daemon has archived every
    change, and captures nothing in this process.

    Raises NotArchived if a settled file cannot be captured or a path cannot be read, Busy if the running daemon
    takes too long, and the error for which the archive refuses all captures, if any.  A path that is still
    changing is not an error.
    """
    from archiver.daemon.capture_loop import Daemon
    from archiver.daemon.signal_listener import SignalListener
    from archiver.store import maintenance

    keyboard_interrupt.restore_keyboard_interrupt()
    archive = session.open_archive()
    daemon = Daemon(archive, session.config, report, settle_seconds, session.lock_timeout)
    try:
        with closing(daemon), SignalListener({signal.SIGINT: daemon.stop, signal.SIGTERM: daemon.stop}):
            capture_result = daemon.run_once()
    except Busy:
        # Another process is capturing, for example the service during a scheduled run.  That is no failure if the
        # other process captures all changes.
        if not _wait_for_running_daemon(session, report):
            raise
        return
    for pending_path, pending_since in capture_result.pending:
        report(
            "Not archived yet: {path}: {reason} (since {since}).",
            problem="pending",
            path=pending_path.path,
            reason=pending_path.reason,
            since=session.format_time(pending_since),
        )
    _report_unreadable_paths(session, report, capture_result.unreadable)
    if capture_result.refusal is not None:
        raise capture_result.refusal
    if capture_result.failures:
        raise _make_not_archived_error(capture_result.failures)
    if capture_result.pending:
        return
    report("All changes are archived.")
    if maintenance.has_many_object_files(archive.repository_path):
        # Without a service, only such runs can do the maintenance.  If another process is writing now, a later
        # run does the work.
        with suppress(Busy):
            maintenance.maintain(archive, session.lock_timeout)


def _wait_for_running_daemon(session: Session, report: Reporter) -> bool:
    """Wait until the running daemon has archived every change in the watched folder, and return True.

    This process only compares the folder with the archive, every ``_RESCAN_SECONDS``.  Returns False if the daemon
    ends first, or after ``session.lock_timeout`` seconds.  Raises NotArchived if only paths that cannot be read
    remain.
    """
    from archiver import clock
    from archiver.intake.capture_now import scan_read_only
    from archiver.intake.folder.abilities import count_quiet_periods, decode_abilities
    from archiver.intake.scan import is_unreadable
    from archiver.intake.snapshot_opening import open_snapshot_read_only
    from archiver.store import lock

    archive = session.open_archive()
    with closing(open_snapshot_read_only(archive)) as snapshot:
        quiet_periods = count_quiet_periods(decode_abilities(snapshot.meta("abilities")))
    # Without leases, the service itself waits longer than usual until a change has settled.
    longer_wait_seconds = (quiet_periods - 1) * session.config.settle_seconds
    give_up_at_seconds = clock.monotonic_seconds() + session.lock_timeout + longer_wait_seconds
    while daemon_process := lock.describe_lock_holder(archive.root / "daemon.lock"):
        scan_result = scan_read_only(archive, session.config)
        unreadable_paths = [skipped_path for skipped_path in scan_result.skipped if is_unreadable(skipped_path)]
        if not scan_result.changed and unreadable_paths:
            _report_unreadable_paths(session, report, unreadable_paths)
            raise _make_not_archived_error(len(unreadable_paths))
        if not scan_result.changed:
            report("The service {holder} has captured all changes.", holder=daemon_process)
            return True
        if clock.monotonic_seconds() >= give_up_at_seconds:
            return False
        time.sleep(_RESCAN_SECONDS)
    return False


def _report_unreadable_paths(session: Session, report: Reporter, unreadable_paths: Iterable[SkippedPath]) -> None:
    """Report each path that cannot be read, with the reason."""
    for skipped_path in unreadable_paths:
        # The path is relative to the watched folder, and empty for the watched folder itself.
        path = skipped_path.path or os.fsencode(session.config.watch)
        report("Not archived: {path}: {reason}.", problem="unreadable", path=path, reason=skipped_path.reason)


def _make_not_archived_error(path_count: int) -> NotArchived:
    """Build the error for ``path_count`` paths that could not be archived."""
    return NotArchived(
        LazyMessage.define(
            "{count} paths could not be captured. No archived data was lost. Remove the reported causes and run "
            "this again.",
            singular=(
                "{count} path could not be captured. No archived data was lost. Remove the reported cause and "
                "run this again."
            ),
        ),
        count=path_count,
    )


class _LogPrinter:
    """A Reporter that prints the log: sentences for people, or JSON lines for a log collector."""

    def __init__(self, console: Console, *, as_json: bool) -> None:
        """Print on ``console``, in the console's language; JSON is printed even if the console is quiet."""
        self._console = console
        self._as_json = as_json

    def __call__(self, template: str | LazyMessage, /, *, problem: str = "", **fields: object) -> None:
        """Print one message, as a warning if ``problem``, the code of a problem, is not empty.

        Raises OSError or ValueError if the line cannot be written.
        """
        message = message_from(template, fields)
        if self._as_json:
            self._print_json_line(message, problem)
        elif problem:
            self._console.warn(message)
        else:
            self._console.info(message)

    def _print_json_line(self, message: LazyMessage, problem: str) -> None:
        """Print a message as one line of JSON on stdout, with each field of the message as a text member."""
        from archiver import clock
        from archiver.naming.named_documents import add_readable_names

        log_record = {
            "at": clock.format_time(clock.read_clocks().wall),
            "level": "warning" if problem else "info",
            "kind": problem or None,
            "message": self._console.translate(message),
            **{name: self._format_field(field_value) for name, field_value in message.fields.items()},
        }
        print(json.dumps(add_readable_names(log_record)), flush=True)

    def _format_field(self, field_value: object) -> str:
        """Return the value of a message's field as the printed message shows it, but a tag as it is in git."""
        if isinstance(field_value, RefName):
            return field_value
        return self._console.translate(LazyMessage("{value}", value=field_value))
