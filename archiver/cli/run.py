"""``archiver run``."""

from __future__ import annotations

import signal

import click

from archiver.cli.session import Session, entry


@entry
@click.option("--once", is_flag=True, help="Catch up with the watched folder, then end.")
@click.option("--settle", type=click.FloatRange(min=0), metavar="SECONDS", help="Quiet period for this run.")
def command(session: Session, once: bool, settle: float | None) -> None:
    """Watch the folder and archive every change. Ctrl-C ends it cleanly."""
    from archiver.daemon import Daemon

    console = session.console
    daemon = Daemon(session.archive(), session.config, console.say, settle, session.wait)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: daemon.stop())
    if not once:
        daemon.run()
        console.say("Ended. Everything that was reported as archived is durable.")
        return
    left = daemon.run_once()
    for item, since in left:
        console.warn(
            "Not archived yet: {path}: {reason} (since {since}).",
            path=item.path,
            reason=item.reason,
            since=session.local(since),
        )
    if not left:
        console.say("The archive is complete.")
