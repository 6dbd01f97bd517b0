"""``archiver deadlines``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archiver.cli.console import Console
from archiver.cli.parameters import json_option
from archiver.cli.session import Session, command
from archiver.errors import LazyMessage

if TYPE_CHECKING:
    from datetime import date

    from archiver.filings.due.deadlines import Deadline


@command("List deadlines, and what each is based on.")
@click.option(
    "--within",
    "within_days",
    type=click.IntRange(min=0),
    metavar="DAYS",
    help="Include only items due within this number of days.",
)
@click.option("--all", "includes_done", is_flag=True, help="Include completed items.")
@click.option(
    "--ics",
    "calendar_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="iCalendar file to write.",
)
@json_option
def deadlines_command(
    session: Session, within_days: int | None, includes_done: bool, calendar_file: Path | None, as_json: bool
) -> None:
    """Print the deadlines by date, or write them to a calendar file and print only their number.

    An existing ``calendar_file`` is overwritten.  Raises OSError if the file cannot be written.
    """
    from datetime import timedelta

    from archiver import clock
    from archiver.filings.due.deadlines import compute_deadlines, compute_open_deadlines
    from archiver.filings.register import filings_from_events

    archive = session.open_archive()
    filings = filings_from_events(archive.index.life_events()).values()
    today = clock.today(session.config.zone)
    shown_deadlines = compute_deadlines(filings) if includes_done else compute_open_deadlines(filings)
    if within_days is not None:
        last_shown_day = today + timedelta(days=within_days)
        shown_deadlines = [deadline for deadline in shown_deadlines if deadline.due_on <= last_shown_day]
    console = session.console
    if calendar_file is not None:
        _write_calendar(console, shown_deadlines, archive.index.archive_id, calendar_file)
    elif as_json:
        console.print_json([_deadline_to_dict(deadline, today) for deadline in shown_deadlines])
    elif not shown_deadlines:
        console.info("No items are due.")
    else:
        _print_deadlines(console, shown_deadlines, today)


def _write_calendar(
    console: Console, shown_deadlines: Sequence[Deadline], archive_id: str, calendar_file: Path
) -> None:
    """Write the deadlines to an iCalendar file, in the console's language, and print the number of deadlines.

    ``archive_id`` distinguishes the entries from those of other archives.  Raises OSError if the file cannot be
    written.
    """
    from archiver import clock
    from archiver.filings.due.ical import render_calendar

    created_at = clock.read_clocks().wall.replace(microsecond=0)
    calendar_file.write_bytes(render_calendar(shown_deadlines, archive_id, created_at, console.translate))
    console.info(
        LazyMessage.define("Wrote {count} deadlines to {path}.", singular="Wrote {count} deadline to {path}."),
        count=len(shown_deadlines),
        path=calendar_file,
    )


def _deadline_to_dict(deadline: Deadline, today: date) -> dict[str, Any]:
    """Convert a deadline, with the state on ``today``, to a dict for ``--json``, whose keys must never change."""
    return {
        "uid": deadline.uid,
        "filing": deadline.filing,
        "what": str(deadline.duty),
        "code": deadline.duty.code,
        "due": deadline.due_on.isoformat(),
        "state": deadline.state(today),
        "provisional": deadline.is_provisional,
        "latest": deadline.latest_due_on.isoformat() if deadline.latest_due_on else None,
        "who": deadline.party,
        "basis": deadline.basis,
        "source": str(deadline.article or ""),
        "started": deadline.counted_from.isoformat(),
        "owner": deadline.owner or None,
        "done": deadline.done_on.isoformat() if deadline.done_on else None,
    }


def _print_deadlines(console: Console, shown_deadlines: Sequence[Deadline], today: date) -> None:
    """Print the deadlines as a table in the given order, with the state of each deadline on ``today``.

    A question mark follows a provisional day, and a line below the table explains the question mark.
    """
    from archiver.filings.code_names import BASIS_NAMES, PARTY_NAMES, deadline_state_name, name_for_code

    deadline_rows = [
        (
            deadline.due_on.isoformat() + ("?" if deadline.is_provisional else ""),
            console.translate(deadline_state_name(deadline.state(today), deadline.basis)),
            deadline.filing,
            console.translate(deadline.duty),
            deadline.owner or console.translate(name_for_code(deadline.party, PARTY_NAMES)),
            console.translate(name_for_code(deadline.basis, BASIS_NAMES)),
        )
        for deadline in shown_deadlines
    ]
    console.print_table(
        (
            LazyMessage("Due"),
            LazyMessage("State"),
            LazyMessage("Filing"),
            LazyMessage("Item"),
            LazyMessage("Assigned to"),
            LazyMessage("Basis"),
        ),
        deadline_rows,
    )
    if any(deadline.is_provisional for deadline in shown_deadlines):
        console.info(
            "? provisional: the holidays of that year are not published yet; the earliest possible date is shown."
        )
