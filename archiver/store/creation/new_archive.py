"""Create an archive either completely or not at all.

The archive is created in a workspace inside its final folder, because that folder may be a mount point, or the
only folder where this user may write.  At the end, everything is moved out of the workspace, ``archive.git`` last,
because a folder with ``archive.git`` counts as an archive.  A killed process leaves the workspace behind.  The
next process moves a complete archive out of the workspace, and removes the workspace.
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
#: Folders of the workspace: an archive that is being created, and a complete archive that only has to be moved.
_UNFINISHED_NAME, _COMPLETE_NAME = "new", "whole"
#: The entry that makes its folder an archive.
_LAST_MOVED_NAME = "archive.git"
#: Entries that a filesystem creates in its root folder. A mount point with no other entries counts as empty.
_FILESYSTEM_NAMES = frozenset({"lost+found"})


def is_occupied(root: Path) -> bool:
    """Return True if no archive can be created at ``root``, because ``root`` is not a folder or not empty.

    Returns False if ``root`` does not exist.  Raises OSError if ``root`` cannot be read.
    """
    if not is_there(root, follow_links=False):
        return False
    return not is_folder(root) or any(name not in _FILESYSTEM_NAMES for name in os.listdir(root))


def is_unfinished(root: Path) -> bool:
    """Return True if a process is creating an archive at ``root``, or was killed while doing so.

    Raises OSError if ``root`` cannot be read.
    """
    return is_folder(root / WORKSPACE)


def finish_interrupted_creation(root: Path) -> None:
    """Move the complete archive of a killed process out of the workspace, or remove an incomplete archive.

    Does nothing without a workspace, or if the workspace belongs to another user.  Raises Busy if a process is
    still creating an archive at ``root``, OSError if an entry is in the way at ``root`` or cannot be moved.
    """
    workspace = root / WORKSPACE
    # Only the user who created a workspace can move or remove everything in it.
    if not is_folder(workspace, follow_links=False) or os.stat(workspace).st_uid != os.geteuid():
        return
    with _creation_lock(root):
        _move_to_root(root, [])
        shutil.rmtree(workspace, ignore_errors=True)


class NewArchiveFolder:
    """The folder of a new archive, created in the workspace and moved to the root when the archive is complete."""

    def __init__(self, root: Path) -> None:
        """Choose the folder for an archive at ``root``.  Nothing is created yet."""
        self.folder = root / WORKSPACE / _UNFINISHED_NAME
        self._root = root
        self._moved_names: list[str] = []

    def put_in_place(self) -> None:
        """Move the complete archive to its root, durably, and remove the workspace.

        If the process is killed on the way, :func:`finish_interrupted_creation` completes the move.  Raises
        OSError if the archive cannot be moved.
        """
        sync_filesystem(self._root)
        self.folder.rename(self._root / WORKSPACE / _COMPLETE_NAME)
        _move_to_root(self._root, self._moved_names)
        shutil.rmtree(self._root / WORKSPACE)

    def undo(self) -> None:
        """Remove everything that was created, in the workspace and at the root.  Never raises OSError."""
        for name in (*self._moved_names, WORKSPACE):
            _remove_file_or_folder(self._root / name)


@contextmanager
def create_in_workspace(root: Path) -> Iterator[NewArchiveFolder]:
    """Yield the folder in which the block creates an archive for ``root``, completely or not at all.

    The block creates the archive in ``folder`` of the yielded object, and then calls ``put_in_place``, which moves
    the archive to ``root``.  ``root`` and the folders above are created if they are missing.  If the block raises
    an error, everything that this call has created is removed, and nothing that another process has created.

    Raises Busy if another process is creating an archive at ``root``, StorageError if the filesystem cannot keep
    an archive, OSError if nothing can be written.
    """
    missing_ancestors = missing_folders(root)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _creation_lock(root):
            new_folder = NewArchiveFolder(root)
            workspace = root / WORKSPACE
            try:
                check_filesystem(workspace, root)
                workspace.mkdir(mode=0o700)
                # Restricted while it is still empty, because new entries inherit its access-control lists.
                permissions.restrict_to_owner(workspace)
                new_folder.folder.mkdir()
                yield new_folder
            except BaseException:
                new_folder.undo()
                raise
    except BaseException:
        remove_folders(missing_ancestors)
        raise


def missing_folders(path: Path) -> list[Path]:
    """Return the missing folders among ``path`` and the folders above it, the deepest first.

    Raises OSError if a folder cannot be read.
    """
    return [folder for folder in (path, *path.parents) if not is_there(folder)]


def remove_folders(folders: Iterable[Path]) -> None:
    """Remove each of the ``folders`` that is empty, in the given order.  Never raises OSError."""
    for folder in folders:
        # A folder into which another program has put an entry has to stay.
        with suppress(OSError):
            folder.rmdir()


def _move_to_root(root: Path, moved_names: list[str]) -> None:
    """Move a complete archive, if present, from the workspace to ``root``, durably.

    Adds each name to ``moved_names`` as soon as the entry is moved, so that the caller can undo a partial move.
    Raises FileExistsError if ``root`` already has an entry of the same name, OSError if an entry cannot be moved.
    """
    complete_folder = root / WORKSPACE / _COMPLETE_NAME
    if not is_folder(complete_folder):
        return
    permissions.restrict_to_owner(root)
    for name in sorted(os.listdir(complete_folder), key=lambda name: name == _LAST_MOVED_NAME):
        if is_there(root / name, follow_links=False):
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(root / name))
        # All other names must be durable before the last one turns the folder into an archive.
        if name == _LAST_MOVED_NAME:
            sync_filesystem(root)
        (complete_folder / name).rename(root / name)
        moved_names.append(name)
    sync_filesystem(root)


def _remove_file_or_folder(path: Path) -> None:
    """Remove a file, or a folder with all its content.  Never raises OSError."""
    # The caller reports the error that led to the removal.  The next attempt removes anything left behind.
    with suppress(OSError):
        if is_folder(path, follow_links=False):
            shutil.rmtree(path)
        else:
            path.unlink()


@contextmanager
def _creation_lock(root: Path) -> Iterator[None]:
    """Lock the folder ``root`` during the block, so that no two processes create an archive there at once.

    Does not wait: raises Busy if another process holds the lock.
    """
    root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(root_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Busy(
            "Another process is creating an archive at {path}. Nothing was changed. Try again when that process "
            "has ended.",
            path=root,
        ) from None
    finally:
        os.close(root_fd)
