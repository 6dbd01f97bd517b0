"""``archiver run``."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING

import click

from archiver import interruption
from archiver.cli.session import Session, command
from archiver.errors import Busy, LazyMessage, NotArchived, message_from
from archiver.store.permissions import mask_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from archiver.cli.console import Console
    from archiver.errors import Reporter
    from archiver.intake.snapshot import SkippedPath

#: While a daemon is busy with what this command asks about.
_LOOK_AGAIN_SECONDS = 0.5


@command("Watch the folder and archive every change. Ctrl-C ends it cleanly.")
@click.option("--once", is_flag=True, help="Catch up with the watched folder, then end.")
@click.option("--settle", type=click.FloatRange(min=0), metavar="SECONDS", help="Quiet period for this run.")
@click.option(
    "--log", type=click.Choice(["text", "json"]), default="text", help="Form of the log; json: a line each."
)
def run_command(session: Session, once: bool, settle: float | None, log: str) -> None:
    # The imports are most of the first second, and nothing has begun before them.
    interruption.end_at_once(interruption.INTERRUPTED)
    from archiver.daemon.log import Log

    # The kernel says so to whoever asks about open files, and the default is to die of it.
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    # Before it is known whether a group may read: nothing of the archive is anybody else's.
    os.umask(mask_of(None))
    teller = _Teller(session.console, log == "json")
    if once:
        _catch_up(session, Log(teller), settle)
        return
    from archiver.daemon.service import Service
    from archiver.daemon.signal_listener import SignalListener

    service = Service(session.read_config, teller, settle, session.lock_timeout)
    actions = {signal.SIGINT: service.stop, signal.SIGTERM: service.stop, signal.SIGHUP: service.reload}
    with SignalListener(actions):
        service.run()
    Log(teller)("Ended. Everything that was reported as archived is durable.")


def _catch_up(session: Session, teller: Reporter, settle: float | None) -> None:
    from archiver.daemon.capture_loop import Daemon
    from archiver.daemon.signal_listener import SignalListener

    interruption.raise_in_the_work()
    daemon = Daemon(session.open_archive(), session.config, teller, settle, session.lock_timeout)
    try:
        with SignalListener({signal.SIGINT: daemon.stop, signal.SIGTERM: daemon.stop}):
            left = daemon.run_once()
    except Busy:
        # Cron beside a service: what counts is that everything is in, not who archived it.
        if not _is_kept_complete(session, teller):
            raise
        return
    for item, since in left.pending:
        teller(
            "Not archived yet: {path}: {reason} (since {since}).",
            problem="pending",
            path=item.path,
            reason=item.reason,
            since=session.format_time(since),
        )
    _tell_unreadable(session, teller, left.unreadable)
    if left.refusal is not None:
        raise left.refusal
    if left.failures:
        raise _not_archived(left.failures)
    if not left.pending:
        teller("The archive is complete.")


def _is_kept_complete(session: Session, teller: Reporter) -> bool:
    """Wait until the daemon that runs has archived everything that is finished; False where it does not in time.

    Raises NotArchived for what it cannot read.
    """
    from archiver import clock
    from archiver.intake.capture_now import scan_beside_daemon
    from archiver.intake.scan import is_unreadable
    from archiver.store import lock

    archive = session.open_archive()
    deadline = clock.monotonic() + session.lock_timeout
    while holder := lock.holder(archive.root / "daemon.lock"):
        found = scan_beside_daemon(archive, session.config)
        unreadable = [item for item in found.skipped if is_unreadable(item)]
        if not found.changed and unreadable:
            _tell_unreadable(session, teller, unreadable)
            raise _not_archived(len(unreadable))
        if not found.changed:
            teller("The daemon {holder} keeps the archive complete.", holder=holder)
            return True
        if clock.monotonic() >= deadline:
            return False
        time.sleep(_LOOK_AGAIN_SECONDS)
    return False


def _tell_unreadable(session: Session, teller: Reporter, unreadable: Iterable[SkippedPath]) -> None:
    for item in unreadable:
        # The watched folder itself has no name below it.
        path = item.path or os.fsencode(session.config.watch)
        teller("Not archived: {path}: {reason}.", problem="unreadable", path=path, reason=item.reason)


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


class _Teller:
    """The log: lines for people, or JSON for a collector."""

    def __init__(self, console: Console, as_json: bool) -> None:
        self._console = console
        self._as_json = as_json

    def __call__(self, template: str | LazyMessage, /, *, problem: str = "", **fields: object) -> None:
        message = message_from(template, fields)
        if self._as_json:
            self._line(message, problem)
        elif problem:
            self._console.warn(message)
        else:
            self._console.say(message)

    def _line(self, message: LazyMessage, problem: str) -> None:
        from archiver import clock

        line = {
            "at": clock.stamp(clock.read().wall),
            "level": "warning" if problem else "info",
            "kind": problem or None,
            "message": self._console.translate(message),
            **{name: self._shown(value) for name, value in message.fields.items()},
        }
        print(json.dumps(line), flush=True)

    def _shown(self, value: object) -> str:
        return self._console.translate(LazyMessage("{value}", value=value))
