"""Create an archive with its key and its first events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from archiver.store import keys, permissions
from archiver.store.archive import Archive
from archiver.store.creation import new_archive
from archiver.store.creation.first_events import draft_first_events
from archiver.store.events.archive_events import ArchiveCreated, RetentionPromised
from archiver.store.git.repository import Repository
from archiver.store.writing.writer import HeadRule


def create_archive(
    root: Path,
    created: ArchiveCreated,
    attachments: Mapping[str, bytes] | None = None,
    promised: Sequence[RetentionPromised] = (),
) -> Archive:
    """Create an archive at ``root``, with a signing key and its first events; the caller closes the archive.

    ``created`` are the details of the first event, and ``attachments`` the bytes of its attachments by name.
    ``promised`` are further promises of retention, each journalled as a separate event.

    Raises the errors of :func:`new_archive.create_in_workspace`, and StorageError if git fails or the events
    cannot be written.  Everything that was created is removed then.
    """
    with permissions.archive_umask(), new_archive.create_in_workspace(root) as new_folder:
        new_root = new_folder.folder
        (new_root / "spool").mkdir()
        keys.create_keys(new_root / "keys")
        Repository.create(new_root / "archive.git").close()
        with (
            closing(Archive(new_root, is_new=True)) as archive,
            archive.writing(0) as writer,
            open(new_root / "keys" / "allowed_signers", "rb") as signers,
        ):
            drafts = draft_first_events(created, signers, attachments or {}, promised)
            writer.write_batch(drafts, head_rule=HeadRule.REQUIRED)
        new_folder.put_in_place()
        return Archive(root)
