"""``archiver run``."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import click

from archiver.cli.session import Session, entry
from archiver.errors import NotArchived
from archiver.store.permissions import mask_of

if TYPE_CHECKING:
    from archiver.cli.console import Console
    from archiver.errors import Report


@entry
@click.option("--once", is_flag=True, help="Catch up with the watched folder, then end.")
@click.option("--settle", type=click.FloatRange(min=0), metavar="SECONDS", help="Quiet period for this run.")
@click.option(
    "--log", type=click.Choice(["text", "json"]), default="text", help="Form of the log; json: a line each."
)
def command(session: Session, once: bool, settle: float | None, log: str) -> None:
    """Watch the folder and archive every change. Ctrl-C ends it cleanly."""
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

    service = Service(session.read_config, teller, settle, session.wait)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: service.stop())
    signal.signal(signal.SIGHUP, lambda *_: service.reload())
    service.run()
    Log(teller)("Ended. Everything that was reported as archived is durable.")


def _catch_up(session: Session, teller: Report, settle: float | None) -> None:
    from archiver.daemon.worker import Daemon

    daemon = Daemon(session.archive(), session.config, teller, settle, session.wait)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: daemon.stop())
    left = daemon.run_once()
    for item, since in left.pending:
        teller(
            "Not archived yet: {path}: {reason} (since {since}).",
            problem="pending",
            path=item.path,
            reason=item.reason,
            since=session.local(since),
        )
    for item in left.unreadable:
        # The watched folder itself has no name below it.
        path = item.path or os.fsencode(session.config.watch)
        teller("Not archived: {path}: {reason}.", problem="unreadable", path=path, reason=item.reason)
    if left.refusal is not None:
        raise left.refusal
    if left.failures:
        raise NotArchived(
            "{count} paths could not be archived. Nothing archived was lost. Mend what stands in their way, and "
            "run this again.",
            count=left.failures,
        )
    if not left.pending:
        teller("The archive is complete.")


class _Teller:
    """The log: lines for people, or JSON for a collector."""

    def __init__(self, console: Console, as_json: bool) -> None:
        self._console = console
        self._as_json = as_json

    def __call__(self, template: str, /, *, problem: str = "", **fields: object) -> None:
        if self._as_json:
            self._line(template, problem, fields)
        elif problem:
            self._console.warn(template, **fields)
        else:
            self._console.say(template, **fields)

    def _line(self, template: str, problem: str, fields: dict[str, object]) -> None:
        from archiver import clock

        line = {
            "at": clock.stamp(clock.read().wall),
            "level": "warning" if problem else "info",
            "kind": problem or None,
            "message": self._console.text(template, **fields),
            **{key: self._console.text("{value}", value=value) for key, value in fields.items()},
        }
        print(json.dumps(line), flush=True)
