"""Check a changed ``watch.path``, which may lead to the same folder, to its successor, or to another folder.

A *successor* is a folder with enough of the archived files.  Any other folder is refused: two configurations with
different folders for one archive would each record the deletion of the other's files.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from archiver.config.settings import Config
from archiver.errors import ConfigError, LazyMessage
from archiver.intake.folder.access import FolderAccess
from archiver.intake.folder.child_access import PATIENCE_SECONDS, ChildAccess
from archiver.intake.seed_snapshot import open_submissions
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.events.capture_events import WatchPathChanged
from archiver.store.index.queries import Index
from archiver.store.writing.drafts import Draft

#: The most archived paths to look for in the new folder. More, and a slow share takes too long. Fewer, and a
#: folder that has some of the names by chance may be mistaken for a successor.
_MAX_SAMPLE_SIZE = 1000
#: The share of these paths that a successor must have.
_REQUIRED_SHARE = 0.5


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

    At most ``_MAX_SAMPLE_SIZE`` files are looked up.  In the message, ``recorded_state`` completes a sentence that
    begins with ``recorded_path``, the path of the folder that the archive captures at present.
    """
    sampled_paths = list(_sample_archived_paths(archive.index))
    present_count = sum(_is_file(access, path) for path in sampled_paths)
    if present_count >= _REQUIRED_SHARE * len(sampled_paths):
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
        count=len(sampled_paths),
        present=present_count,
        folder=config.watch,
    )


def _sample_archived_paths(index: Index) -> Iterator[bytes]:
    """Yield the paths of files in the newest versions, relative to the watched folder.

    If there are ``_MAX_SAMPLE_SIZE`` files or more, only every n-th path is yielded, so that the sample stays
    within this size.
    """
    newest_versions = [
        version for version in map(index.newest_version, open_submissions(index)) if version is not None
    ]
    sampling_step = sum(version.files for version in newest_versions) // _MAX_SAMPLE_SIZE + 1
    file_number = 0
    for version in newest_versions:
        prefix = version.submission.prefix + b"/" if version.submission.prefix else b""
        for material in index.materials(version.submission):
            # ``sha256`` is None for a folder.
            if material.sha256 is not None:
                if file_number % sampling_step == 0:
                    yield prefix + material.path
                file_number += 1


def _is_file(access: FolderAccess, path: bytes) -> bool:
    """Return True if a regular file can be seen at the path."""
    try:
        return stat.S_ISREG(access.look_up(path).mode)
    except OSError:
        # A file that cannot be looked up does not count: the folder has to prove that it is the successor.
        return False


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
