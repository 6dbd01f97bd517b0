"""Another signing key: in good time, or because the old one is lost."""

from __future__ import annotations

import io
from pathlib import Path

from archiver.errors import StorageProblem, UsageProblem
from archiver.model import CHECKPOINTS, Event
from archiver.store import keys, names
from archiver.store.archive import Archive
from archiver.store.events.archive_events import KeyBackedUp, KeyReplaced, KeyRotated
from archiver.store.events.attached_files import SIGNERS_FILE
from archiver.store.writer import Draft


def change_key(archive: Archive, reason: str, lost: bool, wait_seconds: float) -> Event:
    """Put a new key into force; what the old one signed is still checked by it.

    The old key endorses the new one with a signed tag.  Where it is ``lost``,
    only the journal and the next witness line vouch for the new one.  Raises
    UsageProblem without a reason, StorageProblem where the old key cannot sign.
    """
    if not reason.strip():
        raise UsageProblem("A reason is needed, for whoever reads this in three years. Nothing was changed.")
    reason = names.typed(reason, "reason")
    with archive.writing(wait_seconds) as writer:
        head = archive.journal.head()
        if head is None:
            raise StorageProblem("The journal is missing. Nothing was changed. Run archiver verify.")
        signers = keys.prepare(archive.keys, archive.signers())
        name = f"{CHECKPOINTS}/key-{head.seq + 1}"
        public = signers.splitlines()[-1].decode("ascii")
        changed = KeyReplaced if lost else KeyRotated
        draft = Draft(
            name if not lost else "key",
            changed(public=public, reason=reason),
            {SIGNERS_FILE: io.BytesIO(signers)},
        )
        message = f"the next key is\n\n{public}\n"
        event = writer.append(draft, None if lost else (name, head.commit, message))
        # Crash window: the journal names a key that is not in its place yet; recovery puts it there.
        keys.install(archive.keys, signers)
    return event


def back_up_key(archive: Archive, target: Path, wait_seconds: float) -> None:
    """Copy the key to a new folder, and journal that there is a copy; raises StorageProblem."""
    try:
        keys.copy(archive.keys, target)
    except OSError as error:
        raise StorageProblem(
            "The key cannot be copied to {path} ({reason}). Nothing was changed. Choose a new folder.",
            path=target,
            reason=error.strerror,
        ) from None
    with archive.writing(wait_seconds) as writer:
        writer.append(Draft("key", KeyBackedUp(target=names.text(bytes(target.absolute())))))
