"""``archiver display``."""

from __future__ import annotations

from pathlib import Path

import click

from archiver.cli.parameters import ObjectName, ReadableFile, file_name
from archiver.cli.session import Session, command, command_group

display_command = command_group("The public display of the filing number.")


@command("Look whether the company's pages display the number and the link; kept as evidence.")
@click.argument("filing", type=ObjectName())
@click.option(
    "--page", type=ReadableFile(), metavar="FILE", help="A saved page, instead of fetching the company's own."
)
def _check(session: Session, filing: str, page: Path | None) -> None:
    from archiver.actions.display_actions import CheckDisplay
    from archiver.errors import Unhealthy

    done = session.perform(CheckDisplay(filing=filing, page_name=file_name(page)), page)
    console = session.console
    bad = []
    for each in done["pages"]:
        if each["problem"]:
            console.say("{source}: cannot be had: {reason}", source=each["source"], reason=each["problem"])
        elif each["number"] and each["link"]:
            console.say("{source}: number and link are there.", source=each["source"])
        elif each["number"]:
            console.say("{source}: the number is there, the link is missing.", source=each["source"])
        else:
            console.say("{source}: the number is missing.", source=each["source"])
        if each["problem"] or not (each["number"] and each["link"]):
            bad.append(each["source"])
    if bad:
        raise Unhealthy(
            "The filing number or its link is not displayed on {pages}. The check is kept. Put it there; the "
            "words are: archiver notice-board {filing!q}",
            pages=", ".join(bad),
            filing=done["filing"],
        )


display_command.add_command(_check, "check")
