"""``archiver run``."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import closing
from typing import TYPE_CHECKING

import click

from archiver import keyboard_interrupt
from archiver.cli.session import Session, command
from archiver.errors import Busy, LazyMessage, NotArchived, message_from
from archiver.store.permissions import umask_for

if TYPE_CHECKING:
    from collections.abc import Iterable

    from archiver.cli.console import Console
    from archiver.errors import Reporter
    from archiver.intake.snapshot import SkippedPath

#: Pause between two scans of the watched folder while ``run --once`` waits for a running daemon.
_RESCAN_SECONDS = 0.5


@command("Watch the folder and capture every change. Ctrl-C stops it.")
@click.option("--once", is_flag=True, help="Capture the changes in the watched folder, then exit.")
@click.option(
    "--settle",
    "settle_seconds",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Quiet period for this run, in seconds.",
)
@click.option(
    "--log",
    "log_format",
    type=click.Choice(["text", "json"]),
    default="text",
    help="Log format; json prints one object per line.",
)
def run_command(session: Session, once: bool, settle_seconds: float | None, log_format: str) -> None:
    """Run the service until SIGINT or SIGTERM; SIGHUP reloads the configuration.  With ``once``, only catch up.

    ``settle_seconds`` overrides the configured quiet period if it is not None.
    """
    # The imports take most of the first second.  Ctrl-C ends the process until then, because nothing has begun.
    keyboard_interrupt.exit_on_ctrl_c(keyboard_interrupt.EXIT_CODE)
    from archiver.daemon.log import Log

    # The kernel sends SIGIO to a process with leases on files, and by default that ends the process.
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    # Create files that only their owner can read, until it is known which group may read the archive.
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
    """Capture every finished change once, and report each path that is still not archived.

    A change is finished when its file has not changed during the quiet period of ``settle_seconds``, or of the
    settings if that is None.  If a daemon runs, waits until that daemon has archived everything, and captures
    nothing itself.

    Raises NotArchived if a finished file cannot be captured, Busy if the running daemon takes too long, and
    whatever error makes the archive refuse captures.  Paths that are still changing raise nothing.
    """
    from archiver.daemon.capture_loop import Daemon
    from archiver.daemon.signal_listener import SignalListener

    keyboard_interrupt.restore_keyboard_interrupt()
    daemon = Daemon(session.open_archive(), session.config, report, settle_seconds, session.lock_timeout)
    try:
        with closing(daemon), SignalListener({signal.SIGINT: daemon.stop, signal.SIGTERM: daemon.stop}):
            capture_result = daemon.run_once()
    except Busy:
        # A scheduled run while the service runs: it does not matter which process completes the archive.
        if not _wait_for_running_daemon(session, report):
            raise
        return
    for pending_path, since in capture_result.pending:
        report(
            "Not archived yet: {path}: {reason} (since {since}).",
            problem="pending",
            path=pending_path.path,
            reason=pending_path.reason,
            since=session.format_time(since),
        )
    _report_unreadable(session, report, capture_result.unreadable)
    if capture_result.refusal is not None:
        raise capture_result.refusal
    if capture_result.failures:
        raise _make_not_archived_error(capture_result.failures)
    if not capture_result.pending:
        report("The archive is up to date.")


def _wait_for_running_daemon(session: Session, report: Reporter) -> bool:
    """Wait until the running daemon has archived everything in the watched folder; return True if it has.

    This process compares the folder with the archive again and again, and captures nothing.  Returns False if the
    daemon ends first, or after ``session.lock_timeout`` seconds.  Raises NotArchived if the only remaining paths
    cannot be read.
    """
    from archiver import clock
    from archiver.intake.capture_now import scan_read_only
    from archiver.intake.scan import is_unreadable
    from archiver.store import lock

    archive = session.open_archive()
    deadline = clock.monotonic_seconds() + session.lock_timeout
    while holder := lock.describe_lock_holder(archive.root / "daemon.lock"):
        scan_result = scan_read_only(archive, session.config)
        unreadable_paths = [skipped_path for skipped_path in scan_result.skipped if is_unreadable(skipped_path)]
        if not scan_result.changed and unreadable_paths:
            _report_unreadable(session, report, unreadable_paths)
            raise _make_not_archived_error(len(unreadable_paths))
        if not scan_result.changed:
            report("The daemon {holder} keeps the archive up to date.", holder=holder)
            return True
        if clock.monotonic_seconds() >= deadline:
            return False
        time.sleep(_RESCAN_SECONDS)
    return False


def _report_unreadable(session: Session, report: Reporter, unreadable_paths: Iterable[SkippedPath]) -> None:
    """Report each path that cannot be read, with the reason."""
    for skipped_path in unreadable_paths:
        # The path is relative to the watched folder, and empty for the watched folder itself.
        path = skipped_path.path or os.fsencode(session.config.watch)
        report("Not archived: {path}: {reason}.", problem="unreadable", path=path, reason=skipped_path.reason)


def _make_not_archived_error(count: int) -> NotArchived:
    """Return the error to raise when ``count`` paths could not be archived."""
    return NotArchived(
        LazyMessage.define(
            "{count} paths could not be archived. No archived data was lost. Remove the reported causes and run "
            "this again.",
            singular=(
                "{count} path could not be archived. No archived data was lost. Remove the reported cause and "
                "run this again."
            ),
        ),
        count=count,
    )


class _LogPrinter:
    """A Reporter that prints the log: sentences for people, or JSON lines for a log collector."""

    def __init__(self, console: Console, *, as_json: bool) -> None:
        """Print on ``console``, in its language.  With ``as_json``, even a quiet console prints every line."""
        self._console = console
        self._as_json = as_json

    def __call__(self, template: str | LazyMessage, /, *, problem: str = "", **fields: object) -> None:
        """Print one message; with ``problem``, the code of the kind of trouble, as a warning.

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
        """Print a message as one line of JSON on stdout, with the message's fields as further members as text."""
        from archiver import clock

        log_record = {
            "at": clock.format_time(clock.read_clocks().wall),
            "level": "warning" if problem else "info",
            "kind": problem or None,
            "message": self._console.translate(message),
            **{name: self._translate_field(value) for name, value in message.fields.items()},
        }
        print(json.dumps(log_record), flush=True)

    def _translate_field(self, value: object) -> str:
        """Return the value of a field as shown in the sentence."""
        return self._console.translate(LazyMessage("{value}", value=value))
