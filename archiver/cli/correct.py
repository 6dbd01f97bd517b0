"""``archiver correct``."""

from __future__ import annotations

from typing import Any

import click

from archiver.cli.correction_text import describe_changes
from archiver.cli.parameters import RecordedText, json_option, reported_by_option
from archiver.cli.session import Session, command
from archiver.errors import UsageError


@command("Correct or void a record of a filing; the journal keeps both.")
@click.argument("event_number", type=int, metavar="EVENT")
@click.option(
    "--set",
    "assignments",
    type=RecordedText(),
    multiple=True,
    metavar="FIELD=VALUE",
    help="Field and correct value, as archiver log --records lists them; repeatable.",
)
@click.option("--void", "is_void", is_flag=True, help="Void the whole record: it never applied.")
@click.option("--reason", type=RecordedText(), required=True, help="Reason, recorded in the journal.")
@reported_by_option("Name of the person reporting this, recorded in addition to the login name.")
@json_option
def correct_command(
    session: Session,
    event_number: int,
    assignments: tuple[str, ...],
    is_void: bool,
    reason: str,
    reported_by: str | None,
    as_json: bool,
) -> None:
    """Correct or void the record of the event ``event_number``, and print the correction.

    Raises NotFoundError if the event does not exist, and UsageError if the event cannot be corrected, or if a
    field or a value is not possible for it.
    """
    from archiver.actions.correction_actions import CorrectRecord

    correction = session.perform(
        CorrectRecord(
            seq=event_number,
            typed_values=_split_assignments(assignments),
            is_void=is_void,
            reason=reason,
            reported_by=reported_by,
        )
    )
    console = session.console
    if as_json:
        console.print_json(correction)
    elif correction["void"]:
        console.info(
            "Event {corrects} of {filing} is void. Its content stays in the journal, and retention still counts "
            "from it where it did.",
            corrects=correction["corrects"],
            filing=correction["filing"],
        )
    else:
        changes = [(change["field"], change["old"], change["new"]) for change in correction["changes"]]
        console.info(
            "Corrected event {corrects} of {filing}: {changes}",
            corrects=correction["corrects"],
            filing=correction["filing"],
            changes=describe_changes(console, changes),
        )


def _split_assignments(assignments: tuple[str, ...]) -> dict[str, Any]:
    """Split each FIELD=VALUE, and return the typed values by field.

    A field that was typed several times has a list of values.  Raises UsageError for a text without a field or
    without an equals sign.
    """
    values_by_field: dict[str, list[str]] = {}
    for assignment in assignments:
        field_name, separator, value = assignment.partition("=")
        if not separator or not field_name.strip():
            raise UsageError(
                "{text} is not FIELD=VALUE. Nothing was changed. To see the fields, run: archiver log --records",
                text=assignment,
            )
        values_by_field.setdefault(field_name.strip(), []).append(value.strip())
    return {name: values if len(values) > 1 else values[0] for name, values in values_by_field.items()}
