"""``archiver drill``."""

from __future__ import annotations

import click

from archiver.cli.parameters import json_option
from archiver.cli.session import Session, command
from archiver.restore.drill import DEFAULT_FILE_COUNT


@command("Rehearse a restore: a random sample, to a scratch folder, compared and journalled.")
@click.option(
    "--files",
    type=click.IntRange(1, 100_000),
    default=DEFAULT_FILE_COUNT,
    show_default=True,
    help="At most so many.",
)
@json_option
def drill_command(session: Session, files: int, as_json: bool) -> None:
    from archiver.actions.maintenance_actions import RehearseRestore

    result = session.perform(RehearseRestore(file_count=files))
    if as_json:
        session.console.print_json(result)
        return
    session.console.info(
        "Restored {files} materials of {versions} versions to a scratch folder, {bytes} bytes: every one is as it "
        "was archived.",
        files=result["files"],
        versions=len(result["versions"]),
        bytes=result["bytes"],
    )
