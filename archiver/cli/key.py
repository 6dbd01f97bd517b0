"""``archiver key``."""

from __future__ import annotations

from pathlib import Path

import click

from archiver.cli.parameters import RecordedText
from archiver.cli.session import Session, command, command_group

key_command = command_group("Manage the signing key; only the archive owner can change the key.")


@command("Rotate the signing key: create a new key, signed by the old key.")
@click.option("--reason", type=RecordedText(), required=True, help="Reason, recorded in the journal.")
def _rotate_key(session: Session, reason: str) -> None:
    _replace_signing_key(session, reason, is_old_key_lost=False)


@command("Replace a lost signing key.")
@click.option(
    "--reason", type=RecordedText(), required=True, help="How the old key was lost, recorded in the journal."
)
def _replace_key(session: Session, reason: str) -> None:
    _replace_signing_key(session, reason, is_old_key_lost=True)


def _replace_signing_key(session: Session, reason: str, *, is_old_key_lost: bool) -> None:
    """Replace the signing key, sign a checkpoint with the new key, and print the witness line.

    The old key signs the new key.  With ``is_old_key_lost``, no such signature is possible, and only the witness
    line, which people keep outside of the archive, can prove the new key.  The reason is journalled.

    Raises StorageError if the caller does not own the archive, and UsageError if the old key contradicts
    ``is_old_key_lost``.
    """
    from archiver.evidence.checkpoint import make_checkpoint, make_witness
    from archiver.evidence.key_rotation import replace_signing_key

    archive = session.open_archive()
    replace_signing_key(archive, reason, is_old_key_lost=is_old_key_lost, lock_timeout=session.lock_timeout)
    console = session.console
    console.info("The new key now signs. Signatures by the old key remain valid.")
    console.info("To back up the key, run: archiver key backup --to DIR")
    console.info("Store this line where no archive user can change it. The line is the proof of the new key.")
    checkpoint = make_checkpoint(archive, session.lock_timeout)
    console.print_line(str(make_witness(archive, checkpoint)))


@command("Back up the signing key; clones of the archive do not contain it.")
@click.option(
    "--to", "target", required=True, metavar="DIR", help=("New folder, on a medium that is kept in a safe place.")
)
def _back_up_key(session: Session, target: str) -> None:
    from archiver.evidence.key_rotation import back_up_signing_key
    from archiver.restore.restoration import check_target_is_outside

    target_folder = Path(target)
    check_target_is_outside(target_folder, session.config.watch, session.config.archive)
    back_up_signing_key(session.open_archive(), target_folder, session.lock_timeout)
    session.console.info(
        "Copied the key to {path}. Anyone who has the copy can sign as this archive. Keep the copy in a safe "
        "place.",
        path=target_folder,
    )


@command("List the keys, oldest first; the last key signs.")
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
