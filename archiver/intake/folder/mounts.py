"""Read the mount table, and tell by the filesystem whether inotify events of a folder can be trusted.

A change made by another machine raises no inotify event here, and a FUSE
filesystem raises none for what changes behind it (docs/traps.md).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

_TABLE = Path("/proc/self/mountinfo")
#: Filesystems whose files other machines or programs change behind the kernel's back.
_REMOTE = frozenset(
    {
        *("9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "fhgfs", "fuse", "fuseblk", "gfs"),
        *("gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs"),
        *("prl_fs", "pvfs2", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs"),
    }
)
_ESCAPE = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of the mount table."""

    point: bytes  # the path where it is mounted
    filesystem: str  # such as "ext4" or "fuse.sshfs"
    device: bytes = b""  # major:minor
    root: bytes = b"/"  # the folder of the filesystem that is mounted

    @property
    def is_remote(self) -> bool:
        """Return True if others change its files without an event here."""
        return self.filesystem.partition(".")[0] in _REMOTE


def read_mounts() -> list[Mount]:
    """Return the mounts that this process sees; none where /proc is not mounted."""
    try:
        return parse_mounts(_TABLE.read_bytes())
    except OSError:
        # A container without /proc: mount_of() then answers "unknown" for every path.
        return []


def parse_mounts(table: bytes) -> list[Mount]:
    """Parse a ``mountinfo`` table, proc_pid_mountinfo(5), in its order; skip lines of another form."""
    mounts = []
    for line in table.splitlines():
        fields = line.split(b" ")
        if b"-" not in fields[6:] or len(fields) < 9:
            continue
        # Optional fields end with a hyphen; the filesystem follows.
        filesystem = fields[fields.index(b"-", 6) + 1]
        root, point = (_ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), field) for field in fields[3:5])
        mounts.append(Mount(point, filesystem.decode("ascii", "replace"), fields[2], root))
    return mounts


def mount_of(path: Path | bytes, mounts: list[Mount]) -> Mount:
    """Return the mount that holds ``path``, which is absolute and free of links."""
    name = os.fsencode(path)
    # Of several mounts on one point, the last one hides the others.
    enclosing = [mount for mount in mounts if _is_at_or_below(name, mount.point)]
    return max(reversed(enclosing), key=lambda mount: len(mount.point), default=Mount(b"/", "unknown"))


def untrusted_mount(path: Path | bytes, mounts: list[Mount]) -> Mount | None:
    """Return the first mount at or below ``path`` whose events cannot be trusted; None if there is none."""
    name = os.fsencode(path)
    visible = {mount.point: mount for mount in mounts if _is_at_or_below(mount.point, name)}
    candidates = [mount_of(name, mounts), *visible.values()]
    return next((mount for mount in candidates if mount.is_remote), None)


def _is_at_or_below(path: bytes, top: bytes) -> bool:
    return path == top or path.startswith(top.rstrip(b"/") + b"/")
