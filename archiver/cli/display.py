"""``archiver display``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archiver.cli.parameters import ObjectName, ReadableFile, file_name_to_record
from archiver.cli.session import Session, command, command_group

if TYPE_CHECKING:
    from archiver.cli.console import Console

display_command = command_group("Check the display of the filing number.")


@command("Check the company's pages for the filing number and link.")
@click.argument("filing", type=ObjectName())
@click.option(
    "--page", type=ReadableFile(), metavar="FILE", help="Saved page to check, instead of the company's pages."
)
def _check_display(session: Session, filing: str, page: Path | None) -> None:
    """Check the pages for the filing number and the link, print a line for each page, and journal the check.

    ``page`` is a saved page to check instead.  Raises Unhealthy if a page lacks the number or the link, or could
    not be fetched.
    """
    from archiver.actions.display_actions import CheckDisplay
    from archiver.errors import Unhealthy

    display_check = session.perform(CheckDisplay(filing_name=filing, page_name=file_name_to_record(page)), page)
    console = session.console
    for page_result in display_check["pages"]:
        _print_page_result(console, page_result)
    failing_pages = [
        page_result["source"] for page_result in display_check["pages"] if not _is_displayed(page_result)
    ]
    if failing_pages:
        raise Unhealthy(
            "The filing number or its link is missing on {pages}, or could not be checked. The check was "
            "recorded. Add both to the pages. To print the display text, run: archiver notice-board {filing!q}",
            pages=console.join(failing_pages),
            filing=display_check["filing"],
        )


def _is_displayed(page_result: dict[str, Any]) -> bool:
    """Return True if a page could be fetched and displays both the filing number and the link."""
    return bool(not page_result["problem"] and page_result["number"] and page_result["link"])


def _print_page_result(console: Console, page_result: dict[str, Any]) -> None:
    """Print one line about a page: why the fetch failed, or whether the number and the link were found.

    ``page_result`` is from the list ``pages`` in the result of the action.
    """
    if page_result["problem"]:
        console.info(
            "{source}: cannot be fetched: {reason}", source=page_result["source"], reason=page_result["problem"]
        )
    elif page_result["number"] and page_result["link"]:
        console.info("{source}: number and link found.", source=page_result["source"])
    elif page_result["number"]:
        console.info("{source}: number found, link missing.", source=page_result["source"])
    else:
        console.info("{source}: number missing.", source=page_result["source"])


display_command.add_command(_check_display, "check")
