"""``archiver deadlines``."""

from __future__ import annotations

from pathlib import Path

import click

from archiver.cli.parameters import json_option
from archiver.cli.session import Session, command
from archiver.errors import LazyMessage


@command("What is due, by when, and on what basis.")
@click.option("--within", type=click.IntRange(min=0), metavar="DAYS", help="Only what is due within so many days.")
@click.option("--all", "everything", is_flag=True, help="What is done, too.")
@click.option(
    "--ics",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a calendar file (iCalendar).",
)
@json_option
def deadlines_command(
    session: Session, within: int | None, everything: bool, ics: Path | None, as_json: bool
) -> None:
    from datetime import timedelta

    from archiver import clock
    from archiver.filings.code_names import DEADLINE_STATES, GROUNDS, PARTIES, word_for
    from archiver.filings.due.deadlines import deadlines, open_deadlines
    from archiver.filings.register import register

    archive = session.open_archive()
    filings = register(archive.index.life()).values()
    today = clock.today(session.config.zone)
    dues = deadlines(filings) if everything else open_deadlines(filings)
    if within is not None:
        dues = [due for due in dues if due.on <= today + timedelta(days=within)]
    console = session.console
    if ics is not None:
        from archiver.filings.due.ical import render_calendar

        now = clock.read().wall.replace(microsecond=0)
        ics.write_bytes(render_calendar(dues, archive.index.archive_id, now, console.translate))
        console.say(
            LazyMessage.define("{count} deadlines are in {path}.", singular="{count} deadline is in {path}."),
            count=len(dues),
            path=ics,
        )
        return
    if as_json:
        console.json(
            [
                {
                    "uid": due.uid,
                    "filing": due.filing,
                    "what": str(due.what),
                    "code": due.what.code,
                    "due": due.on.isoformat(),
                    "state": due.state(today),
                    "provisional": due.provisional,
                    "latest": due.latest.isoformat() if due.latest else None,
                    "who": due.who,
                    "basis": due.basis,
                    "source": str(due.source or ""),
                    "started": due.started.isoformat(),
                    "owner": due.owner or None,
                    "done": due.done.isoformat() if due.done else None,
                }
                for due in dues
            ]
        )
        return
    if not dues:
        console.say("Nothing is due.")
        return
    rows = [
        (
            due.on.isoformat() + ("?" if due.provisional else ""),
            console.translate(word_for(due.state(today), DEADLINE_STATES)),
            due.filing,
            console.translate(due.what),
            due.owner or console.translate(word_for(due.who, PARTIES)),
            console.translate(word_for(due.basis, GROUNDS)),
        )
        for due in dues
    ]
    console.table(
        (
            LazyMessage("Due"),
            LazyMessage("State"),
            LazyMessage("Filing"),
            LazyMessage("What"),
            LazyMessage("Who"),
            LazyMessage("Basis"),
        ),
        rows,
    )
    if any(due.provisional for due in dues):
        console.say("? provisional: the holidays of that year are not published yet; the earlier date is shown.")
