"""Changing the signing key: in good time with the old key's endorsement, or after the old key was lost."""

from __future__ import annotations

import io
from pathlib import Path

from archiver.errors import StorageError, UsageError
from archiver.model import CHECKPOINTS, Event
from archiver.store import keys, names
from archiver.store.archive import Archive
from archiver.store.events.archive_events import KeyBackedUp, KeyReplaced, KeyRotated
from archiver.store.events.attached_files import SIGNERS_FILE
from archiver.store.writer import Draft


def change_key(archive: Archive, reason: str, *, is_old_key_lost: bool, lock_timeout: float) -> Event:
    """Put a new signing key into force; signatures of the old key stay valid.

    The old key endorses the new one with a signed tag. With ``is_old_key_lost`` there is no tag, and only the
    journal and the next witness line vouch for the new key.

    Survives a crash: once the event is journalled, recovery installs the key that it names. Before that, the old
    key stays in force.

    Raises UsageError without a reason, StorageError if the old key cannot sign or the archive cannot be
    written, Busy after ``lock_timeout``. The old key stays in force then.
    """
    if not reason.strip():
        raise UsageError("A reason is needed, for whoever reads this in three years. Nothing was changed.")
    reason = names.typed(reason, "reason")
    with archive.writing(lock_timeout) as writer:
        head = archive.journal.head()
        if head is None:
            raise StorageError("The journal is missing. Nothing was changed. Run archiver verify.")
        allowed_signers = keys.prepare_next_key(archive.keys, archive.signers())
        tag_name = f"{CHECKPOINTS}/key-{head.seq + 1}"
        public_key = allowed_signers.splitlines()[-1].decode("ascii")
        key_change = KeyReplaced if is_old_key_lost else KeyRotated
        draft = Draft(
            "key" if is_old_key_lost else tag_name,
            key_change(public=public_key, reason=reason),
            {SIGNERS_FILE: io.BytesIO(allowed_signers)},
        )
        tag_message = f"the next key is\n\n{public_key}\n"
        event = writer.append(draft, None if is_old_key_lost else (tag_name, head.commit, tag_message))
        # Crash window: the journal names a key that is not installed yet; recovery installs it.
        keys.install_next_key(archive.keys, allowed_signers)
    return event


def back_up_key(archive: Archive, target: Path, lock_timeout: float) -> None:
    """Copy the signing key to the new folder ``target``, and journal that a copy exists.

    Raises StorageError if the copy cannot be written, Busy after ``lock_timeout``: then the copy exists, and is
    not journalled.
    """
    try:
        keys.copy_keys(archive.keys, target)
    except OSError as error:
        raise StorageError(
            "The key cannot be copied to {path} ({reason}). Nothing was changed. Choose a new folder.",
            path=target,
            reason=error.strerror,
        ) from None
    with archive.writing(lock_timeout) as writer:
        writer.append(Draft("key", KeyBackedUp(target=names.text(bytes(target.absolute())))))
