"""``archiver drill``."""

from __future__ import annotations

import click

from archiver.cli.parameters import json_option
from archiver.cli.session import Session, command
from archiver.restore.drill import DEFAULT_FILE_COUNT


@command("Run a restore drill: restore a random sample to a scratch folder, compare it, and record the result.")
@click.option(
    "--files",
    "file_count",
    type=click.IntRange(1, 100_000),
    default=DEFAULT_FILE_COUNT,
    show_default=True,
    metavar="N",
    help="Maximum number of files to restore.",
)
@json_option
def drill_command(session: Session, file_count: int, as_json: bool) -> None:
    """Restore a random sample of at most ``file_count`` files, compare the sample, and print the result.

    The scratch folder is removed afterwards.  Raises StorageError if a restored file differs from the archive.
    """
    from archiver.actions.maintenance_actions import RunRestoreDrill

    drill_result = session.perform(RunRestoreDrill(file_count=file_count))
    if as_json:
        session.console.print_json(drill_result)
        return
    session.console.info(
        "Restore drill passed: all restored files match the archive (files: {files}, versions: {versions}, "
        "bytes: {bytes}).",
        files=drill_result["files"],
        versions=len(drill_result["versions"]),
        bytes=drill_result["bytes"],
    )
