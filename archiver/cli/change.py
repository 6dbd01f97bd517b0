"""``archiver change``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from archiver.cli.console import Console
from archiver.cli.parameters import RecordedText, json_option, reported_by_option
from archiver.cli.session import Session, command, command_group
from archiver.errors import LazyMessage

if TYPE_CHECKING:
    from archiver.filings.due.deadlines import Deadline

#: More paths would push the question, and the command to answer it, off the screen.
_MAX_MATERIALS = 20


change_command = command_group("Changes of what was filed, and whether they are material.")


@command("List the changes that wait for a decision.")
@json_option
@click.option("--all", "includes_decided", is_flag=True, help="Those that were decided too.")
def _list_changes(session: Session, as_json: bool, includes_decided: bool) -> None:
    from archiver.filings.change_detection import detect_change
    from archiver.filings.due.deadlines import deadlines
    from archiver.filings.register import register

    archive = session.open_archive()
    filing_by_name = register(archive.index.life())
    deadlines_by_uid = {deadline.uid: deadline for deadline in deadlines(filing_by_name.values())}
    change_rows: list[dict[str, Any]] = [
        {
            "number": change.number,
            "filing": change.filing,
            "since": change.last_submission,
            "first": change.first.isoformat(),
            "kinds": list(change.kinds),
            "materials": list(change.materials),
            "signal": change.signal or None,
            "due": _format_due_day(deadlines_by_uid.get(f"{change.filing}:change:{change.number}:decide")),
            "material": change.material,
            "reason": change.reason or None,
            "decided_on": change.decided_on.isoformat() if change.decided_on else None,
            "by": change.by or None,
        }
        for filing in filing_by_name.values()
        for change in filing.questions
        if includes_decided or change.material is None
    ]
    for row in change_rows:
        # Later changes are decided together with the change that opened the question.
        if row["material"] is None and (
            newer_changes := detect_change(archive, filing_by_name[row["filing"]], session.config)
        ):
            row["materials"], row["kinds"] = (
                list(newer_changes.materials),
                sorted({*row["kinds"], *newer_changes.kinds}),
            )
    console = session.console
    if as_json:
        console.print_json(change_rows)
        return
    if not change_rows:
        console.info("No change waits for a decision.")
    for row in change_rows:
        _print_change(console, row)


def _print_change(console: Console, change_row: dict[str, Any]) -> None:
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


def _format_due_day(deadline: Deadline | None) -> str | None:
    return None if deadline is None else deadline.on.isoformat()


@command("Record whether a change is material (重大变更).")
@click.argument("number", type=int, metavar="N")
@click.option(
    "--material", type=click.Choice(["yes", "no"]), required=True, help="Whether it is a material change."
)
@click.option("--reason", type=RecordedText(), required=True, help="Why; kept with the record.")
@reported_by_option("Who decided it, beside the user the system knows.")
def _decide_change(session: Session, number: int, material: str, reason: str, reported_by: str | None) -> None:
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
