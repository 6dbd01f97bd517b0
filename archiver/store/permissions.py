"""Restrict reading of the archive's files, and make content objects immutable.

The archive belongs to the service's user.  Without a reading group nobody else gets past its folders.  A group may
read it through the group of its folders, which new files inherit (setgid), and the umask that writers set.
Access-control lists are dropped: below a folder with a default list, the kernel ignores the umask.
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

#: Umasks of writers: with a reading group, which gets no write access, and without one.
_GROUP_UMASK, _OWNER_UMASK = 0o027, 0o077
_GROUP_FOLDER_MODE, _OWNER_FOLDER_MODE = 0o2750, 0o700
_KEY_MODE = 0o600
#: Folders of the owner alone: their content is short-lived, and only the program looks at it.
_OWNER_FOLDERS = frozenset({"spool", "canary", "set-aside"})
#: Not examined: "documents" is a cache whose reader checks the modes itself and discards what others could write;
#: "lost+found" belongs to the filesystem.
_SKIPPED_FOLDERS = frozenset({"documents", "lost+found"})
#: Files with this beginning are for the owner alone, whoever may read the rest.
_KEY_PREFIX = "signing_key"
#: Content objects keep their own read bits: 0400 marks sensitive ones, and immutable ones cannot be changed.
_CONTENT_FOLDER = "/lfs/objects/"
_ACL_ATTRIBUTES = ("system.posix_acl_access", "system.posix_acl_default")
#: ``status`` has to be quick: this many entries, upper folders first, take it some ten milliseconds.
_QUICK_LOOK_ENTRIES = 2000
#: Of linux/fs.h.
_FS_IOC_GETFLAGS, _FS_IOC_SETFLAGS, _FS_IMMUTABLE_FL = 0x80086601, 0x40086602, 0x00000010


class _ProcessMask:
    """The umask of the process, shared by all threads.

    The first thread that sets it remembers the original, the last one restores it: if each restored what it found,
    a thread that leaves second would restore the mask of the one that left first.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._user_count = 0
        self._original_mask = 0

    def enter(self, mask: int) -> None:
        """Set the umask until :meth:`leave`."""
        with self._lock:
            previous_mask = os.umask(mask)
            if not self._user_count:
                self._original_mask = previous_mask
            self._user_count += 1

    def leave(self) -> None:
        """Restore the umask, unless another thread still writes."""
        with self._lock:
            self._user_count -= 1
            if not self._user_count:
                os.umask(self._original_mask)


_process_mask = _ProcessMask()


@contextmanager
def masked(root: Path | None = None) -> Iterator[None]:
    """Create files for the owner, and for the reading group of the archive at ``root`` (None: in the making)."""
    _process_mask.enter(mask_of(root))
    try:
        yield
    finally:
        _process_mask.leave()


def mask_of(root: Path | None) -> int:
    """Return the umask for writing to the archive at ``root`` (None: in the making)."""
    try:
        is_shared = root is not None and os.stat(root).st_mode & stat.S_IRWXG
    except OSError:
        # Without knowing the group, the strict mask is right.
        is_shared = False
    return _GROUP_UMASK if is_shared else _OWNER_UMASK


def reading_group(name: str) -> int | None:
    """Return the number of the reading group, None for an empty name; raises KeyError for an unknown one."""
    return grp.getgrnam(name).gr_gid if name else None


def make_private(folder: Path) -> None:
    """Restrict a new folder to its owner, before any entry inherits an access-control list; raises OSError."""
    os.chmod(folder, _OWNER_FOLDER_MODE)
    _drop_lists(os.fspath(folder))


def grant_access(root: Path, group: int | None) -> int:
    """Let ``group`` (None: nobody else) read the archive at ``root``; return the number of changed entries.

    Raises the first OSError after everything else was changed, for example for a group that the caller is not in.
    """
    changed_count, first_error = 0, None
    for path, status in _walk_entries(os.fspath(root)):
        try:
            changed_count += _set_access(path, status, os.fspath(root), group)
        except OSError as error:
            first_error = first_error or error
    if first_error is not None:
        raise first_error
    return changed_count


def _set_access(path: str, status: os.stat_result, root: str, group: int | None) -> bool:
    is_secret = os.path.basename(path).startswith(_KEY_PREFIX)
    is_changed = False
    if group is not None and status.st_gid != group and not is_secret:
        os.chown(path, -1, group, follow_symlinks=False)
        is_changed = True
    required_mode = _required_mode(path, status, root, group)
    # Compared after the group was changed, since the kernel clears the setgid bit then.
    if stat.S_IMODE(os.lstat(path).st_mode) != required_mode:
        os.chmod(path, required_mode)
        is_changed = True
    # Lists go last: without its list, an entry gives its group the mode that the list had restricted.
    return _drop_lists(path) or is_changed


def has_access(root: Path, group: int | None) -> bool:
    """Return True if the archive's folder and a quick look at its entries fit :func:`grant_access`."""
    status = os.stat(root)
    if stat.S_IMODE(status.st_mode) != _folder_mode(group) or group not in (None, status.st_gid):
        return False
    return next(too_open_entries(root, group), None) is None


