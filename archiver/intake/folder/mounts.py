"""Read the mount table, and find the remote mounts of a folder, whose changes may raise no inotify event.

A mount counts as *remote* if another machine, or the program behind a FUSE filesystem, can change its files: such
a change raises no inotify event here (docs/traps.md).  A remote filesystem may also hang.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

_MOUNT_TABLE_FILE = Path("/proc/self/mountinfo")
#: Types of filesystems whose files other machines or programs can change without the knowledge of this kernel.
_REMOTE_FILESYSTEMS = frozenset(
    {
        *("9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "fhgfs", "fuse", "fuseblk", "gfs"),
        *("gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs"),
        *("prl_fs", "pvfs2", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs"),
    }
)
#: A byte of a path in the mount table that stands there as three octal digits, for example a space.
_OCTAL_ESCAPE = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of the mount table."""

    point: bytes  # the path where it is mounted
    filesystem: str  # the type, such as "ext4" or "fuse.sshfs"
    device: bytes = b""  # major:minor; empty if the mount table could not be read
    root: bytes = b"/"  # the folder within the filesystem that is mounted

    @property
    def is_remote(self) -> bool:
        """Return True if files of this mount can change without an inotify event on this machine."""
        filesystem_family = self.filesystem.partition(".")[0]
        return filesystem_family in _REMOTE_FILESYSTEMS


def read_mounts() -> list[Mount]:
    """Return the mounts that this process sees, in the table's order; empty if /proc is not mounted."""
    try:
        return parse_mounts(_MOUNT_TABLE_FILE.read_bytes())
    except OSError:
        # For example a container without /proc.  Every path then lies on a mount of the filesystem "unknown".
        return []


def parse_mounts(table: bytes) -> list[Mount]:
    """Return the mounts of a ``mountinfo`` table, proc_pid_mountinfo(5), in table order.

    Lines of another form are skipped.
    """
    mounts = []
    for line in table.splitlines():
        fields = line.split(b" ")
        if b"-" not in fields[6:] or len(fields) < 9:
            continue
        # From the seventh field on, there may be optional fields, then a hyphen and the filesystem's type.
        filesystem = fields[fields.index(b"-", 6) + 1]
        root, point = (_OCTAL_ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), field) for field in fields[3:5])
        mounts.append(Mount(point, filesystem.decode("ascii", "replace"), fields[2], root))
    return mounts


def find_mount(path: Path | bytes, mounts: list[Mount]) -> Mount:
    """Return the mount that holds ``path``, which is absolute and free of links.

    If the table has no such mount, a mount of the filesystem "unknown" at ``/`` is returned.
    """
    path_bytes = os.fsencode(path)
    enclosing_mounts = [mount for mount in mounts if _is_at_or_below(path_bytes, mount.point)]
    # Of several mounts on one point, the last one hides the others; of equal lengths, max() returns the first.
    return max(reversed(enclosing_mounts), key=lambda mount: len(mount.point), default=Mount(b"/", "unknown"))


def find_remote_mount(path: Path | bytes, mounts: list[Mount]) -> Mount | None:
    """Return the mount holding ``path`` if remote, else a remote mount below ``path``, or None.

    ``path`` is absolute and free of links.
    """
    path_bytes = os.fsencode(path)
    # Of several mounts on one point, the dict keeps the last one, which hides the others.
    visible_mounts = {mount.point: mount for mount in mounts if _is_at_or_below(mount.point, path_bytes)}
    candidates = [find_mount(path_bytes, mounts), *visible_mounts.values()]
    return next((mount for mount in candidates if mount.is_remote), None)


def _is_at_or_below(path: bytes, folder: bytes) -> bool:
    """Return True if an absolute path is or lies in ``folder``."""
    return path == folder or path.startswith(folder.rstrip(b"/") + b"/")
