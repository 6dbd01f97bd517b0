"""Check a changed ``watch.path``, which may lead to the same folder, to its successor, or to another folder.

A *successor* is a folder with enough of the archived files.  Any other folder is refused: two configurations with
different folders for one archive would each record the deletion of the other's files.
"""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from archiver.config.settings import Config
from archiver.errors import ConfigError, LazyMessage
from archiver.intake.folder.access import FolderAccess
from archiver.intake.folder.child_access import PATIENCE_SECONDS, ChildAccess
from archiver.intake.folder.known_files import count_present_files, sample_archived_paths
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.events.capture_events import WatchPathChanged
from archiver.store.writing.drafts import Draft


class _FolderIdentity(NamedTuple):
    """The fields of ``stat`` that stay the same when a folder is renamed."""

    device: int
    inode: int


#: Stands for a folder that cannot be examined: no folder has this identity.
_UNKNOWN_FOLDER = _FolderIdentity(0, 0)


def check_watch_path_change(archive: Archive, config: Config, access: FolderAccess) -> Draft | None:
    """Check that the archive may watch the folder at ``watch.path``; if the path has changed, return an event.

    A folder at another path is accepted if it is the recorded folder itself, if the recorded folder no longer
    exists, or if it holds at least half of the archived paths.  Returns None if the path has not changed, or if
    the path leads to no folder yet.

    The caller writes the event to the journal.  Raises ConfigError for any other folder.
    """
    recorded_path, new_path = archive.index.watch_path, os.fsencode(config.watch)
    if recorded_path is None or recorded_path == new_path:
        return None
    try:
        new_folder = _folder_identity(new_path)
    except OSError:
        # The share hangs, or this user may not reach it.  The folder is checked once it is there.
        new_folder = None
    if new_folder is None:
        return None
    recorded_state = LazyMessage("still exists and is another folder")
    try:
        recorded_folder = _folder_identity(recorded_path)
    except OSError as error:
        # The recorded folder may still exist, so it counts as another folder.
        recorded_folder = _UNKNOWN_FOLDER
        recorded_state = LazyMessage("cannot be examined ({reason})", reason=error.strerror)
    if recorded_folder not in (None, new_folder):
        _check_successor(archive, config, access, recorded_path, recorded_state)
    return Draft(
        "watch",
        WatchPathChanged(old_path=names.name_as_text(recorded_path), new_path=names.name_as_text(new_path)),
    )


def _check_successor(
    archive: Archive, config: Config, access: FolderAccess, recorded_path: bytes, recorded_state: LazyMessage
) -> None:
    """Raise ConfigError unless the folder that ``access`` reads holds at least half of the archived files.

    Only a sample of the files is looked up.  In the message, ``recorded_state`` completes a sentence that
    begins with ``recorded_path``, the path of the folder that the archive captures at present.
    """
    present_files = count_present_files(access, list(sample_archived_paths(archive.index)))
    if present_files.are_enough:
        return
    raise ConfigError(
        "{config}: watch.path is {given}, but this archive captures {kept}, which {state}. Sampled archived "
        "files that are in the new folder: {present} of {count}. Nothing was changed. Restore watch.path. If the "
        "files have moved, rename {kept} and start again. To keep both folders, create another archive: archiver "
        "init --archive DIR --watch {folder!q}",
        config=config.source,
        given=config.watch,
        kept=names.name_as_text(recorded_path),
        state=recorded_state,
        count=present_files.sampled_count,
        present=present_files.present_count,
        folder=config.watch,
    )


def _folder_identity(path: bytes) -> _FolderIdentity | None:
    """Return the identity of the folder at an absolute path; None if there is no folder.

    A child process examines the folder, because a hanging share would block this process, and its locks, for ever.

    Raises OSError if the folder cannot be examined, and TimeoutError if the child does not answer.
    """
    access = ChildAccess(path, PATIENCE_SECONDS)
    try:
        root_identity = access.root_identity()
    except (FileNotFoundError, NotADirectoryError):
        # Nothing is at the path, or a part of the path is not a folder.
        return None
    finally:
        access.close()
    return _FolderIdentity(root_identity.device, root_identity.inode) if stat.S_ISDIR(root_identity.mode) else None
