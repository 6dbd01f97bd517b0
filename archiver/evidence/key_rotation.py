"""Replace or back up the signing key of an archive."""

from __future__ import annotations

import io
from pathlib import Path

from archiver.errors import StorageError
from archiver.model import Event
from archiver.store import keys, names
from archiver.store.archive import Archive
from archiver.store.events.archive_events import KeyBackedUp, KeyReasonGiven, KeyReplaced, KeyRotated
from archiver.store.events.attached_files import SIGNERS_FILE
from archiver.store.writing.drafts import Draft
from archiver.store.writing.upgrade import draft_upgrade
from archiver.store.writing.writer import HeadRule


def replace_signing_key(archive: Archive, reason: str, *, is_old_key_lost: bool, lock_timeout: float) -> Event:
    """Replace the signing key with a new one, and return the journalled event.  Old signatures stay valid.

    A lost key is also replaced in an archive of format 1, which is upgraded together with it.

    The old key endorses the new one: it signs the head of this event.  With ``is_old_key_lost`` the new key signs
    it, and only the next witness line vouches for the new key.

    Survives a crash: after the event is journalled, recovery installs the key that the event names.  Before that,
    the old key stays in use.

    Waits up to ``lock_timeout`` seconds for the archive's lock.  Raises UsageError if ``reason`` is blank or
    cannot be recorded, StorageError if the journal is missing, the old key cannot sign or the archive cannot be
    written, and Busy if the lock is still held.  The old key stays in use then.
    """
    names.check_reason(reason)
    reason = names.clean_typed_text(reason, "reason")
    with archive.writing(lock_timeout) as writer:
        newest_event = archive.journal.newest_event()
        if newest_event is None:
            raise StorageError(
                "The journal is missing. Nothing was changed. To verify the archive, run: archiver verify"
            )
        # With the key of an archive of format 1 lost, nothing else could upgrade it.
        upgrade_drafts = draft_upgrade(archive) if is_old_key_lost else []
        if not upgrade_drafts:
            archive.check_writable()
        earlier_signers = archive.journalled_signers()
        if upgrade_drafts:
            earlier_signers = keys.allow_heads(earlier_signers)
        allowed_signers = keys.prepare_next_key(archive.keys_folder, earlier_signers)
        # The new key is the last line of the file. Every earlier key stays listed for its old signatures.
        public_key = allowed_signers.splitlines()[-1].decode("ascii")
        event_class = KeyReplaced if is_old_key_lost else KeyRotated
        drafts = [
            *upgrade_drafts,
            # The event of the key is in every package, so that the reason has one of its own.
            Draft("key", KeyReasonGiven(reason=reason)),
            Draft("key", event_class(public=public_key), {SIGNERS_FILE: io.BytesIO(allowed_signers)}),
        ]
        head_rule = HeadRule.NEXT_KEY if is_old_key_lost else HeadRule.REQUIRED
        event = writer.write_batch(drafts, head_rule=head_rule)[-1]
        # A crash here leaves a journal that names a key which is not installed yet. Recovery installs it.
        keys.install_next_key(archive.keys_folder, allowed_signers)
    return event


def back_up_signing_key(archive: Archive, target: Path, lock_timeout: float) -> None:
    """Copy the signing key to the new folder ``target``, and journal that a copy exists.

    Waits up to ``lock_timeout`` seconds for the archive's lock.  Raises StorageError if the copy or the archive
    cannot be written, ConfigError for an archive of another format, Busy if the lock is still held.  After Busy
    the copy exists, but is not journalled.
    """
    archive.check_writable()
    try:
        keys.copy_keys(archive.keys_folder, target)
    except OSError as error:
        raise StorageError(
            "Cannot copy the signing key to {path} ({reason}). Nothing was changed. Choose a new folder.",
            path=target,
            reason=error.strerror,
        ) from None
    with archive.writing(lock_timeout) as writer:
        writer.append(Draft("key", KeyBackedUp(target=names.name_as_text(bytes(target.absolute())))))
