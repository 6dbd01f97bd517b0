"""``archiver unrestrict``."""

from __future__ import annotations

import click

from archiver.cli.parameters import ObjectName, RecordedText, json_option, reported_by_option
from archiver.cli.session import Session, command


@command("End the restriction of files: inspection packages and the replica contain them again.")
@click.argument("files", type=ObjectName(), nargs=-1, required=True, metavar="TAG:PATH...")
@click.option("--reason", type=RecordedText(), required=True, help="Reason, recorded in the journal.")
@reported_by_option("Person who requested the end of the restriction, recorded in addition to the login name.")
@json_option
def unrestrict_command(
    session: Session, files: tuple[str, ...], reason: str, reported_by: str | None, as_json: bool
) -> None:
    """End the restrictions of ``files``, and print a line for each file.

    Raises NotFoundError for an unknown version or file, and for a file that is not restricted.
    """
    from archiver.actions.restriction_actions import UnrestrictFiles

    result = session.perform(UnrestrictFiles(files=files, reason=reason, reported_by=reported_by))
    if as_json:
        session.console.print_json(result)
        return
    for released_file in result["files"]:
        session.console.info(
            "{path} of {filing} is no longer restricted.",
            path=released_file["path"],
            filing=released_file["filing"],
        )
        if released_file["is_closed"]:
            session.console.warn(
                "The reading group still cannot read the content of {path}, because its permissions cannot be "
                "changed.",
                path=released_file["path"],
            )
