"""Turn a mirror clone of an archive into an archive: after a disaster, or on another machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from archiver.errors import StorageError
from archiver.model import Event, Promises
from archiver.path_existence import is_plain_file, is_there
from archiver.store import keys, permissions
from archiver.store.archive import Archive
from archiver.store.creation import new_archive
from archiver.store.creation.filesystem_abilities import check_filesystem
from archiver.store.creation.first_events import draft_promises
from archiver.store.events.archive_events import ArchiveAdopted, RetentionPromised
from archiver.store.fsync import sync_filesystem
from archiver.store.git import hooks, repository_format
from archiver.store.git.repository import JOURNAL, Repository
from archiver.store.writing.drafts import Draft
from archiver.store.writing.upgrade import draft_upgrade

#: Entries that an adoption adds to the clone and the keys.
_ENTRIES_OF_COMPLETE_ARCHIVE = ("index.db", "lock", "spool")
#: Nobody may write to a content object.
_CONTENT_MODE = 0o444
#: Returns the retention to promise with an adoption, given the promises in the journal of the clone.
PromiseFinder = Callable[[Promises], Sequence[RetentionPromised]]


def adopt(root: Path, adoption: ArchiveAdopted, find_promises: PromiseFinder) -> Archive:
    """Turn the mirror clone and the keys in ``root`` into an archive; return the archive, for the caller to close.

    The clone is changed in place.  An event with the details ``adoption`` is journalled, in one batch with the
    retention that ``find_promises`` returns.  The content and the history of the clone are not checked: ``verify``
    does that afterwards.  After a crash, the workspace folder marks the archive as unfinished, and another call
    with the same details completes the work.

    Raises StorageError if the clone or the keys are missing or cannot be used, or if the filesystem cannot keep an
    archive; the clone is unchanged then.
    """
    with permissions.archive_umask():
        return _adopt_clone(root, adoption, find_promises)


def is_adoption_complete(root: Path, adoption: ArchiveAdopted) -> bool:
    """Return True if ``root`` is a complete archive whose journal has an event with the details ``adoption``.

    Raises the errors of :class:`Archive` and :meth:`Journal.events_since`.
    """
    if new_archive.is_unfinished(root) or not all(is_there(root / name) for name in _ENTRIES_OF_COMPLETE_ARCHIVE):
        return False
    with closing(Archive(root)) as archive:
        return any(_journals_adoption(event, adoption) for event in archive.journal.events_since(None))


def _adopt_clone(root: Path, adoption: ArchiveAdopted, find_promises: PromiseFinder) -> Archive:
    """Adopt the clone as :func:`adopt` describes.  The caller has set the umask for an archive."""
    _check_clone(root)
    workspace = root / new_archive.WORKSPACE
    check_filesystem(workspace, root)
    # From here on, the workspace marks the archive as unfinished.
    workspace.mkdir(mode=0o700, exist_ok=True)
    _prepare_clone(root)
    archive = Archive(root)
    archive.reindex()
    newest_event = archive.journal.newest_event()
    # After a crash between the event and the end of the adoption, the journal already has the event.
    if newest_event is None or not _journals_adoption(newest_event, adoption):
        with archive.writing(0) as writer:
            # The adoption is the last event, so that a repeated call finds it as the newest event of the journal.
            promise_drafts = draft_promises(find_promises(archive.index.retention_promises()))
            writer.write_batch([*draft_upgrade(archive), *promise_drafts, Draft("archive", adoption)])
    # An upgrade has journalled another list of keys.  A repeated call gets here too, after a crash at this point.
    keys.write_signers(archive.keys_folder, archive.journalled_signers())
    shutil.rmtree(workspace)
    sync_filesystem(root)
    return archive


def _check_clone(root: Path) -> None:
    """Raise StorageError if the clone or the keys in ``root`` are missing or cannot be used.  Changes nothing."""
    repository_path = root / "archive.git"
    for required_file in (
        repository_path / "HEAD",
        root / "keys" / "signing_key",
        root / "keys" / "allowed_signers",
    ):
        if not is_plain_file(required_file):
            raise _missing_file_error(required_file)
    _check_clone_format(repository_path)
    if not _has_journal(repository_path):
        raise _missing_file_error(repository_path / JOURNAL)
    if outside_files := hooks.redirections(repository_path):
        raise StorageError(
            "{path} makes the clone depend on files outside it. Nothing was changed. Clone again without "
            "--shared and --reference.",
            path=repository_path / outside_files[0],
        )


def _prepare_clone(root: Path) -> None:
    """Give the clone the settings, modes and folders of an archive.  Safe to repeat after a crash.

    Raises OSError if a file cannot be changed.
    """
    repository_path = root / "archive.git"
    # Replace the clone's settings before the first git command: git obeys them, and they may be harmful.
    Repository(repository_path).install_hooks()
    _make_read_only(repository_path / "lfs" / "objects")
    shutil.rmtree(repository_path / "lfs" / "tmp", ignore_errors=True)
    permissions.set_access_for_group(root, None)
    (root / "spool").mkdir(exist_ok=True)


def _journals_adoption(event: Event, adoption: ArchiveAdopted) -> bool:
    """Return True if ``event`` is an adoption with the details ``adoption``."""
    return event.action == adoption.action and event.details == adoption.to_details()


def _check_clone_format(repository_path: Path) -> None:
    """Raise StorageError if data would be lost when an archive's settings replace those of the clone.

    The settings are read as text, because git must not obey them yet.
    """
    settings = repository_format.read_settings(repository_path)
    unusual_settings = [*repository_format.oddities(repository_path, settings)]
    if "extensions.refstorage=reftable" in unusual_settings:
        raise repository_format.reftable_problem(repository_path)
    if repository_format.is_partial(settings) or is_there(repository_path / "shallow", follow_links=False):
        raise StorageError(
            "The clone {path} is incomplete: made with --filter or --depth. Nothing was changed. Clone again "
            "without these options, from the archive or another clone.",
            path=repository_path,
        )
    if unusual_settings:
        raise StorageError(
            "The clone {path} has a format that an archive cannot use ({format}). Nothing was changed. Clone "
            "again from the archive, or from another clone of it.",
            path=repository_path,
            format=", ".join(unusual_settings),
        )


def _has_journal(repository_path: Path) -> bool:
    """Return True if the clone has the journal's ref, in a separate file or among the packed refs.

    The files are read without git, which would obey the settings of the clone.
    """
    if is_plain_file(repository_path / JOURNAL):
        return True
    try:
        return f" {JOURNAL}\n".encode() in (repository_path / "packed-refs").read_bytes()
    except OSError:
        # Git creates the file when it first packs refs. Without a readable file, no ref counts as packed.
        return False


def _make_read_only(objects_folder: Path) -> None:
    """Make every content object below ``objects_folder`` read-only.  Raises OSError if a mode cannot be set."""
    for folder, _, object_names in os.walk(objects_folder):
        for object_name in object_names:
            Path(folder, object_name).chmod(_CONTENT_MODE)


def _missing_file_error(path: Path) -> StorageError:
    """Return the error about ``path``, a missing file that a clone needs to become an archive."""
    return StorageError(
        "{path} does not exist. Nothing was changed. A clone to be adopted needs the repository in "
        "DIR/archive.git, the objects in DIR/archive.git/lfs/objects, and the keys in DIR/keys. To clone the "
        "repository, run: git -c init.defaultRefFormat=files clone --mirror ARCHIVE/archive.git DIR/archive.git",
        path=path,
    )
