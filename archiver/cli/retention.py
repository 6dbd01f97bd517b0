"""``archiver retention``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from archiver.cli.parameters import json_option
from archiver.cli.session import Session, command, command_group
from archiver.errors import LazyMessage, UsageError

retention_command = command_group(
    "Show the accepted retention, and accept a longer one. Accepted retention cannot be shortened."
)


@command("Accept a longer retention that the settings promise. Accepted retention cannot be shortened.")
@click.option(
    "--years",
    "typed_years",
    type=int,
    metavar="N",
    help="Longest period that waits for acceptance, in years; required over 10 years without a terminal.",
)
@json_option
def _accept_retention(session: Session, typed_years: int | None, as_json: bool) -> None:
    """Print the retention that waits for acceptance, ask for the years of a long period, and journal the promise.

    With ``--json`` or ``-q``, nothing is asked, because nothing was printed for a person to read.  Raises
    UsageError if the years are missing or wrong; nothing is recorded then.
    """
    from archiver.actions.retention_actions import AcceptRetention, ShowWaitingRetention

    waiting_retention = session.perform(ShowWaitingRetention())
    if not as_json:
        _print_waiting(session, waiting_retention)
    promise_id = waiting_retention["promise"]
    events: list[int] = []
    if promise_id is not None:
        if waiting_retention["needs_years"] and typed_years is None and not (as_json or session.is_quiet):
            typed_years = _ask_for_years(session, waiting_retention["longest_years"])
        events = session.perform(AcceptRetention(promise_id=promise_id, typed_years=typed_years))["events"]
    if as_json:
        session.console.print_json({**waiting_retention, "events": events})
    elif promise_id is not None and not events:
        session.console.info("This retention has already been accepted. Nothing was recorded.")
    elif events:
        session.console.info(
            LazyMessage.define(
                "Accepted, and recorded as journal events {events}. To see all accepted retention, run: archiver "
                "retention show",
                singular=(
                    "Accepted, and recorded as journal event {events}. To see all accepted retention, run: "
                    "archiver retention show"
                ),
            ),
            events=session.console.join(map(str, events)),
            count=len(events),
        )


def _ask_for_years(session: Session, longest_years: int) -> int | None:
    """Ask for the longest period in years, and return the typed number; None if stdin is not a terminal.

    Raises UsageError if the user types anything but a number.
    """
    if not sys.stdin.isatty():
        return None
    question = LazyMessage(
        "Once accepted, this cannot be shortened. To accept, type the longest period in years ({years}):",
        years=longest_years,
    )
    typed_text = click.prompt(session.console.translate(question), prompt_suffix=" ", err=True)
    try:
        return int(typed_text)
    except ValueError:
        raise UsageError(
            "{text} is not a number of years. Nothing was recorded. To see what waits, run: archiver retention "
            "show",
            text=typed_text,
        ) from None


@command("Show the accepted retention, and what waits for acceptance.")
@json_option
def _show_retention(session: Session, as_json: bool) -> None:
    """Print each accepted retention with its journal event, and the retention that waits for acceptance."""
    from archiver.actions.retention_actions import describe_accepted_retention, describe_waiting_retention

    archive, console = session.open_archive(), session.console
    accepted_promises = describe_accepted_retention(archive)
    waiting_retention = describe_waiting_retention(archive, session.config)
    if as_json:
        console.print_json({"accepted": accepted_promises, **waiting_retention})
        return
    console.print_table(
        (
            LazyMessage("Scope"),
            LazyMessage("Retention"),
            LazyMessage("Accepted"),
            LazyMessage("Accepted by"),
            LazyMessage("Journal event"),
        ),
        [_make_table_row(session, promise) for promise in accepted_promises],
    )
    _print_waiting(session, waiting_retention)


def _make_table_row(session: Session, promise: Mapping[str, Any]) -> tuple[object, ...]:
    """Return a row of the table for people, for ``promise``, a member of ``accepted`` in the JSON output."""
    from archiver.retention.promises import RetentionItem

    item, translate = RetentionItem.from_json(promise), session.console.translate
    return (
        item.scope_name if isinstance(item.scope_name, str) else translate(item.scope_name),
        translate(item.description),
        session.format_time(promise["at"]),
        promise["user"],
        promise["event"],
    )


def _print_waiting(session: Session, waiting_retention: Mapping[str, Any]) -> None:
    """Print each retention that waits for acceptance, and how many archived versions it would retain longer.

    ``waiting_retention`` is the result of the action ``retention-waiting``.
    """
    from archiver.retention.promises import RetentionItem

    console = session.console
    if not waiting_retention["waiting"]:
        console.info("No retention waits for acceptance.")
        return
    console.info("Waiting for acceptance:")
    for waiting_item in waiting_retention["waiting"]:
        item = RetentionItem.from_json(waiting_item)
        console.info(
            "  {scope}: {retention}{until} ({effect})",
            scope=item.scope_name,
            retention=item.description,
            until=(
                LazyMessage(", retained through {until}", until=waiting_item["retained_through"])
                if waiting_item["retained_through"]
                else ""
            ),
            effect=LazyMessage.define(
                "{versions} versions, {bytes} bytes",
                singular="{versions} version, {bytes} bytes",
                count_field="versions",
            ).with_fields(versions=waiting_item["versions"], bytes=waiting_item["bytes"]),
        )


for _name, _command in (("accept", _accept_retention), ("show", _show_retention)):
    retention_command.add_command(_command, _name)
