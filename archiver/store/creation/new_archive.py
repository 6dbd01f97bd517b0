"""Create an archive so that it is complete at its place, or not there.

It is made in a workspace inside its own folder, which may be a mount point or the only place where this user may
write, and moved out of it at the end, ``archive.git`` last: only that makes it an archive.  A killed process
leaves the workspace; the next one removes it, or moves the archive out if it was complete.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from archiver.errors import Busy
from archiver.path_existence import is_folder, is_there
from archiver.store import permissions
from archiver.store.creation.filesystem_abilities import check_filesystem
from archiver.store.fsync import sync_filesystem

WORKSPACE = ".archiver-init"
#: Folders of the workspace: an archive that is being made, and one that only has to be moved.
_UNFINISHED, _COMPLETE = "new", "whole"
_LAST_MOVED = "archive.git"
#: Names that a filesystem puts into its own root folder.
_FILESYSTEM_NAMES = frozenset({"lost+found"})


def is_occupied(root: Path) -> bool:
    """Return True if something at ``root`` stands in the way of a new archive; raises OSError."""
    if not is_there(root, follow_links=False):
        return False
    return not is_folder(root) or any(name not in _FILESYSTEM_NAMES for name in os.listdir(root))


def is_unfinished(root: Path) -> bool:
    """Return True if a workspace is there, of a killed process or of one at work; raises OSError."""
    return is_folder(root / WORKSPACE)


def finish(root: Path) -> None:
    """Complete or remove what a killed process left; raises Busy if another one is at work, and OSError."""
    workspace = root / WORKSPACE
    # Another user's workspace is theirs to deal with.
    if not is_folder(workspace, follow_links=False) or os.stat(workspace).st_uid != os.geteuid():
        return
    with _creation_lock(root):
        _move_out(root, [])
        shutil.rmtree(workspace, ignore_errors=True)


class NewFolder:
    """An archive that is being made in ``folder``, until :meth:`put_in_place`."""

    def __init__(self, root: Path) -> None:
        self.folder = root / WORKSPACE / _UNFINISHED
        self._root = root
        self._moved_names: list[str] = []

    def put_in_place(self) -> None:
        """Move the archive to its place, durably; raises OSError."""
        sync_filesystem(self._root)
        self.folder.rename(self._root / WORKSPACE / _COMPLETE)
        _move_out(self._root, self._moved_names)
        shutil.rmtree(self._root / WORKSPACE)

    def undo(self) -> None:
        """Remove everything that was made, in the workspace and at its place."""
        for name in (*self._moved_names, WORKSPACE):
            _remove(self._root / name)


@contextmanager
def made_in(root: Path) -> Iterator[NewFolder]:
    """Let the caller make an archive for ``root``; after an exception everything is as it was before.

    Raises Busy if another process makes one there, StorageError if the filesystem cannot keep one.
    """
    missing = missing_folders(root)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _creation_lock(root):
            new_folder = NewFolder(root)
            try:
                check_filesystem(new_folder.folder.parent, root)
                new_folder.folder.parent.mkdir(mode=0o700)
                # Before anything in it could inherit an access-control list.
                permissions.make_private(new_folder.folder.parent)
                new_folder.folder.mkdir()
                yield new_folder
            except BaseException:
                new_folder.undo()
                raise
    except BaseException:
        remove_folders(missing)
        raise


def missing_folders(path: Path) -> list[Path]:
    """Return the folders that are missing for ``path`` to exist, the deepest first; raises OSError."""
    return [folder for folder in (path, *path.parents) if not is_there(folder)]


def remove_folders(folders: Iterable[Path]) -> None:
    """Remove the folders, the deepest first, as far as they are empty."""
    for folder in folders:
        # Somebody has put something there meanwhile.
        with suppress(OSError):
            folder.rmdir()


def _move_out(root: Path, moved_names: list[str]) -> None:
    """Move a complete archive out of the workspace; each name that was moved is added to ``moved_names``."""
    complete = root / WORKSPACE / _COMPLETE
    if not is_folder(complete):
        return
    permissions.make_private(root)
    for name in sorted(os.listdir(complete), key=lambda name: name == _LAST_MOVED):
        if is_there(root / name, follow_links=False):
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(root / name))
        # All other names are durable before the last one makes it an archive.
        if name == _LAST_MOVED:
            sync_filesystem(root)
        (complete / name).rename(root / name)
        moved_names.append(name)
    sync_filesystem(root)


def _remove(path: Path) -> None:
    # The error that led here is reported; what cannot be removed is cleared by the next attempt.
    with suppress(OSError):
        if is_folder(path, follow_links=False):
            shutil.rmtree(path)
        else:
            path.unlink()


@contextmanager
def _creation_lock(root: Path) -> Iterator[None]:
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Busy(
            "Another process makes an archive at {path}. Nothing was made. Try again when it has ended.", path=root
        ) from None
    finally:
        os.close(descriptor)
