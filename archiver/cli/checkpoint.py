"""``archiver checkpoint``: sign the journal, and print the witness line.

A *witness line* is one line of text that people keep outside of the archive. With the line they can prove later
that the history before the checkpoint is unchanged.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from archiver.cli.session import Session, command
from archiver.errors import StorageError, UsageError

#: The width in pixels of a module, which is a small square of a QR code.
_PIXELS_PER_MODULE = 4


@command("Sign the archive's current state, and print a witness line that proves it later.")
@click.option("--print", "only_print", is_flag=True, help="Print only the witness line.")
@click.option(
    "--qr", "picture_path", metavar="FILE", help=("File for a QR code of the witness line (.png or .svg).")
)
def checkpoint_command(session: Session, only_print: bool, picture_path: str | None) -> None:
    """Sign a checkpoint, print the witness line, and write its QR code or show the code on a terminal.

    With ``only_print``, only the line is printed, for scripts.  Raises UsageError for a picture of another type,
    before anything is signed.
    """
    if picture_path is not None and Path(picture_path).suffix not in (".png", ".svg"):
        raise UsageError(
            ("The QR code file {path} does not end in .png or .svg. Nothing was recorded. Correct --qr."),
            path=picture_path,
        )
    from archiver.actions.checkpoint_actions import MakeCheckpoint

    checkpoint_result = session.perform(MakeCheckpoint())
    witness_line = checkpoint_result["line"]
    console = session.console
    if only_print:
        console.print_line(witness_line)
    else:
        console.info("Signed. Store this line where no archive user can change it:")
        console.print_line(witness_line)
        console.info("To prove later that history is unchanged, run: archiver verify --since LINE")
    if checkpoint_result["proven"] and not only_print:
        console.info("Timestamp: {at}", at=session.format_time(checkpoint_result["proven"]))
    if checkpoint_result["problem"]:
        console.warn("{text}", text=checkpoint_result["problem"])
    if picture_path is not None:
        _write_qr_code(witness_line, picture_path)
    elif not only_print and sys.stdout.isatty():
        import segno

        segno.make(witness_line).terminal(compact=True)


def _write_qr_code(witness_line: str, picture_path: str) -> None:
    """Write the witness line as a QR code, in the format of the suffix of ``picture_path`` (.png or .svg).

    Raises StorageError if the file cannot be written.
    """
    import segno

    try:
        # Level M tolerates damage to about 15 percent of a printed code.
        segno.make(witness_line, error="m").save(picture_path, scale=_PIXELS_PER_MODULE)
    except OSError as error:
        raise StorageError(
            "Cannot write the QR code to {path} ({reason}). The checkpoint was signed, and its witness line is "
            "printed above. Store that line.",
            path=picture_path,
            reason=error.strerror,
        ) from None
