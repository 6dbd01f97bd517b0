"""``archiver watch``."""

from __future__ import annotations

import click

from archiver.cli.parameters import RecordedText, json_option, reported_by_option
from archiver.cli.session import Session, command, command_group

watch_command = command_group("Manage the watched folder.")


@command("Accept the watched folder as it is: another folder in its place, or missing files.")
@click.option("--reason", type=RecordedText(), required=True, help="Reason, recorded in the journal.")
@reported_by_option("Person who accepted the folder, recorded in addition to the login name.")
@json_option
def _accept_folder(session: Session, reason: str, reported_by: str | None, as_json: bool) -> None:
    """Accept the folder at ``watch.path``; raises StorageError for a missing folder."""
    from archiver.actions.watch_actions import AcceptFolder

    result = session.perform(AcceptFolder(reason=reason, reported_by=reported_by))
    if as_json:
        session.console.print_json(result)
    elif result["accepted"] is None:
        session.console.info(
            "Recorded that the watched folder {path} is right. No files will be captured as deleted because of "
            "this.",
            path=session.config.watch,
        )
    else:
        session.console.info(
            "Accepted the watched folder {path} as it is. Files that are missing from it will be captured as "
            "deleted; their archived versions are retained.",
            path=session.config.watch,
        )


watch_command.add_command(_accept_folder, "accept")
