"""Who may read the archive's files, and what makes its content immutable.

The archive belongs to the service's user, and without a reading group nobody else gets past its folders.
A group may read it: by the group of its folders, which new files inherit (setgid), and the mask that
writers set.  Access-control lists are dropped: below a folder with a default list the mask is void.
"""

from __future__ import annotations

import array
import errno
import fcntl
import grp
import os
import stat
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: What writers take away: everything from others; writing from the reading group; everything where there is none.
_MASK, _OWNERS_MASK = 0o027, 0o077
_FOLDER, _OWNERS_FOLDER = 0o2750, 0o700
_KEY = 0o600
#: These are the owner's alone; what is in them is short-lived, and looked at by nobody but the program.
_PRIVATE = frozenset({"spool", "canary", "set-aside"})
#: Whoever reads the cache of documents looks at its modes, and throws away what others could write: it is
#: never tightened.  The other belongs to the filesystem.
_PASSED_OVER = frozenset({"documents", "lost+found"})
#: What begins so is for the owner alone, whoever may read the rest.
_OWNERS_ONLY = "signing_key"
#: Content objects keep what they may be read by: 0400 are the sensitive ones, and some may be immutable.
_CONTENT = "/lfs/objects/"
_ACCESS_LIST, _DEFAULT_LIST = "system.posix_acl_access", "system.posix_acl_default"
#: ``status`` has to be quick; this many entries, the upper folders first, take it some ten milliseconds.
_FEW_ENTRIES = 2000
#: linux/fs.h
_GETFLAGS, _SETFLAGS, _IMMUTABLE = 0x80086601, 0x40086602, 0x00000010


class _ProcessMask:
    """The umask, which all threads share: the first that sets it remembers what it was, the last puts it back.

    Each for itself, a thread that leaves second would restore the mask of the one that left first.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = 0

    def enter(self, mask: int) -> None:
        """Set it until :meth:`leave`."""
        with self._lock:
            before = os.umask(mask)
            if not self._inside:
                self._before = before
            self._inside += 1

    def leave(self) -> None:
        """Restore it, unless another thread still writes."""
        with self._lock:
            self._inside -= 1
            if not self._inside:
                os.umask(self._before)


_mask = _ProcessMask()


@contextmanager
def masked(root: Path | None = None) -> Iterator[None]:
    """Make new files for the owner, and for the reading group that the archive at ``root`` is open to."""
    _mask.enter(mask_of(root))
    try:
        yield
    finally:
        _mask.leave()


def mask_of(root: Path | None) -> int:
    """The umask of whoever writes to the archive at ``root`` (None: one in the making)."""
    try:
        is_shared = root is not None and os.stat(root).st_mode & stat.S_IRWXG
    except OSError:
        is_shared = False
    return _MASK if is_shared else _OWNERS_MASK


def reading_group(name: str) -> int | None:
    """The number of the reading group; None without one; raises KeyError where this machine has none so named."""
    return grp.getgrnam(name).gr_gid if name else None


def make_private(folder: Path) -> None:
    """Leave a folder to its owner, before anything in it could inherit its list; raises OSError."""
    os.chmod(folder, _OWNERS_FOLDER)
    _drop_lists(os.fspath(folder))


def open_to(root: Path, group: int | None) -> int:
    """Let ``group`` (None: nobody else) read the archive at ``root``; returns how many entries were changed.

    What cannot be changed is passed over; then the first error is raised at the end, as OSError: the
    group may be one that the caller is not of.
    """
    changed, first = 0, None
    for path, status in _entries(os.fspath(root)):
        try:
            changed += _tighten(path, status, os.fspath(root), group)
        except OSError as error:
            first = first or error
    if first is not None:
        raise first
    return changed


def _tighten(path: str, status: os.stat_result, root: str, group: int | None) -> bool:
    is_secret = os.path.basename(path).startswith(_OWNERS_ONLY)
    changed = False
    if group is not None and status.st_gid != group and not is_secret:
        os.chown(path, -1, group, follow_symlinks=False)
        changed = True
    mode = _wanted(path, status, root, group)
    # Changing the group takes the setgid bit away.
    if stat.S_IMODE(os.lstat(path).st_mode) != mode:
        os.chmod(path, mode)
        changed = True
    # After the mode: without its list, the group gets what the list left to everybody in it.
    return _drop_lists(path) or changed


def is_open_to(root: Path, group: int | None) -> bool:
    """Return True if the archive's folder, and what a quick look finds in it, is as :func:`open_to` leaves it."""
    status = os.stat(root)
    if stat.S_IMODE(status.st_mode) != _folder_mode(group) or group not in (None, status.st_gid):
        return False
    return next(too_open(root, group), None) is None


def too_open(root: Path, group: int | None, most: int = _FEW_ENTRIES) -> Iterator[Path]:
    """Entries that others than the owner and ``group`` may read or change, among the first ``most``."""
    top = os.fspath(root)
    for number, (path, status) in enumerate(_entries(top)):
        if number >= most:
            return
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISDIR(status.st_mode):
            wrong = mode & ~_wanted(path, status, top, group) & 0o777 or _lists(path)
        else:
            # Files may be readable: nobody gets as far as them.
            secret = os.path.basename(path).startswith(_OWNERS_ONLY)
            wrong = mode & (0o077 if secret else 0o022)
        if wrong:
            yield Path(path)


def _folder_mode(group: int | None) -> int:
    return _OWNERS_FOLDER if group is None else _FOLDER


def _wanted(path: str, status: os.stat_result, root: str, group: int | None) -> int:
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISDIR(status.st_mode):
        return _OWNERS_FOLDER if _is_private(path, root) else _folder_mode(group)
    if os.path.basename(path).startswith(_OWNERS_ONLY):
        return _KEY
    if _CONTENT in path:
        return mode & 0o444
    if group is None:
        return mode & 0o750
    # The group may do what the owner may, but for writing.
    return (mode & 0o700) | ((mode >> 3) & 0o050)


def _is_private(path: str, root: str) -> bool:
    folder, name = os.path.split(path)
    return folder == root and name in _PRIVATE


def _entries(root: str) -> Iterator[tuple[str, os.stat_result]]:
    """Files and folders, the upper ones first; links and sockets have no modes of their own."""
    yield root, os.lstat(root)
    folders = deque([root])
    while folders:
        folder = folders.popleft()
        try:
            # Listed before anything is changed.
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            # Whoever may not list it can neither judge nor change what is in it.
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if folder == root and entry.name in _PASSED_OVER:
                    continue
                if not _is_private(entry.path, root):
                    folders.append(entry.path)
            elif not entry.is_file(follow_symlinks=False):
                continue
            with suppress(FileNotFoundError):
                yield entry.path, os.lstat(entry.path)


def has_list(path: str) -> bool:
    """Return True if access to a file or folder depends on an access-control list, or that of new files in it."""
    return bool(_lists(path))


def _lists(path: str) -> list[str]:
    return [name for name in (_ACCESS_LIST, _DEFAULT_LIST) if _has(path, name)]


def _has(path: str, attribute: str) -> bool:
    try:
        return bool(os.getxattr(path, attribute, follow_symlinks=False))
    except OSError as error:
        # A filesystem without lists, or an entry without one.
        if error.errno in (errno.ENODATA, errno.ENOTSUP, errno.ENOENT, errno.EACCES):
            return False
        raise


def _drop_lists(path: str) -> bool:
    lists = _lists(path)
    for name in lists:
        os.removexattr(path, name, follow_symlinks=False)
    return bool(lists)


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
