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

    The old key vouches for the new key, because the old key signs the head of the batch that names the new key.
    With ``is_old_key_lost``, the new key signs this head itself, so only the next witness line vouches for the new
    key.  An archive of the old format 1 is then upgraded in the same batch.

    Survives a crash: as soon as the event is journalled, recovery installs the new key.  Until then, the old key
    stays in use.

    Waits up to ``lock_timeout`` seconds for the archive's lock.  Raises UsageError if ``reason`` is blank or
    cannot be recorded, StorageError if the journal is missing, the old key cannot sign or the archive cannot be
    written, ConfigError if the archive has a format that this release does not write, and Busy if another process
    still holds the lock.  The old key stays in use in all these cases.
    """
    names.check_reason(reason)
    reason = names.clean_typed_text(reason, "reason")
    with archive.writing(lock_timeout) as writer:
        newest_event = archive.journal.newest_event()
        if newest_event is None:
            raise StorageError(
                "The journal is missing. Nothing was changed. To verify the archive, run: archiver verify"
            )
        # The ordinary upgrade needs the old key to sign. So an archive of format 1 that has lost its key could not
        # be upgraded, and only an archive of the newest format can be written to.
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
            # The reason is in a separate event, because every inspection package contains the event with the key,
            # which must not have any text that a person typed.
            Draft("key", KeyReasonGiven(reason=reason)),
            Draft("key", event_class(public=public_key), {SIGNERS_FILE: io.BytesIO(allowed_signers)}),
        ]
        head_rule = HeadRule.NEXT_KEY if is_old_key_lost else HeadRule.REQUIRED
        event = writer.write_batch(drafts, head_rule=head_rule)[-1]
        # A crash here leaves a journal that names a key which is not installed yet. Recovery installs it.
        keys.install_next_key(archive.keys_folder, allowed_signers)
    return event


def back_up_signing_key(archive: Archive, target: Path, lock_timeout: float) -> None:
    """Copy the signing key and the list of allowed signers to ``target``, and journal that a copy exists.

    The folder ``target`` is created if it is missing.  Only the user of this process may read the copies.

    Waits up to ``lock_timeout`` seconds for the archive's lock.  Raises StorageError if ``target`` already has a
    copy, or if the copy or the archive cannot be written; ConfigError if the archive has a format that this
    release does not write; Busy if another process still holds the lock.  After Busy, the copy exists, but is not
    journalled.
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
