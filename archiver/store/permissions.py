"""Restrict read access to archive files, and make content objects immutable.

The archive belongs to the service's user, and nobody else gets past its folders unless a reading group is set.
The group reads the archive because the folders belong to it, new files inherit it (setgid), and writers set a
umask that leaves it the right to read.  Access-control lists are dropped: below a folder with a default list, the
kernel ignores the umask.
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
from typing import NamedTuple

#: Umasks of writers: with a reading group, which gets no write access, and without one.
_GROUP_UMASK, _OWNER_UMASK = 0o027, 0o077
_GROUP_FOLDER_MODE, _OWNER_FOLDER_MODE = 0o2750, 0o700
_KEY_MODE = 0o600
#: Folders that only the owner may enter: their content is short-lived, and only the program looks at it.
_OWNER_FOLDERS = frozenset({"spool", "canary", "set-aside"})
#: Not examined: "documents" is a cache whose reader checks the modes itself and discards what others could write;
#: "lost+found" belongs to the filesystem.
_SKIPPED_FOLDERS = frozenset({"documents", "lost+found"})
#: A file whose name begins with this prefix is a key: only the owner may read it, even if a group reads the rest.
_KEY_NAME_PREFIX = "signing_key"
#: Content objects keep their own read bits: 0400 marks sensitive ones, and immutable ones cannot be changed.
_CONTENT_FOLDER = "/lfs/objects/"
#: The extended attributes that hold a path's access-control list, and the list that new files in a folder inherit.
_ACL_ATTRIBUTES = ("system.posix_acl_access", "system.posix_acl_default")
#: ``status`` examines this many entries.  More would make it slow, because many submissions have many folders;
#: fewer could end before the last of the upper folders, which come first and guard everything below.
_QUICK_CHECK_ENTRIES = 400
#: From linux/fs.h.
_FS_IOC_GETFLAGS, _FS_IOC_SETFLAGS, _FS_IMMUTABLE_FL = 0x80086601, 0x40086602, 0x00000010


class _ProcessMask:
    """The umask, which the kernel keeps for the whole process, so that all threads share it.

    The first thread that sets the umask remembers the original, and the last thread to leave restores it.  If each
    thread restored the umask that it found, the last one to leave might restore the umask of another thread.
    """

    def __init__(self) -> None:
        """Start with no thread that has set the umask."""
        self._lock = threading.Lock()
        self._user_count = 0
        self._original_mask = 0

    def set_mask(self, mask: int) -> None:
        """Set the umask of the process to ``mask``; the newest mask is in force.

        Each call must be followed by one of :meth:`restore_mask`.
        """
        with self._lock:
            previous_mask = os.umask(mask)
            if not self._user_count:
                self._original_mask = previous_mask
            self._user_count += 1

    def restore_mask(self) -> None:
        """Restore the original umask, unless another thread has not left yet."""
        with self._lock:
            self._user_count -= 1
            if not self._user_count:
                os.umask(self._original_mask)


_process_mask = _ProcessMask()


@contextmanager
def archive_umask(root: Path | None = None) -> Iterator[None]:
    """Set the umask for writing to the archive at ``root`` during the block, for all threads of the process.

    Files and folders created in the block are for the owner, and for the reading group if the archive has one.
    With ``root`` None, the archive does not exist yet, and they are for the owner only.
    """
    _process_mask.set_mask(umask_for(root))
    try:
        yield
    finally:
        _process_mask.restore_mask()


def umask_for(root: Path | None) -> int:
    """Return the umask for writing to the folder ``root``; None stands for an archive that does not exist yet.

    New files are readable for the group of ``root`` if the group may access ``root`` itself.
    """
    try:
        is_shared = root is not None and os.stat(root).st_mode & stat.S_IRWXG
    except OSError:
        # If the group's access is unknown, the strict mask cannot give away too much.
        is_shared = False
    return _GROUP_UMASK if is_shared else _OWNER_UMASK


def reading_group_id(group_name: str) -> int | None:
    """Return the number of the reading group ``group_name``; None for an empty name, which stands for no group.

    Raises KeyError if the group does not exist.
    """
    return grp.getgrnam(group_name).gr_gid if group_name else None


def restrict_to_owner(folder: Path) -> None:
    """Restrict a new folder to the owner and drop all access-control lists; raises OSError.

    To be called while the folder is empty: entries would already have inherited its lists.
    """
    os.chmod(folder, _OWNER_FOLDER_MODE)
    _remove_acls(os.fspath(folder))


def set_access_for_group(root: Path, group_id: int | None) -> int:
    """Let the group ``group_id`` read the archive at ``root``; return the number of changed entries.

    With ``group_id`` None, only the owner may read it.  Write access is for the owner alone in either case.  If an
    entry cannot be changed, for example because the caller is not a member of the group, the others are still
    changed, and the first OSError is raised at the end.
    """
    changed_count, first_error = 0, None
    for path, entry_stat in _walk_entries(os.fspath(root)):
        try:
            changed_count += _set_access(path, entry_stat, os.fspath(root), group_id)
        except OSError as error:
            first_error = first_error or error
    if first_error is not None:
        raise first_error
    return changed_count


def _set_access(path: str, entry_stat: os.stat_result, root: str, group_id: int | None) -> bool:
    """Set the group and mode of an entry, and remove its access-control lists; return True if anything changed."""
    is_key = os.path.basename(path).startswith(_KEY_NAME_PREFIX)
    is_changed = False
    if group_id is not None and entry_stat.st_gid != group_id and not is_key:
        os.chown(path, -1, group_id, follow_symlinks=False)
        is_changed = True
    required_mode = _required_mode(path, entry_stat, root, group_id)
    # Compare the mode only now: the kernel clears the setgid bit when the group changes.
    if stat.S_IMODE(os.lstat(path).st_mode) != required_mode:
        os.chmod(path, required_mode)
        is_changed = True
    # Remove the lists last: until the mode is set, the group bits may grant more than the lists do.
    return _remove_acls(path) or is_changed


def has_expected_access(root: Path, group_id: int | None) -> bool:
    """Return True if ``root`` and its first entries have the access that :func:`set_access_for_group` sets.

    Raises OSError if ``root`` does not exist.
    """
    root_stat = os.stat(root)
    if stat.S_IMODE(root_stat.st_mode) != _folder_mode(group_id) or group_id not in (None, root_stat.st_gid):
        return False
    return next(find_overly_permissive_entries(root, group_id), None) is None


def find_overly_permissive_entries(
    root: Path, group_id: int | None, limit: int = _QUICK_CHECK_ENTRIES
) -> Iterator[Path]:
    """Yield the folders and files of the archive at ``root`` that grant too much access, parents before children.

    A folder grants too much if its mode exceeds the required mode or if it has an access-control list; a file, if
    the group or others can write to it; a key, if they have any access.  ``group_id`` is the reading group; None
    if only the owner may read.  Examines only the first ``limit`` entries.
    """
    root_path = os.fspath(root)
    for entry_number, (path, entry_stat) in enumerate(_walk_entries(root_path)):
        if entry_number >= limit:
            return
        is_folder = stat.S_ISDIR(entry_stat.st_mode)
        if is_folder and _is_folder_too_open(path, entry_stat, root_path, group_id):
            yield Path(path)
        if not is_folder and _is_file_too_open(path, entry_stat):
            yield Path(path)


def _is_folder_too_open(path: str, entry_stat: os.stat_result, root: str, group_id: int | None) -> bool:
    """Return True if a folder grants more than its required mode, or has an access-control list."""
    excess_mode = stat.S_IMODE(entry_stat.st_mode) & ~_required_mode(path, entry_stat, root, group_id) & 0o777
    return excess_mode != 0 or has_acl(path)


def _is_file_too_open(path: str, entry_stat: os.stat_result) -> bool:
    """Return True if others than the owner can write to a file, or access a key in any way."""
    # A readable file does no harm behind a closed folder; a key must be unreadable by itself.
    is_key = os.path.basename(path).startswith(_KEY_NAME_PREFIX)
    return entry_stat.st_mode & (0o077 if is_key else 0o022) != 0


def _folder_mode(group_id: int | None) -> int:
    """Return the mode of the archive's folders for a reading group, or for none."""
    return _OWNER_FOLDER_MODE if group_id is None else _GROUP_FOLDER_MODE


