"""``archiver change``.

A *change* records that materials of a filing differ from those last submitted to the regulator. A person decides
whether the change is material, because a material change must be submitted, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from archiver.cli.console import Console
from archiver.cli.parameters import NamedChoice, RecordedText, json_option, reported_by_option
from archiver.cli.session import Session, command, command_group
from archiver.errors import LazyMessage

if TYPE_CHECKING:
    from archiver.config.settings import Config
    from archiver.filings.due.deadlines import Deadline
    from archiver.filings.register import ChangeQuestion, Filing
    from archiver.store.archive import Archive

#: Number of paths to print for each change.  A longer list would push the heading of the change off the screen.
_MAX_PRINTED_PATHS = 20
#: Value of ``--material`` -> the consequence of the decision.
_DECISION_NAMES = {
    "yes": LazyMessage("a change submission is required"),
    "no": LazyMessage("no change submission is required"),
}


change_command = command_group("List changes made after filing, and record whether they are material.")


@command("List the changes that await a decision.")
@json_option
@click.option("--all", "includes_decided", is_flag=True, help="Include decided changes.")
def _list_changes(session: Session, as_json: bool, includes_decided: bool) -> None:
    """Print the changes of each filing in the order in which they were recorded."""
    from archiver.filings.due.deadlines import compute_deadlines
    from archiver.filings.register import filings_from_events

    archive = session.open_archive()
    filing_by_name = filings_from_events(archive.index.life_events())
    deadline_by_uid = {deadline.uid: deadline for deadline in compute_deadlines(filing_by_name.values())}
    change_documents = [
        _change_to_dict(change, deadline_by_uid.get(f"{change.filing}:change:{change.number}:decide"))
        for filing in filing_by_name.values()
        for change in filing.change_questions
        if includes_decided or change.is_material is None
    ]
    for change_document in change_documents:
        if change_document["material"] is None:
            _add_later_changes(change_document, archive, filing_by_name[change_document["filing"]], session.config)
    console = session.console
    if as_json:
        console.print_json(change_documents)
        return
    if not change_documents:
        console.info("No changes await a decision.")
    for change_document in change_documents:
        _print_change(console, change_document)


def _change_to_dict(change: ChangeQuestion, decision_deadline: Deadline | None) -> dict[str, Any]:
    """Convert a change to a dict for ``--json``, whose keys must never change; days are ISO 8601.

    ``material`` is the decision: True, False, or None while the change is undecided.  ``decision_deadline`` is
    None if the filing ended before anybody decided.
    """
    return {
        "number": change.number,
        "filing": change.filing,
        "since": change.last_submission,
        "first": change.first_changed_on.isoformat(),
        "kinds": list(change.change_kinds),
        "materials": list(change.changed_materials),
        "signal": change.releases or None,
        "due": None if decision_deadline is None else decision_deadline.due_on.isoformat(),
        "material": change.is_material,
        "reason": change.reason or None,
        "decided_on": change.decided_on.isoformat() if change.decided_on else None,
        "by": change.decided_by or None,
    }


def _add_later_changes(change_document: dict[str, Any], archive: Archive, filing: Filing, config: Config) -> None:
    """Add the materials and kinds that changed after the recording to the dict of an undecided change.

    A filing has at most one undecided change, so the decision covers these later changes as well.
    """
    from archiver.filings.change_detection import detect_change

    current_change = detect_change(archive, filing, config)
    if current_change is not None:
        change_document["materials"] = list(current_change.changed_materials)
        change_document["kinds"] = sorted({*change_document["kinds"], *current_change.change_kinds})


def _print_change(console: Console, change_document: dict[str, Any]) -> None:
    """Print a dict from :func:`_change_to_dict` for people, with at most ``_MAX_PRINTED_PATHS`` paths."""
    from archiver.filings.code_names import CHANGE_KIND_NAMES, name_for_code

    console.info(
        "Change {number} of {filing} since {since}: first found on {first}, decision due {due}"
        if change_document["due"]
        else "Change {number} of {filing} since {since}: first found on {first}, no decision due",
        **{key: change_document[key] for key in ("number", "filing", "since", "first", "due")},
    )
    kind_names = console.join(
        console.translate(name_for_code(kind, CHANGE_KIND_NAMES)) for kind in change_document["kinds"]
    )
    if kind_names:
        console.info("  Affects: {kinds}", kinds=kind_names)
    if change_document["signal"]:
        console.info("  New release: {signal}", signal=change_document["signal"])
    for path in change_document["materials"][:_MAX_PRINTED_PATHS]:
        console.print_line(f"  {path}")
    if len(change_document["materials"]) > _MAX_PRINTED_PATHS:
        console.info("  and {count} more", count=len(change_document["materials"]) - _MAX_PRINTED_PATHS)
    if change_document["decided_on"]:
        console.info(
            "  Decided on {on} by {by}: {decision} ({reason})",
            on=change_document["decided_on"],
            by=change_document["by"],
            decision=LazyMessage("material") if change_document["material"] else LazyMessage("not material"),
            reason=change_document["reason"],
        )


@command(
    "Record whether change N of archiver change list is material, that is, whether a change submission is "
    "required."
)
@click.argument("number", type=int, metavar="N")
@click.option(
    "--material",
    type=NamedChoice(_DECISION_NAMES),
    required=True,
    help=(
        "Whether the change is material; yes: the filed information has changed, and a change submission is "
        "required."
    ),
)
@click.option("--reason", type=RecordedText(), required=True, help="Reason, recorded in the journal.")
@reported_by_option("Person who decided, recorded in addition to the login name.")
def _decide_change(session: Session, number: int, material: str, reason: str, reported_by: str | None) -> None:
    """Journal the decision on a change, and print the consequence.

    Raises NotFoundError for an unknown change, UsageError for a change that was already decided.
    """
    from archiver.actions.filing_actions import DecideChange

    is_material = material == "yes"
    decided_change = session.perform(
        DecideChange(change_number=number, is_material=is_material, reason=reason, reported_by=reported_by)
    )
    if is_material:
        session.console.info(
            "Change {number} is material: {filing} requires a change submission. To see the deadline, run: "
            "archiver deadlines",
            number=number,
            filing=decided_change["filing"],
        )
    else:
        session.console.info("Change {number} is not material. The reason was recorded.", number=number)


for _name, _command in (("list", _list_changes), ("decide", _decide_change)):
    change_command.add_command(_command, _name)
