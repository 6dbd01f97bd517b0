"""Who may read the archive's files, and what makes its content immutable.

The archive belongs to the service's user.  A group may read it: by the group of
its folders, which new files inherit (setgid), and the mask that writers set.
"""

from __future__ import annotations

import array
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: What writers take away from others: everything, and writing from the group.
MASK = 0o027
_FOLDER = 0o2750
_SECRET = 0o400
_PRIVATE = frozenset({"spool", "canary", "documents"})
#: What begins so is for the owner alone, whoever may read the rest.
_OWNERS_ONLY = "signing_key"
#: linux/fs.h
_GETFLAGS, _SETFLAGS, _IMMUTABLE = 0x80086601, 0x40086602, 0x00000010


@contextmanager
def masked() -> Iterator[None]:
    """New files are made for the owner and the reading group only."""
    before = os.umask(MASK)
    try:
        yield
    finally:
        os.umask(before)


def open_to(root: Path, group: int | None) -> int:
    """Let ``group`` (None: nobody else) read the archive at ``root``; returns how many files were changed.

    Raises OSError where the caller may not, as of a group that it is not of.
    """
    changed = 0
    for path in _entries(root):
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode) or stat.S_ISSOCK(status.st_mode):
            continue
        if group is not None and status.st_gid != group:
            os.chown(path, -1, group, follow_symlinks=False)
            changed += 1
        mode = _wanted(status)
        # Changing the group takes the setgid bit away.
        if stat.S_IMODE(os.lstat(path).st_mode) != mode:
            os.chmod(path, mode)
            changed += 1
    return changed


def is_open_to(root: Path, group: int | None) -> bool:
    """Whether the archive's folder is as :func:`open_to` leaves it."""
    status = os.stat(root)
    return stat.S_IMODE(status.st_mode) == _FOLDER and group in (None, status.st_gid)


def _wanted(status: os.stat_result) -> int:
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISDIR(status.st_mode):
        return _FOLDER
    if mode == _SECRET:
        # A sensitive content object.
        return mode
    # The group may do what the owner may, but for writing.
    return (mode & 0o700) | ((mode >> 3) & 0o050)


def _entries(root: Path) -> Iterator[Path]:
    yield root
    for folder, folders, files in os.walk(root):
        if Path(folder) == root:
            folders[:] = [name for name in folders if name not in _PRIVATE]
        yield from (Path(folder, name) for name in (*folders, *files) if not name.startswith(_OWNERS_ONLY))


def is_immutable(path: Path) -> bool:
    """Whether the immutable flag of ``path`` is set; False where the filesystem has none."""
    try:
        return bool(_flags(path) & _IMMUTABLE)
    except OSError:
        return False


def set_immutable(path: Path, *, on: bool) -> None:
    """Set or clear the immutable flag, and look whether it took; raises OSError."""
    flags = _flags(path)
    wanted = flags | _IMMUTABLE if on else flags & ~_IMMUTABLE
    if flags == wanted:
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _SETFLAGS, array.array("l", [wanted]))
    finally:
        os.close(descriptor)
    if is_immutable(path) != on:
        raise OSError(95, "the filesystem did not take the flag", os.fspath(path))


def _flags(path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        buffer = array.array("l", [0])
        fcntl.ioctl(descriptor, _GETFLAGS, buffer)
        return buffer[0]
    finally:
        os.close(descriptor)


def allow_deletion(path: Path) -> None:
    """Clear the immutable flag where this process may; else the deletion itself will say why not."""
    with suppress(OSError):
        if is_immutable(path):
            set_immutable(path, on=False)


def protect(objects: Path, *, on: bool) -> tuple[int, int]:
    """Set or clear the flag of every content object; returns how many were changed, and how many there are.

    Raises OSError with the file's name where one cannot be changed.
    """
    changed = total = 0
    for folder, _, files in os.walk(objects):
        for name in files:
            path = Path(folder, name)
            total += 1
            if is_immutable(path) != on:
                try:
                    set_immutable(path, on=on)
                except OSError as error:
                    raise OSError(error.errno, error.strerror, os.fspath(path)) from None
                changed += 1
    return changed, total
