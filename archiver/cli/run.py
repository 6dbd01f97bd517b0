"""``archiver run``."""

from __future__ import annotations

import json
import os
import signal
import time
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

#: Between two comparisons, while a daemon archives the rest.
_RETRY_SECONDS = 0.5


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
    "--log", type=click.Choice(["text", "json"]), default="text", help="Form of the log; json: a line each."
)
def run_command(session: Session, once: bool, settle_seconds: float | None, log: str) -> None:
    # Ctrl-C during the imports, most of the first second, ends the process: nothing has begun.
    keyboard_interrupt.exit_at_once(keyboard_interrupt.EXIT_CODE)
    from archiver.daemon.log import Log

    # The kernel sends SIGIO to processes that hold leases on files; the default is to end the process.
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    # Until the reading group is known, nobody else may read files of the archive.
    os.umask(umask_for(None))
    report = _LogPrinter(session.console, log == "json")
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
    from archiver.daemon.capture_loop import Daemon
    from archiver.daemon.signal_listener import SignalListener

    keyboard_interrupt.raise_again()
    daemon = Daemon(session.open_archive(), session.config, report, settle_seconds, session.lock_timeout)
    try:
        with SignalListener({signal.SIGINT: daemon.stop, signal.SIGTERM: daemon.stop}):
            remainder = daemon.run_once()
    except Busy:
        # Cron beside a service: all that counts is a complete archive, whichever process completed it.
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
    """Wait until the running daemon has archived every finished file; return False if that takes too long.

    Raises NotArchived for files that the daemon cannot read.
    """
    from archiver import clock
    from archiver.intake.capture_now import scan_beside_daemon
    from archiver.intake.scan import is_unreadable
    from archiver.store import lock

    archive = session.open_archive()
    deadline = clock.monotonic() + session.lock_timeout
    while holder := lock.describe_holder(archive.root / "daemon.lock"):
        differences = scan_beside_daemon(archive, session.config)
        unreadable = [item for item in differences.skipped if is_unreadable(item)]
        if not differences.changed and unreadable:
            _report_unreadable(session, report, unreadable)
            raise _not_archived(len(unreadable))
        if not differences.changed:
            report("The daemon {holder} keeps the archive complete.", holder=holder)
            return True
        if clock.monotonic() >= deadline:
            return False
        time.sleep(_RETRY_SECONDS)
    return False


def _report_unreadable(session: Session, report: Reporter, unreadable: Iterable[SkippedPath]) -> None:
    for item in unreadable:
        # The watched folder itself has an empty path.
        path = item.path or os.fsencode(session.config.watch)
        report("Not archived: {path}: {reason}.", problem="unreadable", path=path, reason=item.reason)


def _not_archived(count: int) -> NotArchived:
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
    """Print the log: lines for people, or JSON for a collector."""

    def __init__(self, console: Console, as_json: bool) -> None:
        self._console = console
        self._as_json = as_json

    def __call__(self, template: str | LazyMessage, /, *, problem: str = "", **fields: object) -> None:
        message = message_from(template, fields)
        if self._as_json:
            self._print_json_line(message, problem)
        elif problem:
            self._console.warn(message)
        else:
            self._console.info(message)

    def _print_json_line(self, message: LazyMessage, problem: str) -> None:
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
        return self._console.translate(LazyMessage("{value}", value=value))
