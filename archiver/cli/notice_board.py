"""``archiver notice-board``."""

from __future__ import annotations

import sys

import click

from archiver.cli.parameters import ObjectName
from archiver.cli.session import Session, command


@command("Print the display text for websites and apps: filing number, link, and names.")
@click.argument("filing", type=ObjectName())
@click.option(
    "--format",
    "text_format",
    type=click.Choice(["html", "markdown", "text", "json"]),
    default="html",
    help="Output format: for websites (html), documents (markdown), app text (text), or app code (json).",
)
def notice_board_command(session: Session, filing: str, text_format: str) -> None:
    """Write the display text to stdout without any change, so that the user can redirect it to a file.

    Raises NotFoundError for an unknown filing, and UsageError for a filing without a filing number.
    """
    from archiver.filings.public_display import render_display_text
    from archiver.filings.register import Filing, filings_from_events
    from archiver.store.resolve import find_filing

    archive = session.open_archive()
    filing_name = find_filing(archive, filing)
    filing_by_name = filings_from_events(archive.index.life_events(filing_name))
    # A filing that has a folder but no records is not in the register.
    filing_record = filing_by_name.get(filing_name) or Filing(filing_name)
    sys.stdout.write(render_display_text(filing_record, text_format))
