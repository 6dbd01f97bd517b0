"""Check a changed ``watch.path``: is it the same folder in another place, its successor, or another folder?

Two configurations with different folders on one archive would each record the
deletion of the other's files.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from archiver.config.settings import Config
from archiver.errors import ConfigError, LazyMessage
from archiver.intake.folder.access import PATIENCE_SECONDS, ChildAccess, FolderAccess
from archiver.intake.seed_snapshot import open_submissions
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.events.capture_events import WatchPathChanged
from archiver.store.index.queries import Index
from archiver.store.writer import Draft

#: Names to look for in the new folder: enough to tell two folders apart, few enough for a slow share.
_MAX_SAMPLE = 1000

#: Device and inode.
_FolderIdentity = tuple[int, int]


def changed_watch_path(archive: Archive, config: Config, access: FolderAccess) -> Draft | None:
    """Check that the folder at ``watch.path`` may be taken for this archive's; return the event to journal.

    A folder at another path is taken if it is the same one, if the one before has gone, or if at least half of the
    names that the archive knows are in it.  Returns None if nothing has changed, or there is no folder to look at
    yet.

    Raises ConfigError if the folder before still exists and this is another one.
    """
    recorded_path, new_path = archive.index.watch_path, os.fsencode(config.watch)
    if recorded_path is None or recorded_path == new_path:
        return None
    try:
        new_folder = _folder_identity(new_path)
    except OSError:
        # A share that hangs or is closed: asked again when the folder is there.
        new_folder = None
    if new_folder is None:
        return None
    state = LazyMessage("is still there and is another folder")
    try:
        recorded_folder = _folder_identity(recorded_path)
    except OSError as error:
        # It may still be there: treated as another folder.
        recorded_folder, state = (0, 0), LazyMessage("cannot be looked at ({reason})", reason=error.strerror)
    if recorded_folder not in (None, new_folder):
        _check_successor(archive, config, access, recorded_path, state)
    return Draft("watch", WatchPathChanged(old_path=names.text(recorded_path), new_path=names.text(new_path)))


def _check_successor(
    archive: Archive, config: Config, access: FolderAccess, recorded_path: bytes, state: LazyMessage
) -> None:
    """Refuse a folder that holds less than half of the names that the archive knows; raises ConfigError.

    ``state``: what is known of the folder at the recorded path.
    """
    sample = list(_archived_path_sample(archive.index))
    present_count = sum(_is_file(access, path) for path in sample)
    if 2 * present_count >= len(sample):
        return
    raise ConfigError(
        "{config}: watch.path is {given}, but this archive keeps {kept}, which {state}. Of {count} names that "
        "were looked for, {present} are in the new folder. Nothing was changed. Set watch.path back. If the "
        "materials have moved, rename {kept} and start again. To keep both folders, make another archive: "
        "archiver init --archive DIR --watch {folder!q}",
        config=config.source,
        given=config.watch,
        kept=names.text(recorded_path),
        state=state,
        count=len(sample),
        present=present_count,
        folder=config.watch,
    )


def _archived_path_sample(index: Index) -> Iterator[bytes]:
    """Yield paths that the newest versions hold: all of them, or an even sample of very many."""
    newest_versions = [version for version in map(index.latest, open_submissions(index)) if version is not None]
    step = sum(version.files for version in newest_versions) // _MAX_SAMPLE + 1
    file_number = 0
    for version in newest_versions:
        prefix = version.submission.prefix + b"/" if version.submission.prefix else b""
        for material in index.materials(version.submission):
            if material.sha256 is not None:
                if file_number % step == 0:
                    yield prefix + material.path
                file_number += 1


def _is_file(access: FolderAccess, path: bytes) -> bool:
    try:
        return stat.S_ISREG(access.look_up(path).mode)
    except OSError:
        # A file that cannot be seen does not count: the folder has to prove what it is.
        return False


def _folder_identity(path: bytes) -> _FolderIdentity | None:
    """Return what tells a folder from every other one; None if there is no folder.

    A child looks, since a share that hangs would keep this process and its locks for ever.

    Raises OSError, and TimeoutError if the child does not answer.
    """
    access = ChildAccess(path, PATIENCE_SECONDS)
    try:
        device, inode, mode = access.root_identity()
    except (FileNotFoundError, NotADirectoryError):
        # Nothing lies there, or something that is no folder lies in the way.
        return None
    finally:
        access.close()
    return (device, inode) if stat.S_ISDIR(mode) else None