def _required_mode(path: str, entry_stat: os.stat_result, root: str, group_id: int | None) -> int:
    """Return the mode required for an entry of the archive; ``entry_stat`` is the present ``lstat`` result.

    Folders and keys have fixed modes; the mode of any other file depends on the rights that its owner has now.
    """
    current_mode = stat.S_IMODE(entry_stat.st_mode)
    if stat.S_ISDIR(entry_stat.st_mode):
        return _OWNER_FOLDER_MODE if _is_owner_folder(path, root) else _folder_mode(group_id)
    if os.path.basename(path).startswith(_KEY_NAME_PREFIX):
        return _KEY_MODE
    if _CONTENT_FOLDER in path:
        return current_mode & 0o444
    if group_id is None:
        return current_mode & 0o750
    # The group may read and execute what the owner may read and execute, and writes nothing.
    return (current_mode & 0o700) | ((current_mode >> 3) & 0o050)


def _is_owner_folder(path: str, root: str) -> bool:
    """Return True if ``path`` is a folder at the top of the archive that only the owner may enter."""
    parent_folder, name = os.path.split(path)
    return parent_folder == root and name in _OWNER_FOLDERS


def _walk_entries(root: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the path and the ``lstat`` result of ``root`` and of each file and folder below, upper folders first.

    Links, sockets and the like are left out, because nothing can be read from them.  So are ``_SKIPPED_FOLDERS``
    and the entries of ``_OWNER_FOLDERS`` and of folders that cannot be listed.
    """
    yield root, os.lstat(root)
    pending_folders = deque([root])
    while pending_folders:
        folder = pending_folders.popleft()
        try:
            # List the folder as a whole, before the caller changes anything in it.
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
            # Another process may have deleted the file since the folder was listed.
            with suppress(FileNotFoundError):
                yield entry.path, os.lstat(entry.path)


def has_acl(path: str) -> bool:
    """Return True if a path has an access-control list, or a default list for new files; raises OSError."""
    return bool(_list_acl_attributes(path))


def _list_acl_attributes(path: str) -> list[str]:
    """Return the names of the attributes that hold access-control lists of ``path``; raises OSError."""
    return [name for name in _ACL_ATTRIBUTES if _has_attribute(path, name)]


def _has_attribute(path: str, attribute: str) -> bool:
    """Return True if ``path`` has a non-empty extended attribute of that name; raises OSError."""
    try:
        return bool(os.getxattr(path, attribute, follow_symlinks=False))
    except OSError as error:
        # The entry has no list, its filesystem supports none, or it was deleted or may not be examined.
        if error.errno in (errno.ENODATA, errno.ENOTSUP, errno.ENOENT, errno.EACCES):
            return False
        raise


def _remove_acls(path: str) -> bool:
    """Remove the access-control lists of ``path``; return True if any existed. Raises OSError."""
    acl_attributes = _list_acl_attributes(path)
    for attribute in acl_attributes:
        os.removexattr(path, attribute, follow_symlinks=False)
    return bool(acl_attributes)


def is_immutable(path: Path) -> bool:
    """Return True if the immutable flag of ``path`` is set; False if it cannot be read."""
    try:
        return bool(_inode_flags(path) & _FS_IMMUTABLE_FL)
    except OSError:
        # A filesystem without flags (tmpfs, NFS) protects nothing, and neither does a missing file.
        return False


def set_immutable(path: Path, *, on: bool) -> None:
    """Set the immutable flag of ``path`` if ``on``, or clear it.

    Raises OSError if this process may not change the flag, or if the filesystem has no such flag or ignored the
    change.
    """
    old_flags = _inode_flags(path)
    new_flags = old_flags | _FS_IMMUTABLE_FL if on else old_flags & ~_FS_IMMUTABLE_FL
    if old_flags == new_flags:
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _FS_IOC_SETFLAGS, array.array("l", [new_flags]))
    finally:
        os.close(descriptor)
    if is_immutable(path) != on:
        raise OSError(errno.EOPNOTSUPP, "the filesystem did not take the flag", os.fspath(path))


def _inode_flags(path: Path) -> int:
    """Return the flags of a file, as in linux/fs.h; raises OSError on a filesystem without flags."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        flags_buffer = array.array("l", [0])
        fcntl.ioctl(descriptor, _FS_IOC_GETFLAGS, flags_buffer)
        return flags_buffer[0]
    finally:
        os.close(descriptor)


def clear_immutable_flag(path: Path) -> None:
    """Clear the immutable flag of ``path``, if set and if this process is allowed to; never raises OSError."""
    # If the flag stays, the caller's deletion fails and reports the reason.
    with suppress(OSError):
        if is_immutable(path):
            set_immutable(path, on=False)


class ProtectionCounts(NamedTuple):
    """The numbers of content objects that :func:`protect_objects` changed and examined."""

    changed: int  # objects whose flag was set or cleared
    total: int  # all objects, including those that had the right flag already


def protect_objects(objects: Path, *, on: bool) -> ProtectionCounts:
    """Set the immutable flag of every content object below the folder ``objects`` if ``on``, or clear it.

    Stops at the first object that cannot be changed, and raises OSError with the path of that object.
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
    return ProtectionCounts(changed_count, total_count)
