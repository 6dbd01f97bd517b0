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


@command("Watch the folder and archive every change. Ctrl-C ends it cleanly.")
@click.option("--once", is_flag=True, help="Catch up with the watched folder, then end.")
@click.option(
    "--settle",
    "settle_seconds",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Quiet period for this run.",
)
@click.option(
    "--log",
    "log_format",
    type=click.Choice(["text", "json"]),
    default="text",
    help="Form of the log; json: a line each.",
)
def run_command(session: Session, once: bool, settle_seconds: float | None, log_format: str) -> None:
    """Run the service until SIGINT or SIGTERM; SIGHUP reloads the configuration.  With ``once``, only catch up.

    ``settle_seconds`` overrides the configured quiet period if it is not None.
    """
    # The imports take most of the first second.  Ctrl-C ends the process until then, because nothing has begun.
    keyboard_interrupt.exit_at_once(keyboard_interrupt.EXIT_CODE)
    from archiver.daemon.log import Log

    # The kernel sends SIGIO to a process with leases on files, and by default that ends the process.
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    # Create files that only their owner can read, until it is known which group may read the archive.
    os.umask(umask_for(None))
    report = _LogPrinter(session.console, as_json=log_format == "json")
    if once:
        _catch_up(session, Log(report), settle_seconds)
        return
    from archiver.daemon.service import Service
    from archiver.daemon.signal_listener import SignalListener

    service = Service(session.read_config, report, settle_seconds, session.lock_timeout)
    signal_actions = {signal.SIGINT: service.stop, signal.SIGTERM: service.stop, signal.SIGHUP: service.reload}
    with SignalListener(signal_actions):
        service.run()
    Log(report)("Ended. Everything that was reported as archived is durable.")


def _catch_up(session: Session, report: Reporter, settle_seconds: float | None) -> None:
    """Capture every finished change once, and report each path that is still not archived.

    If a daemon runs, waits until that daemon has archived everything, and captures nothing itself.

    Raises NotArchived if a finished file cannot be captured, Busy if the running daemon takes too long, and
    whatever error makes the archive refuse captures.  Paths that are still changing raise nothing.
    """
    from archiver.daemon.capture_loop import Daemon
    from archiver.daemon.signal_listener import SignalListener

    keyboard_interrupt.raise_again()
    daemon = Daemon(session.open_archive(), session.config, report, settle_seconds, session.lock_timeout)
    try:
        with closing(daemon), SignalListener({signal.SIGINT: daemon.stop, signal.SIGTERM: daemon.stop}):
            remainder = daemon.run_once()
    except Busy:
        # A scheduled run while the service runs: it does not matter which process completes the archive.
        if not _is_kept_complete(session, report):
            raise
        return
    for item, since in remainder.pending:
        report(
            "Not archived yet: {path}: {reason} (since {since}).",
            problem="pending",
            path=item.path,
            reason=item.reason,
            since=session.format_time(since),
        )
    _report_unreadable(session, report, remainder.unreadable)
    if remainder.refusal is not None:
        raise remainder.refusal
    if remainder.failures:
        raise _not_archived(remainder.failures)
    if not remainder.pending:
        report("The archive is complete.")


def _is_kept_complete(session: Session, report: Reporter) -> bool:
    """Wait until a scan finds no difference between the watched folder and what the running daemon has archived.

    Returns False if the daemon ends first, or after ``session.lock_timeout`` seconds.  Raises NotArchived if the
    only remaining paths cannot be read.
    """
    from archiver import clock
    from archiver.intake.capture_now import scan_beside_daemon
    from archiver.intake.scan import is_unreadable
    from archiver.store import lock

    archive = session.open_archive()
    deadline = clock.monotonic() + session.lock_timeout
    while holder := lock.describe_holder(archive.root / "daemon.lock"):
        scan_result = scan_beside_daemon(archive, session.config)
        unreadable_paths = [skipped_path for skipped_path in scan_result.skipped if is_unreadable(skipped_path)]
        if not scan_result.changed and unreadable_paths:
            _report_unreadable(session, report, unreadable_paths)
            raise _not_archived(len(unreadable_paths))
        if not scan_result.changed:
            report("The daemon {holder} keeps the archive complete.", holder=holder)
            return True
        if clock.monotonic() >= deadline:
            return False
        time.sleep(_RESCAN_SECONDS)
    return False


def _report_unreadable(session: Session, report: Reporter, unreadable_paths: Iterable[SkippedPath]) -> None:
    """Report each path that cannot be read, with the reason."""
    for skipped_path in unreadable_paths:
        # The path is relative to the watched folder, and empty for the watched folder itself.
        path = skipped_path.path or os.fsencode(session.config.watch)
        report("Not archived: {path}: {reason}.", problem="unreadable", path=path, reason=skipped_path.reason)


def _not_archived(count: int) -> NotArchived:
    """Return the error to raise when ``count`` paths could not be archived."""
    return NotArchived(
        LazyMessage.define(
            "{count} paths could not be archived. Nothing archived was lost. Mend what stands in "
            "their way, and run this again.",
            singular="{count} path could not be archived. Nothing archived was lost. Mend what stands in its "
            "way, and run this again.",
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
            "at": clock.stamp(clock.read().wall),
            "level": "warning" if problem else "info",
            "kind": problem or None,
            "message": self._console.translate(message),
            **{name: self._field_text(value) for name, value in message.fields.items()},
        }
        print(json.dumps(log_record), flush=True)

    def _field_text(self, value: object) -> str:
        """Return the value of a field as it appears in the sentence."""
        return self._console.translate(LazyMessage("{value}", value=value))
