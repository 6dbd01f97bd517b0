"""``archiver change``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from archiver.cli.console import Console
from archiver.cli.parameters import RecordedText, json_option
from archiver.cli.session import Session, command, command_group
from archiver.errors import LazyMessage

if TYPE_CHECKING:
    from archiver.filings.due.deadlines import Deadline

#: More would push the decision that is asked for off the screen.
_SHOWN_MATERIALS = 20


change_command = command_group("Changes of what was filed, and whether they are material.")


@command("List the changes that wait for a decision.")
@json_option
@click.option("--all", "includes_decided", is_flag=True, help="Those that were decided too.")
def _list_changes(session: Session, as_json: bool, includes_decided: bool) -> None:
    from archiver.filings.change_detection import detect_change
    from archiver.filings.due.deadlines import deadlines
    from archiver.filings.register import register

    archive = session.open_archive()
    filings = register(archive.index.life())
    deadlines_by_uid = {deadline.uid: deadline for deadline in deadlines(filings.values())}
    rows: list[dict[str, Any]] = [
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
        for filing in filings.values()
        for change in filing.questions
        if includes_decided or change.material is None
    ]
    for row in rows:
        # What came after the question was opened is decided with it.
        if row["material"] is None and (current := detect_change(archive, filings[row["filing"]], session.config)):
            row["materials"], row["kinds"] = list(current.materials), sorted({*row["kinds"], *current.kinds})
    console = session.console
    if as_json:
        console.json(rows)
        return
    if not rows:
        console.say("No change waits for a decision.")
    for row in rows:
        _print_change(console, row)


def _print_change(console: Console, row: dict[str, Any]) -> None:
    from archiver.filings.code_names import CHANGE_KINDS, word_for

    console.say(
        "Change {number} of {filing}, since {since}: first on {first}, to be decided by {due}",
        **{key: row[key] for key in ("number", "filing", "since", "first", "due")},
    )
    kinds = ", ".join(console.translate(word_for(kind, CHANGE_KINDS)) for kind in row["kinds"])
    if kinds:
        console.say("  About: {kinds}", kinds=kinds)
    if row["signal"]:
        console.say("  Released: {signal}", signal=row["signal"])
    for path in row["materials"][:_SHOWN_MATERIALS]:
        console.line(f"  {path}")
    if len(row["materials"]) > _SHOWN_MATERIALS:
        console.say("  and {count} more", count=len(row["materials"]) - _SHOWN_MATERIALS)
    if row["decided_on"]:
        console.say(
            "  Decided on {on} by {by}: {decision} ({reason})",
            on=row["decided_on"],
            by=row["by"],
            decision=LazyMessage("material") if row["material"] else LazyMessage("not material"),
            reason=row["reason"],
        )


def _format_due_day(deadline: Deadline | None) -> str | None:
    return None if deadline is None else deadline.on.isoformat()


@command("Record whether a change is material (重大变更).")
@click.argument("number", type=int, metavar="N")
@click.option(
    "--material", type=click.Choice(["yes", "no"]), required=True, help="Whether it is a material change."
)
@click.option("--reason", type=RecordedText(), required=True, help="Why; kept with the record.")
@click.option(
    "--by", type=RecordedText(), metavar="NAME", help="Who decided it, beside the user the system knows."
)
def _decide_change(session: Session, number: int, material: str, reason: str, by: str | None) -> None:
    from archiver.actions.filing_actions import DecideChange

    is_material = material == "yes"
    decided = session.perform(
        DecideChange(change_number=number, is_material=is_material, reason=reason, reported_by=by)
    )
    if is_material:
        session.console.say(
            "Change {number} is material: {filing} needs a change submission. See: archiver deadlines",
            number=number,
            filing=decided["filing"],
        )
    else:
        session.console.say("Change {number} is not material. The reason is kept.", number=number)


for _name, _command in (("list", _list_changes), ("decide", _decide_change)):
    change_command.add_command(_command, _name)
