"""``archiver change``."""

from __future__ import annotations

from typing import Any

import click

from archiver.cli.console import Console
from archiver.cli.parameters import RecordedText, json_option
from archiver.cli.session import Session, command, command_group
from archiver.errors import Phrase

_FEW = 20


change_command = command_group("Changes of what was filed, and whether they are material.")


@command("List the changes that wait for a decision.")
@json_option
@click.option("--all", "everything", is_flag=True, help="Those that were decided too.")
def _list(session: Session, as_json: bool, everything: bool) -> None:
    from archiver.filings.change_detection import changed_since
    from archiver.filings.due.deadlines import deadlines
    from archiver.filings.register import register

    archive = session.open_archive()
    filings = register(archive.index.life())
    dues = {due.uid: due for due in deadlines(filings.values())}
    rows: list[dict[str, Any]] = [
        {
            "number": each.number,
            "filing": each.filing,
            "since": each.since,
            "first": each.first.isoformat(),
            "kinds": list(each.kinds),
            "materials": list(each.materials),
            "signal": each.signal or None,
            "due": _due(dues.get(f"{each.filing}:change:{each.number}:decide")),
            "material": each.material,
            "reason": each.reason or None,
            "decided_on": each.decided_on.isoformat() if each.decided_on else None,
            "by": each.by or None,
        }
        for filing in filings.values()
        for each in filing.questions
        if everything or each.material is None
    ]
    for row in rows:
        # What came after the question was opened is decided with it.
        if row["material"] is None and (now := changed_since(archive, filings[row["filing"]], session.config)):
            row["materials"], row["kinds"] = list(now.materials), sorted({*row["kinds"], *now.kinds})
    console = session.console
    if as_json:
        console.json(rows)
        return
    if not rows:
        console.say("No change waits for a decision.")
    for row in rows:
        _print(console, row)


def _print(console: Console, row: dict[str, Any]) -> None:
    console.say(
        "Change {number} of {filing}, since {since}: first on {first}, to be decided by {due}",
        **{key: row[key] for key in ("number", "filing", "since", "first", "due")},
    )
    kinds = ", ".join(console.phrase(Phrase(kind)) for kind in row["kinds"])
    if kinds:
        console.say("  About: {kinds}", kinds=kinds)
    if row["signal"]:
        console.say("  Released: {signal}", signal=row["signal"])
    for path in row["materials"][:_FEW]:
        console.line(f"  {path}")
    if len(row["materials"]) > _FEW:
        console.say("  and {count} more", count=len(row["materials"]) - _FEW)
    if row["decided_on"]:
        console.say(
            "  Decided on {on} by {by}: {decision} ({reason})",
            on=row["decided_on"],
            by=row["by"],
            decision=Phrase("material" if row["material"] else "not material"),
            reason=row["reason"],
        )


def _due(due: Any) -> str | None:
    return None if due is None else str(due.on.isoformat())


@command("Record whether a change is material (重大变更).")
@click.argument("number", type=int, metavar="N")
@click.option(
    "--material", type=click.Choice(["yes", "no"]), required=True, help="Whether it is a material change."
)
@click.option("--reason", type=RecordedText(), required=True, help="Why; kept with the record.")
@click.option(
    "--by", type=RecordedText(), metavar="NAME", help="Who decided it, beside the user the system knows."
)
def _decide(session: Session, number: int, material: str, reason: str, by: str | None) -> None:
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


for _name, _command in (("list", _list), ("decide", _decide)):
    change_command.add_command(_command, _name)
