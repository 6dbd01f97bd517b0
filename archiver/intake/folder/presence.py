"""Telling the watched folder from what else may be found at its path: an empty mount point, another folder."""

from __future__ import annotations

import os
import stat

from archiver.intake.folder import mounts
from archiver.intake.folder.access import FolderAccess
from archiver.intake.snapshot import Snapshot
from archiver.store import names


class Presence:
    """Whether the folder at one path is the one that was compared with the archive before."""

    def __init__(self, watched_path: bytes, access: FolderAccess, snapshot: Snapshot) -> None:
        self._access = access
        self._snapshot = snapshot
        # Once: on a share that hangs, even this waits.
        self.place = os.path.realpath(watched_path)

    def is_there(self) -> bool:
        """Return True if the folder can be trusted to be the watched one.

        An unmounted share leaves its mount point behind.  If that is empty, or
        the folder was on a mount of its own before and is not now, that is no
        deletion of everything.
        """
        identity = self.identity()
        if identity is None:
            return False
        known = self._snapshot.meta("root")
        if identity == known or not known:
            return True
        point = self._snapshot.meta("root_mount")
        if len(self._mount_point()) < len(point):
            return False
        try:
            return next(self._access.entries(b""), None) is not None or not self._snapshot.folders_below(b"")
        except OSError:
            return False

    def identity(self) -> str | None:
        """Return what tells this folder from another one at the same place; None without a folder."""
        try:
            entry = self._access.entry(b"")
        except OSError:
            return None
        return f"{self._mount_point()}:{entry.signature.inode}" if stat.S_ISDIR(entry.mode) else None

    def remember(self) -> None:
        """Note that this folder has been scanned: it is the one from now on."""
        self._snapshot.set_meta("root", self.identity() or "")
        self._snapshot.set_meta("root_mount", self._mount_point())

    def allow_other_mount(self) -> None:
        """Note that the folder has moved on purpose: it may lie on another mount than before."""
        self._snapshot.set_meta("root_mount", "")

    def _mount_point(self) -> str:
        return names.text(mounts.mount_of(self.place, mounts.parse(mounts.read_table())).point)
