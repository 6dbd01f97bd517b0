"""``archiver change``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from archiver.cli.console import Console
from archiver.cli.parameters import RecordedText, json_option, reported_by_option
from archiver.cli.session import Session, command, command_group
from archiver.errors import LazyMessage

if TYPE_CHECKING:
    from archiver.config.settings import Config
    from archiver.filings.due.deadlines import Deadline
    from archiver.filings.register import ChangeQuestion, Filing
    from archiver.store.archive import Archive

#: Number of paths to print for each change.  A longer list would push the heading of the change off the screen.
_MAX_MATERIALS = 20


change_command = command_group("Changes of what was filed, and whether they are material.")


@command("List the changes that wait for a decision.")
@json_option
@click.option("--all", "includes_decided", is_flag=True, help="Those that were decided too.")
def _list_changes(session: Session, as_json: bool, includes_decided: bool) -> None:
    """List the changes of each filing in the order in which they were recorded."""
    from archiver.filings.due.deadlines import deadlines
    from archiver.filings.register import register

    archive = session.open_archive()
    filing_by_name = register(archive.index.life_events())
    deadline_by_uid = {deadline.uid: deadline for deadline in deadlines(filing_by_name.values())}
    change_rows = [
        _change_row(question, deadline_by_uid.get(f"{question.filing}:change:{question.number}:decide"))
        for filing in filing_by_name.values()
        for question in filing.questions
        if includes_decided or question.material is None
    ]
    for row in change_rows:
        if row["material"] is None:
            _add_later_changes(row, archive, filing_by_name[row["filing"]], session.config)
    console = session.console
    if as_json:
        console.print_json(change_rows)
        return
    if not change_rows:
        console.info("No change waits for a decision.")
    for row in change_rows:
        _print_change(console, row)


def _change_row(question: ChangeQuestion, decision_deadline: Deadline | None) -> dict[str, Any]:
    """Return a change as a JSON object with days in ISO 8601.

    ``material`` is the decision: True, False, or None while the change is undecided.  ``decision_deadline`` is
    None if the filing ended before anybody decided.
    """
    return {
        "number": question.number,
        "filing": question.filing,
        "since": question.last_submission,
        "first": question.first.isoformat(),
        "kinds": list(question.kinds),
        "materials": list(question.materials),
        "signal": question.signal or None,
        "due": None if decision_deadline is None else decision_deadline.on.isoformat(),
        "material": question.material,
        "reason": question.reason or None,
        "decided_on": question.decided_on.isoformat() if question.decided_on else None,
        "by": question.by or None,
    }


def _add_later_changes(change_row: dict[str, Any], archive: Archive, filing: Filing, config: Config) -> None:
    """Update the materials and kinds of an undecided change to include changes made since it was recorded.

    One decision covers them all, because a filing has at most one open question.
    """
    from archiver.filings.change_detection import detect_change

    all_changes = detect_change(archive, filing, config)
    if all_changes is not None:
        change_row["materials"] = list(all_changes.materials)
        change_row["kinds"] = sorted({*change_row["kinds"], *all_changes.kinds})


def _print_change(console: Console, change_row: dict[str, Any]) -> None:
    """Print a row of :func:`_change_row` for people, with at most ``_MAX_MATERIALS`` paths."""
    from archiver.filings.code_names import CHANGE_KINDS, word_for

    console.info(
        "Change {number} of {filing}, since {since}: first on {first}, to be decided by {due}",
        **{key: change_row[key] for key in ("number", "filing", "since", "first", "due")},
    )
    kind_names = ", ".join(console.translate(word_for(kind, CHANGE_KINDS)) for kind in change_row["kinds"])
    if kind_names:
        console.info("  About: {kinds}", kinds=kind_names)
    if change_row["signal"]:
        console.info("  Released: {signal}", signal=change_row["signal"])
    for path in change_row["materials"][:_MAX_MATERIALS]:
        console.print_line(f"  {path}")
    if len(change_row["materials"]) > _MAX_MATERIALS:
        console.info("  and {count} more", count=len(change_row["materials"]) - _MAX_MATERIALS)
    if change_row["decided_on"]:
        console.info(
            "  Decided on {on} by {by}: {decision} ({reason})",
            on=change_row["decided_on"],
            by=change_row["by"],
            decision=LazyMessage("material") if change_row["material"] else LazyMessage("not material"),
            reason=change_row["reason"],
        )


@command("Record whether a change is material (重大变更).")
@click.argument("number", type=int, metavar="N")
@click.option(
    "--material", type=click.Choice(["yes", "no"]), required=True, help="Whether it is a material change."
)
@click.option("--reason", type=RecordedText(), required=True, help="Why; kept with the record.")
@reported_by_option("Who decided it, beside the user the system knows.")
def _decide_change(session: Session, number: int, material: str, reason: str, reported_by: str | None) -> None:
    """Record the decision, and print what follows from it.

    Raises NotFoundError for an unknown change, UsageError for a change that is decided already.
    """
    from archiver.actions.filing_actions import DecideChange

    is_material = material == "yes"
    decision = session.perform(
        DecideChange(change_number=number, is_material=is_material, reason=reason, reported_by=reported_by)
    )
    if is_material:
        session.console.info(
            "Change {number} is material: {filing} needs a change submission. See: archiver deadlines",
            number=number,
            filing=decision["filing"],
        )
    else:
        session.console.info("Change {number} is not material. The reason is kept.", number=number)


for _name, _command in (("list", _list_changes), ("decide", _decide_change)):
    change_command.add_command(_command, _name)
