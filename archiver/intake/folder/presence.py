"""Tell the watched folder from whatever else may lie at its path: an empty mount point, another folder."""

from __future__ import annotations

import os
import stat

from archiver.intake.folder import mounts
from archiver.intake.folder.access import FolderAccess
from archiver.intake.snapshot import Snapshot
from archiver.store import names


class FolderPresence:
    """Compare the folder at one path with the one that was scanned before, as ``state.db`` remembers it."""

    def __init__(self, watched_path: bytes, access: FolderAccess, snapshot: Snapshot) -> None:
        self._access = access
        self._snapshot = snapshot
        # Resolved once: on a share that hangs, even this waits.
        self.real_path = os.path.realpath(watched_path)

    def is_present(self) -> bool:
        """Return True if the folder can be trusted to be the watched one.

        An unmounted share leaves its mount point behind.  If that is empty, or the folder was on a mount of its
        own before and is not now, this is not a deletion of everything.
        """
        identity = self.identity()
        if identity is None:
            return False
        scanned_identity = self._snapshot.meta("root")
        if identity == scanned_identity or not scanned_identity:
            return True
        if len(self._mount_point()) < len(self._snapshot.meta("root_mount")):
            return False
        try:
            return next(self._access.list_folder(b""), None) is not None or not self._snapshot.folders_below(b"")
        except OSError:
            # A folder that cannot be listed shows nothing that would prove it to be the watched one.
            return False

    def identity(self) -> str | None:
        """Return mount point and inode, which tell this folder from its successors; None without a folder."""
        try:
            entry = self._access.look_up(b"")
        except OSError:
            # Gone, unmounted or hanging; whoever asks waits until it is back.
            return None
        return f"{self._mount_point()}:{entry.signature.inode}" if stat.S_ISDIR(entry.mode) else None

    def remember(self) -> None:
        """Record that this folder has been scanned: it is the watched one from now on."""
        self._snapshot.set_meta("root", self.identity() or "")
        self._snapshot.set_meta("root_mount", self._mount_point())

    def allow_other_mount(self) -> None:
        """Record that the folder has moved on purpose: it may lie on another mount than before."""
        self._snapshot.set_meta("root_mount", "")

    def _mount_point(self) -> str:
        return names.text(mounts.mount_of(self.real_path, mounts.read_mounts()).point)
