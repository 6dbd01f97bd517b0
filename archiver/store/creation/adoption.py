"""A clone becomes an archive again: after a disaster, or on another machine."""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from pathlib import Path

from archiver.errors import StorageError
from archiver.existence import is_plain_file, is_there
from archiver.model import Event
from archiver.store import permissions
from archiver.store.archive import Archive
from archiver.store.creation import new_archive
from archiver.store.creation.filesystem_abilities import check_filesystem
from archiver.store.events.archive_events import ArchiveAdopted
from archiver.store.fsync import sync_filesystem
from archiver.store.git import hooks, repository_format
from archiver.store.git.repository import JOURNAL, Repository
from archiver.store.writer import Draft


def adopt(root: Path, adopted: ArchiveAdopted) -> Archive:
    """Make ``root``, which holds a mirror clone and its keys, an archive; journals it.

    Content and history are taken as they are: ``verify`` tells what they are worth.
    Raises StorageError where the clone or the keys are not there, or on a filesystem that cannot keep an
    archive.  The clone is changed in place: whoever
    was killed at it left a mark, and does it once more.
    """
    with permissions.masked():
        return _adopt(root, adopted)


def is_adopted(root: Path, adopted: ArchiveAdopted) -> bool:
    """Whether ``root`` was made an archive so already, and not left halfway."""
    if new_archive.is_unfinished(root) or not all(is_there(root / name) for name in ("index.db", "lock", "spool")):
        return False
    with closing(Archive(root)) as archive:
        return any(_records(event, adopted) for event in archive.journal.since(None))


def _adopt(root: Path, adopted: ArchiveAdopted) -> Archive:
    path = root / "archive.git"
    for needed in (path / "HEAD", root / "keys" / "signing_key", root / "keys" / "allowed_signers"):
        if not is_plain_file(needed):
            raise _missing(needed)
    _check_format(path)
    if not _has_journal(path):
        raise _missing(path / JOURNAL)
    if outside := hooks.redirections(path):
        raise StorageError(
            "{path} makes the clone depend on files outside of it. Nothing was changed. Clone again, without "
            "--shared and --reference.",
            path=path / outside[0],
        )
    check_filesystem(root / new_archive.WORKSPACE, root)
    (root / new_archive.WORKSPACE).mkdir(mode=0o700, exist_ok=True)
    # Before the first git: a clone has the settings of wherever it comes from.
    Repository(path).arm()
    _close_to_writing(path / "lfs" / "objects")
    shutil.rmtree(path / "lfs" / "tmp", ignore_errors=True)
    permissions.grant_access(root, None)
    (root / "spool").mkdir(exist_ok=True)
    archive = Archive(root)
    archive.reindex()
    newest = archive.journal.head()
    if newest is None or not _records(newest, adopted):
        with archive.writing(0) as writer:
            writer.append(Draft("archive", adopted))
    shutil.rmtree(root / new_archive.WORKSPACE)
    sync_filesystem(root)
    return archive


def _records(event: Event, adopted: ArchiveAdopted) -> bool:
    return event.action == adopted.action and event.details == adopted.to_details()


def _check_format(path: Path) -> None:
    """Refuse a clone that would be lost with an archive's settings in the place of its own.

    Raises StorageError.  git gets the settings as text alone: it must not obey them.
    """
    settings = repository_format.read_settings(path)
    odd = [*repository_format.oddities(path, settings)]
    if "extensions.refstorage=reftable" in odd:
        raise repository_format.reftable_problem(path)
    if repository_format.is_partial(settings) or is_there(path / "shallow", follow_links=False):
        raise StorageError(
            "The clone {path} is not whole: it was made with --filter or --depth. Nothing was changed. Clone "
            "again without them, from the archive or from another clone of it.",
            path=path,
        )
    if odd:
        raise StorageError(
            "The clone {path} is of a format that an archive cannot have ({format}). Nothing was changed. Clone "
            "again from the archive, or from another clone of it.",
            path=path,
            format=", ".join(odd),
        )


def _has_journal(path: Path) -> bool:
    """Whether the clone has the journal's ref, loose or packed; asks no git."""
    if is_plain_file(path / JOURNAL):
        return True
    try:
        return f" {JOURNAL}\n".encode() in (path / "packed-refs").read_bytes()
    except OSError:
        return False


def _close_to_writing(objects: Path) -> None:
    for folder, _, files in os.walk(objects):
        for name in files:
            Path(folder, name).chmod(0o444)


def _missing(path: Path) -> StorageError:
    return StorageError(
        "{path} is not there. Nothing was changed. A clone is taken in from DIR/archive.git, made with "
        "git -c init.defaultRefFormat=files clone --mirror, with the contents in its lfs/objects, and with its "
        "keys in DIR/keys.",
        path=path,
    )
