"""An archive in the making: whole at its place, or not there.

It is made in a folder within its own, which may be a mount point or lie where nothing else may be written,
and moved out of it at the end, ``archive.git`` last: only with that is it an archive.  What a killed one
leaves is that folder; the next one removes it, or goes on where everything in it was finished.
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
from archiver.existence import is_folder, is_there
from archiver.store import permissions
from archiver.store.creation.filesystem_abilities import check_filesystem
from archiver.store.fsync import sync_filesystem

WORKSPACE = ".archiver-init"
_NEW, _WHOLE = "new", "whole"
_LAST = "archive.git"
#: What the filesystem itself puts into a folder that a volume is mounted at.
_FILESYSTEMS_OWN = frozenset({"lost+found"})


def is_occupied(root: Path) -> bool:
    """Whether there is anything at ``root`` that no archive may be made over."""
    if not is_there(root, follow_links=False):
        return False
    return not is_folder(root) or any(name not in _FILESYSTEMS_OWN for name in os.listdir(root))


def is_unfinished(root: Path) -> bool:
    """Whether somebody who was killed, or who is at it, left a mark there."""
    return is_folder(root / WORKSPACE)


def finish(root: Path) -> None:
    """Bring what a killed one left to its end, or away; raises Busy where another one is at work, and OSError."""
    workspace = root / WORKSPACE
    # What another user left is theirs to look at.
    if not is_folder(workspace, follow_links=False) or os.stat(workspace).st_uid != os.geteuid():
        return
    with _alone(root):
        _move_out(root, [])
        shutil.rmtree(workspace, ignore_errors=True)


class Making:
    """An archive in the making: ``folder`` is where, until :meth:`put_in_place`."""

    def __init__(self, root: Path) -> None:
        self.folder = root / WORKSPACE / _NEW
        self._root = root
        self._moved: list[str] = []

    def put_in_place(self) -> None:
        """Move it to where it belongs, durably; raises OSError."""
        sync_filesystem(self._root)
        self.folder.rename(self._root / WORKSPACE / _WHOLE)
        _move_out(self._root, self._moved)
        shutil.rmtree(self._root / WORKSPACE)

    def undo(self) -> None:
        """Remove what was made, wherever it is by now."""
        for name in (*self._moved, WORKSPACE):
            _remove(self._root / name)


@contextmanager
def made_in(root: Path) -> Iterator[Making]:
    """Let an archive be made at ``root``; after an exception everything is as it was before.

    Raises Busy where another process makes one there, StorageProblem where the filesystem cannot keep one.
    """
    missing = missing_folders(root)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _alone(root):
            making = Making(root)
            try:
                check_filesystem(making.folder.parent, root)
                making.folder.parent.mkdir(mode=0o700)
                # Before anything in it could inherit a list.
                permissions.make_private(making.folder.parent)
                making.folder.mkdir()
                yield making
            except BaseException:
                making.undo()
                raise
    except BaseException:
        remove_folders(missing)
        raise


def missing_folders(path: Path) -> list[Path]:
    """Return the folders that have to be made for ``path`` to be one, the deepest first; raises OSError."""
    return [each for each in (path, *path.parents) if not is_there(each)]


def remove_folders(folders: Iterable[Path]) -> None:
    """Take away those of them that are empty."""
    for each in folders:
        with suppress(OSError):
            each.rmdir()


def _move_out(root: Path, moved: list[str]) -> None:
    whole = root / WORKSPACE / _WHOLE
    if not is_folder(whole):
        return
    permissions.make_private(root)
    for name in sorted(os.listdir(whole), key=lambda each: each == _LAST):
        if is_there(root / name, follow_links=False):
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(root / name))
        # The names before the last are durable when that is.
        if name == _LAST:
            sync_filesystem(root)
        (whole / name).rename(root / name)
        moved.append(name)
    sync_filesystem(root)


def _remove(path: Path) -> None:
    with suppress(OSError):
        if is_folder(path, follow_links=False):
            shutil.rmtree(path)
        else:
            path.unlink()


@contextmanager
def _alone(root: Path) -> Iterator[None]:
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
