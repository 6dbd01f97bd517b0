"""``archiver filing``."""

from __future__ import annotations

import click

from archiver.cli.session import Name, Session, entry, global_options


@click.group()
@global_options
def command() -> None:
    """The life of a filing."""


@entry
@click.argument("filing", type=Name())
@click.option(
    "--on", type=click.DateTime(["%Y-%m-%d"]), required=True, metavar="DATE", help="The day it ended, for people."
)
@click.option("--reason", required=True, help="Why it ended; kept with the record.")
@click.option("--by", type=Name(), metavar="NAME", help="Who says so, beside the user the system knows.")
def _end(session: Session, filing: str, on: click.DateTime, reason: str, by: str | None) -> None:
    """Record that a filing has ended: from now on its retention periods run out."""
    day = on.date().isoformat()  # type: ignore[attr-defined]
    ended = session.act("filing-end", filing=filing, on=day, reason=reason, by=by)
    session.console.say(
        "{filing} is not live any more. Its periods are counted from now on; the next submit makes it live again.",
        filing=ended["filing"],
    )


command.add_command(_end, "end")
