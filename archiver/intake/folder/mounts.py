"""Read the mount table, and find the remote mounts of a folder, whose changes may raise no inotify event.

A mount counts as *remote* unless this kernel alone changes its files: a change by another machine, or by the
program behind a FUSE filesystem, raises no inotify event here (docs/traps.md).  A remote filesystem may also hang.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

_MOUNT_TABLE_FILE = Path("/proc/self/mountinfo")
#: Types of filesystems whose files nobody changes without the knowledge of this kernel.  A type that is missing
#: here costs polling; with a type that is here by mistake, the next full scan is the first to notice a change.
_LOCAL_FILESYSTEMS = frozenset(
    {
        *("bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "minix", "nilfs2", "reiserfs", "xfs", "zfs"),
        *("apfs", "exfat", "hfs", "hfsplus", "msdos", "ntfs", "ntfs3", "ufs", "vfat"),
        *("cramfs", "erofs", "iso9660", "romfs", "squashfs", "udf"),
        # Each change of a file in a layer below goes through the kernel as well.
        *("aufs", "ecryptfs", "overlay", "shiftfs"),
        *("devtmpfs", "proc", "ramfs", "rootfs", "sysfs", "tmpfs"),
        # The mount point alone: what is mounted there has its own line.
        "autofs",
    }
)
#: Types of filesystems that store when a file was last changed (ctime), which no program can set back.  FAT has
#: only the mtime, and so have most FUSE filesystems, such as sshfs and ``rclone mount``, which show it as both.  A
#: type that is missing here costs a second reading of its files; with one that is here by mistake, a change that
#: keeps size and mtime is never noticed.
_FILESYSTEMS_WITH_CTIME = (_LOCAL_FILESYSTEMS - {"exfat", "hfs", "msdos", "vfat"}) | frozenset(
    {
        *("9p", "ceph", "cifs", "gfs2", "lustre", "nfs", "nfs4", "ocfs2", "smb3", "virtiofs"),
        *("fuse.bindfs", "fuse.ceph", "fuse.glusterfs", "fuse.mergerfs"),
    }
)
#: The type where the mount table does not show the mount of a path: in a plain chroot, or without /proc.
_UNKNOWN_FILESYSTEM = "unknown"
#: Positions in a line of the mount table, see proc_pid_mountinfo(5): the mount's number, the device, the root, the
#: mount point, and the first of the optional fields, which end with a hyphen.
_NUMBER_FIELD, _DEVICE_FIELD, _ROOT_FIELD, _POINT_FIELD, _FIRST_OPTIONAL_FIELD = 0, 2, 3, 4, 6
#: A line has at least six fields in front of the optional ones, the hyphen, and three fields after it.
_MIN_FIELDS = 9
#: A byte of a path in the mount table that stands there as three octal digits, for example a space.
_OCTAL_ESCAPE = re.compile(rb"\\([0-7]{3})")


class Mount(NamedTuple):
    """One line of the mount table."""

    point: bytes  # the path where it is mounted
    filesystem: str  # the type, such as "ext4" or "fuse.sshfs"
    device: bytes = b""  # major:minor; empty if the mount table could not be read
    root: bytes = b"/"  # the folder within the filesystem that is mounted
    source: bytes = b""  # such as "/dev/sda1" or "nas:/export"
    number: bytes = b""  # differs between mounts that exist at the same time

    @property
    def is_remote(self) -> bool:
        """Return True if files of this mount can change without an inotify event on this machine."""
        return self.filesystem not in _LOCAL_FILESYSTEMS and self.filesystem != _UNKNOWN_FILESYSTEM

    @property
    def has_ctime(self) -> bool:
        """Return True if the filesystem stores when a file was last changed, whatever its mtime says."""
        return self.filesystem in _FILESYSTEMS_WITH_CTIME or self.filesystem == _UNKNOWN_FILESYSTEM


def read_mounts() -> list[Mount]:
    """Return the mounts that this process sees, in the table's order; empty if /proc is not mounted."""
    try:
        return parse_mounts(_MOUNT_TABLE_FILE.read_bytes())
    except OSError:
        # For example a container without /proc.  Every path then lies on a mount of an unknown filesystem.
        return []


def parse_mounts(table: bytes) -> list[Mount]:
    """Return the mounts of a ``mountinfo`` table, proc_pid_mountinfo(5), in table order.

    Lines of another form are skipped.
    """
    mounts = []
    for table_line in table.splitlines():
        line_fields = table_line.split(b" ")
        if b"-" not in line_fields[_FIRST_OPTIONAL_FIELD:] or len(line_fields) < _MIN_FIELDS:
            continue
        filesystem, source = line_fields[line_fields.index(b"-", _FIRST_OPTIONAL_FIELD) + 1 :][:2]
        mounts.append(
            Mount(
                point=_unescape_path(line_fields[_POINT_FIELD]),
                filesystem=filesystem.decode("ascii", "replace"),
                device=line_fields[_DEVICE_FIELD],
                root=_unescape_path(line_fields[_ROOT_FIELD]),
                source=_unescape_path(source),
                number=line_fields[_NUMBER_FIELD],
            )
        )
    return mounts


def _unescape_path(escaped_path: bytes) -> bytes:
    """Return a path of the mount table with each octal escape replaced by its byte."""
    return _OCTAL_ESCAPE.sub(lambda escape: bytes([int(escape[1], 8)]), escaped_path)


def find_mount(path: Path | bytes, mounts: list[Mount]) -> Mount:
    """Return the mount that holds ``path``, which is absolute and free of links.

    If the table has no such mount, a mount of an unknown filesystem at ``/`` is returned.
    """
    path_bytes = os.fsencode(path)
    enclosing_mounts = [mount for mount in mounts if _is_at_or_below(path_bytes, mount.point)]
    # Of several mounts on one point, the last one hides the others; of equal lengths, max() returns the first.
    unknown_mount = Mount(b"/", _UNKNOWN_FILESYSTEM)
    return max(reversed(enclosing_mounts), key=lambda mount: len(mount.point), default=unknown_mount)


def find_remote_mount(path: Path | bytes, mounts: list[Mount]) -> Mount | None:
    """Return the mount that holds ``path`` if this mount is remote, otherwise a remote mount below ``path``.

    ``path`` is absolute and free of links.  Returns None if no such mount is remote.
    """
    path_bytes = os.fsencode(path)
    # Of several mounts on one point, the dict keeps the last one, which hides the others.
    visible_mounts = {mount.point: mount for mount in mounts if _is_at_or_below(mount.point, path_bytes)}
    candidate_mounts = [find_mount(path_bytes, mounts), *visible_mounts.values()]
    return next((mount for mount in candidate_mounts if mount.is_remote), None)


def find_mounts_below(path: bytes, mounts: list[Mount]) -> dict[bytes, Mount]:
    """Return the visible mounts below ``path``, by relative path.

    ``path`` is absolute and free of links.  A mount point of autofs counts as a mount, because a look at it mounts
    the filesystem.
    """
    prefix = path.rstrip(b"/") + b"/"
    return {mount.point[len(prefix) :]: mount for mount in mounts if mount.point.startswith(prefix)}


def _is_at_or_below(path: bytes, folder: bytes) -> bool:
    """Return True if ``path`` is ``folder`` or lies in it; both are absolute."""
    return path == folder or path.startswith(folder.rstrip(b"/") + b"/")
