"""``archiver hold``."""

from __future__ import annotations

import click

from archiver.cli.parameters import ObjectName, RecordedText, json_option, reported_by_option
from archiver.cli.session import Session, command, command_group
from archiver.errors import LazyMessage

hold_command = command_group("Manage holds, which block disposal regardless of date.")


@command("Place a hold, which blocks disposal until it is lifted.")
@click.argument("hold_name", type=RecordedText(), metavar="NAME")
@click.argument("target", type=ObjectName(), metavar="FILING|FILING/SUBMISSION|TAG")
@click.option("--reason", type=RecordedText(), required=True, help="Reason, recorded in the journal.")
@reported_by_option("Person who requested the hold, recorded in addition to the login name.")
def _place_hold(session: Session, hold_name: str, target: str, reason: str, reported_by: str | None) -> None:
    from archiver.actions.hold_actions import PlaceHold

    placed_hold = session.perform(
        PlaceHold(hold_name=hold_name, held_object_name=target, reason=reason, reported_by=reported_by)
    )
    session.console.info("Placed hold {name} on {object}.", object=placed_hold["object"], name=hold_name)


@command("Lift a hold from one target or from all its targets.")
@click.argument("hold_name", type=RecordedText(), metavar="NAME")
@click.argument("target", type=ObjectName(), required=False, metavar="[FILING|FILING/SUBMISSION|TAG]")
@click.option("--reason", type=RecordedText(), required=True, help="Reason, recorded in the journal.")
@reported_by_option("Person who decided to lift the hold, recorded in addition to the login name.")
def _lift_hold(session: Session, hold_name: str, target: str | None, reason: str, reported_by: str | None) -> None:
    from archiver.actions.hold_actions import LiftHold

    lifted_hold = session.perform(
        LiftHold(hold_name=hold_name, held_object_name=target, reason=reason, reported_by=reported_by)
    )
    for object_name in lifted_hold["objects"]:
        session.console.info("Lifted hold {name} from {object}.", object=object_name, name=hold_name)


@command("List the holds in force.")
@json_option
@click.option("--all", "includes_lifted", is_flag=True, help="Include lifted holds.")
def _list_holds(session: Session, as_json: bool, includes_lifted: bool) -> None:
    """Print the holds in force and, with ``includes_lifted``, the lifted holds as well."""
    holds = session.open_archive().index.holds(include_lifted=includes_lifted)
    console = session.console
    if as_json:
        json_keys = ("name", "object", "reason", "by", "user", "placed", "lifted", "lift_reason")
        console.print_json([{json_key: getattr(hold, json_key) for json_key in json_keys} for hold in holds])
        return
    if not holds:
        console.info("There are no holds.")
        return
    hold_rows = [
        (
            hold.name,
            hold.object,
            session.format_time(hold.placed),
            hold.by or hold.user,
            hold.reason,
            session.format_time(hold.lifted) if hold.lifted else "-",
        )
        for hold in holds
    ]
    console.print_table(
        (
            LazyMessage("Hold"),
            LazyMessage("Target"),
            LazyMessage("Since"),
            LazyMessage("Placed by"),
            LazyMessage("Reason"),
            LazyMessage("Lifted"),
        ),
        hold_rows,
    )


for _name, _command in (("place", _place_hold), ("lift", _lift_hold), ("list", _list_holds)):
    hold_command.add_command(_command, _name)