def too_open_entries(root: Path, group: int | None, limit: int = _QUICK_LOOK_ENTRIES) -> Iterator[Path]:
    """Yield the entries, of the first ``limit``, that others than the owner and ``group`` may read or change."""
    root_path = os.fspath(root)
    for number, (path, status) in enumerate(_walk_entries(root_path)):
        if number >= limit:
            return
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISDIR(status.st_mode):
            excess_access = mode & ~_required_mode(path, status, root_path, group) & 0o777 or _acl_attributes(path)
        else:
            # A readable file does no harm behind a closed folder.
            is_secret = os.path.basename(path).startswith(_KEY_PREFIX)
            excess_access = mode & (0o077 if is_secret else 0o022)
        if excess_access:
            yield Path(path)


def _folder_mode(group: int | None) -> int:
    return _OWNER_FOLDER_MODE if group is None else _GROUP_FOLDER_MODE


def _required_mode(path: str, status: os.stat_result, root: str, group: int | None) -> int:
    current_mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISDIR(status.st_mode):
        return _OWNER_FOLDER_MODE if _is_owner_folder(path, root) else _folder_mode(group)
    if os.path.basename(path).startswith(_KEY_PREFIX):
        return _KEY_MODE
    if _CONTENT_FOLDER in path:
        return current_mode & 0o444
    if group is None:
        return current_mode & 0o750
    # The group may do what the owner may, but for writing.
    return (current_mode & 0o700) | ((current_mode >> 3) & 0o050)


def _is_owner_folder(path: str, root: str) -> bool:
    folder, name = os.path.split(path)
    return folder == root and name in _OWNER_FOLDERS


def _walk_entries(root: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield files and folders with their status, upper folders first; links and sockets have no modes."""
    yield root, os.lstat(root)
    pending_folders = deque([root])
    while pending_folders:
        folder = pending_folders.popleft()
        try:
            # Listed completely before the caller changes anything.
            sorted_entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            # Without the right to list a folder, its entries can be neither judged nor changed.
            continue
        for entry in sorted_entries:
            if entry.is_dir(follow_symlinks=False):
                if folder == root and entry.name in _SKIPPED_FOLDERS:
                    continue
                if not _is_owner_folder(entry.path, root):
                    pending_folders.append(entry.path)
            elif not entry.is_file(follow_symlinks=False):
                continue
            # Files of the spool come and go.
            with suppress(FileNotFoundError):
                yield entry.path, os.lstat(entry.path)


def has_list(path: str) -> bool:
    """Return True if a path has an access-control list, or a default list for new files; raises OSError."""
    return bool(_acl_attributes(path))


def _acl_attributes(path: str) -> list[str]:
    return [name for name in _ACL_ATTRIBUTES if _has_attribute(path, name)]


def _has_attribute(path: str, attribute: str) -> bool:
    try:
        return bool(os.getxattr(path, attribute, follow_symlinks=False))
    except OSError as error:
        # A filesystem without lists, or an entry without one.
        if error.errno in (errno.ENODATA, errno.ENOTSUP, errno.ENOENT, errno.EACCES):
            return False
        raise


def _drop_lists(path: str) -> bool:
    attributes = _acl_attributes(path)
    for name in attributes:
        os.removexattr(path, name, follow_symlinks=False)
    return bool(attributes)


def is_immutable(path: Path) -> bool:
    """Return True if the immutable flag of ``path`` is set; False on a filesystem without such flags."""
    try:
        return bool(_inode_flags(path) & _FS_IMMUTABLE_FL)
    except OSError:
        # A filesystem without flags (tmpfs, NFS), or no such file: nothing is protected.
        return False


def set_immutable(path: Path, *, on: bool) -> None:
    """Set or clear the immutable flag; raises OSError, also if the filesystem ignored the change."""
    flags = _inode_flags(path)
    new_flags = flags | _FS_IMMUTABLE_FL if on else flags & ~_FS_IMMUTABLE_FL
    if flags == new_flags:
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _FS_IOC_SETFLAGS, array.array("l", [new_flags]))
    finally:
        os.close(descriptor)
    if is_immutable(path) != on:
        raise OSError(errno.EOPNOTSUPP, "the filesystem did not take the flag", os.fspath(path))


def _inode_flags(path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        buffer = array.array("l", [0])
        fcntl.ioctl(descriptor, _FS_IOC_GETFLAGS, buffer)
        return buffer[0]
    finally:
        os.close(descriptor)


def allow_deletion(path: Path) -> None:
    """Clear the immutable flag if this process may."""
    # If not, the deletion that follows says why.
    with suppress(OSError):
        if is_immutable(path):
            set_immutable(path, on=False)


def protect(objects: Path, *, on: bool) -> tuple[int, int]:
    """Set or clear the flag of every content object; return the numbers of changed and of all objects.

    Raises OSError with the file's name for the first one that cannot be changed.
    """
    changed_count = total_count = 0
    for folder, _, object_names in os.walk(objects):
        for object_name in object_names:
            object_path = Path(folder, object_name)
            total_count += 1
            if is_immutable(object_path) != on:
                try:
                    set_immutable(object_path, on=on)
                except OSError as error:
                    raise OSError(error.errno, error.strerror, os.fspath(object_path)) from None
                changed_count += 1
    return changed_count, total_count
