"""Whether events can be trusted on a folder, by what is mounted there.

A change made by another machine raises no inotify event here, and a FUSE
filesystem raises none for what changes behind it (docs/design.md, section 8).
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
        *(
            "9p",
            "acfs",
            "afs",
            "beegfs",
            "ceph",
            "cifs",
            "coda",
            "davfs",
            "fhgfs",
            "fuse",
            "fuseblk",
            "gfs",
            "gfs2",
        ),
        *("glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "prl_fs", "pvfs2"),
        *("smb3", "smbfs", "virtiofs", "vboxsf", "vmhgfs"),
    }
)
_ESCAPE = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of the mount table: where, which filesystem, and which folder of it (``root``) of which device."""

    point: bytes
    filesystem: str
    device: bytes = b""
    root: bytes = b"/"

    @property
    def is_remote(self) -> bool:
        """Whether events from it cannot be trusted."""
        return self.filesystem.partition(".")[0] in _REMOTE


def read_table() -> bytes:
    """The kernel's mount table of this process; empty where there is none."""
    try:
        return _TABLE.read_bytes()
    except OSError:
        return b""


def parse(table: bytes) -> list[Mount]:
    """The mounts of a ``mountinfo`` table, proc_pid_mountinfo(5), in its order."""
    mounts = []
    for line in table.splitlines():
        fields = line.split(b" ")
        if b"-" not in fields[6:] or len(fields) < 9:
            continue
        kind = fields[fields.index(b"-", 6) + 1]
        root, point = (_ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), field) for field in fields[3:5])
        mounts.append(Mount(point, kind.decode("ascii", "replace"), fields[2], root))
    return mounts


def mount_of(path: Path | bytes, mounts: list[Mount]) -> Mount:
    """The mount that holds ``path``, which is absolute and free of links."""
    name = os.fsencode(path)
    # The last one mounted on a point hides those before it.
    holding = [mount for mount in mounts if _is_below(name, mount.point)]
    return max(reversed(holding), key=lambda mount: len(mount.point), default=Mount(b"/", "unknown"))


def untrusted(path: Path | bytes, mounts: list[Mount]) -> Mount | None:
    """The first mount at or below ``path`` whose events cannot be trusted."""
    name = os.fsencode(path)
    visible = {mount.point: mount for mount in mounts if _is_below(mount.point, name)}
    candidates = [mount_of(name, mounts), *visible.values()]
    return next((mount for mount in candidates if mount.is_remote), None)


def _is_below(path: bytes, top: bytes) -> bool:
    return path == top or path.startswith(top.rstrip(b"/") + b"/")
