"""``archiver checkpoint``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from archiver.cli.session import Session, command
from archiver.errors import StorageError, UsageError


@command("Sign everything as it stands now, and give a line that proves it later.")
@click.option("--print", "only_line", is_flag=True, help="Print the witness line, to keep elsewhere.")
@click.option("--qr", "picture", metavar="FILE", help="Also write it as a QR picture (.png or .svg).")
def checkpoint_command(session: Session, only_line: bool, picture: str | None) -> None:
    if picture is not None and Path(picture).suffix not in (".png", ".svg"):
        raise UsageError("{path} must end in .png or .svg. Nothing was signed. Mend --qr.", path=picture)
    from archiver.actions.checkpoint_actions import SignArchive

    signed = session.perform(SignArchive())
    line = signed["line"]
    console = session.console
    if only_line:
        console.line(line)
    else:
        console.say("Signed. Keep this line where nobody of the archive can change it:")
        console.line(line)
        console.say("Later it proves that the archive goes on from here: archiver verify --since LINE")
    if signed["proven"] and not only_line:
        console.say("Time-stamped: {at}", at=session.format_time(signed["proven"]))
    if signed["problem"]:
        console.warn("{text}", text=signed["problem"])
    if picture is not None:
        _write_qr_code(line, picture)
    elif not only_line and sys.stdout.isatty():
        import segno

        segno.make(line).terminal(compact=True)


def _write_qr_code(line: str, picture: str) -> None:
    """Write the witness line as a picture; raises StorageError if the file cannot be written."""
    import segno

    try:
        segno.make(line, error="m").save(picture, scale=4)
    except OSError as error:
        raise StorageError(
            "{path} cannot be written ({reason}). The checkpoint was made; its line is above.",
            path=picture,
            reason=error.strerror,
        ) from None
