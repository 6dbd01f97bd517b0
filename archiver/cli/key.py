"""``archiver key``."""

from __future__ import annotations

from pathlib import Path

import click

from archiver.cli.parameters import RecordedText
from archiver.cli.session import Session, command, command_group

key_command = command_group("The signing key; only the archive's owner may change it.")


@command("Put a new key into force, endorsed by the old one.")
@click.option("--reason", type=RecordedText(), required=True, help="Why; kept with the record.")
def _rotate_key(session: Session, reason: str) -> None:
    _replace_signing_key(session, reason, is_old_key_lost=False)


@command("Put a new key into the place of one that is lost.")
@click.option(
    "--reason", type=RecordedText(), required=True, help="How the old key was lost; kept with the record."
)
def _replace_key(session: Session, reason: str) -> None:
    _replace_signing_key(session, reason, is_old_key_lost=True)


def _replace_signing_key(session: Session, reason: str, *, is_old_key_lost: bool) -> None:
    """Replace the signing key, sign a checkpoint with the new key, and print its witness line.

    Normally the old key signs the new one.  With ``is_old_key_lost`` it cannot, and only the witness line, a line
    of text that people keep outside of the archive, can vouch for the new key.  The reason is journalled.

    Raises StorageError if the caller does not own the archive, and UsageError if the old key contradicts
    ``is_old_key_lost``.
    """
    from archiver.evidence.checkpoint import make_checkpoint, make_witness
    from archiver.evidence.key_rotation import replace_signing_key

    archive = session.open_archive()
    replace_signing_key(archive, reason, is_old_key_lost=is_old_key_lost, lock_timeout=session.lock_timeout)
    console = session.console
    console.info("A new key signs from now on. What the old one signed is still checked by it.")
    console.info("Keep a copy of it: archiver key backup --to DIR")
    console.info("Keep this line where nobody of the archive can change it: it vouches for the new key.")
    console.print_line(str(make_witness(archive, make_checkpoint(archive, session.lock_timeout))))


@command("Copy the key: a clone of the archive has none.")
@click.option("--to", "target", required=True, metavar="DIR", help="A new folder, on a medium that you lock away.")
def _back_up_key(session: Session, target: str) -> None:
    from archiver.evidence.key_rotation import back_up_signing_key
    from archiver.restore.restoration import check_target_is_outside

    target_folder = Path(target)
    check_target_is_outside(target_folder, session.config.watch, session.config.archive)
    back_up_signing_key(session.open_archive(), target_folder, session.lock_timeout)
    session.console.info(
        "The key is copied to {path}. Whoever has it can sign as this archive: lock it away.", path=target_folder
    )


@command("List the keys, oldest first; the last one signs.")
def _list_keys(session: Session) -> None:
    for signer_line in session.open_archive().journalled_signers().decode("ascii").splitlines():
        session.console.print_line(signer_line)


for _name, _command in (
    ("rotate", _rotate_key),
    ("replace", _replace_key),
    ("backup", _back_up_key),
    ("list", _list_keys),
):
    key_command.add_command(_command, _name)
