"""Create an archive either completely or not at all.

The archive is made in a workspace inside its own folder: that folder may be a mount point, or the only folder
where this user may write.  At the end everything is moved out of the workspace, ``archive.git`` last, because a
folder with ``archive.git`` counts as an archive.  A killed process leaves the workspace behind.  The next process
removes it, or moves the archive out of it if it was complete.
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
#: The entry that makes its folder an archive.
_LAST_MOVED = "archive.git"
#: Entries that a filesystem makes in its own root folder; a mount point with nothing else counts as empty.
_FILESYSTEM_NAMES = frozenset({"lost+found"})


def is_occupied(root: Path) -> bool:
    """Return True if no archive can be made at ``root``, because ``root`` is not a folder or not empty.

    A missing ``root`` is free.  Raises OSError.
    """
    if not is_there(root, follow_links=False):
        return False
    return not is_folder(root) or any(name not in _FILESYSTEM_NAMES for name in os.listdir(root))


def is_unfinished(root: Path) -> bool:
    """Return True if a process is making an archive at ``root``, or was killed while doing so; raises OSError."""
    return is_folder(root / WORKSPACE)


def finish_interrupted(root: Path) -> None:
    """Move a killed process's completed archive out of the workspace; remove an incomplete archive.

    Does nothing without a workspace, or if the workspace belongs to another user.  Raises Busy if a process is
    still making an archive there, OSError if something is in the way or cannot be moved.
    """
    workspace = root / WORKSPACE
    # Only the user who made a workspace can move or remove everything in it.
    if not is_folder(workspace, follow_links=False) or os.stat(workspace).st_uid != os.geteuid():
        return
    with _creation_lock(root):
        _move_out(root, [])
        shutil.rmtree(workspace, ignore_errors=True)


class NewFolder:
    """An archive made in ``folder``, a part of the workspace, and moved to the root at the end."""

    def __init__(self, root: Path) -> None:
        """Take the folder for an archive at ``root``; nothing is created yet."""
        self.folder = root / WORKSPACE / _UNFINISHED
        self._root = root
        self._moved_names: list[str] = []

    def put_in_place(self) -> None:
        """Move the complete archive to its root, durably, and remove the workspace; raises OSError.

        If the process is killed on the way, :func:`finish_interrupted` completes the move.
        """
        sync_filesystem(self._root)
        self.folder.rename(self._root / WORKSPACE / _COMPLETE)
        _move_out(self._root, self._moved_names)
        shutil.rmtree(self._root / WORKSPACE)

    def undo(self) -> None:
        """Remove everything that was made, in the workspace and at the root; never raises OSError."""
        for name in (*self._moved_names, WORKSPACE):
            _remove(self._root / name)


@contextmanager
def create_in_workspace(root: Path) -> Iterator[NewFolder]:
    """Yield a folder in which the block makes the archive for ``root``, and then calls ``put_in_place``.

    ``root`` and the folders above it are created if missing.  If the block raises, everything that was made is
    removed.

    Raises Busy if another process is making an archive there, StorageError if the filesystem cannot keep an
    archive, OSError if nothing can be written.
    """
    missing_ancestors = missing_folders(root)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _creation_lock(root):
            new_folder = NewFolder(root)
            workspace = new_folder.folder.parent
            try:
                check_filesystem(workspace, root)
                workspace.mkdir(mode=0o700)
                # While the workspace is empty: everything made in it would inherit its access-control lists.
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
    """Return ``path`` and the folders above, as far as missing, the deepest first; raises OSError."""
    return [folder for folder in (path, *path.parents) if not is_there(folder)]


def remove_folders(folders: Iterable[Path]) -> None:
    """Remove all empty ``folders``, in the given order; never raises OSError."""
    for folder in folders:
        # A folder that is not empty holds something that another program has put there.
        with suppress(OSError):
            folder.rmdir()


def _move_out(root: Path, moved_names: list[str]) -> None:
    """Move a complete archive, if present, from the workspace to ``root``, durably.

    Each name is added to ``moved_names`` as soon as it is moved, so that the caller can undo a part of the move.
    Raises OSError, FileExistsError if ``root`` has an entry of that name.
    """
    complete = root / WORKSPACE / _COMPLETE
    if not is_folder(complete):
        return
    permissions.restrict_to_owner(root)
    for name in sorted(os.listdir(complete), key=lambda name: name == _LAST_MOVED):
        if is_there(root / name, follow_links=False):
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(root / name))
        # All other names must be durable before the last one turns the folder into an archive.
        if name == _LAST_MOVED:
            sync_filesystem(root)
        (complete / name).rename(root / name)
        moved_names.append(name)
    sync_filesystem(root)


def _remove(path: Path) -> None:
    """Remove a file, or a folder with everything in it; never raises OSError."""
    # The caller reports the error that made it clean up.  The next attempt clears what cannot be removed now.
    with suppress(OSError):
        if is_folder(path, follow_links=False):
            shutil.rmtree(path)
        else:
            path.unlink()


@contextmanager
def _creation_lock(root: Path) -> Iterator[None]:
    """Lock the folder ``root`` during the block, so no two processes make an archive inside at once.

    Does not wait: raises Busy if another process holds the lock.
    """
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Busy(
            "Another process is creating an archive at {path}. Nothing was changed. Try again when it has ended.",
            path=root,
        ) from None
    finally:
        os.close(descriptor)
