"""Distinguish the watched folder from anything else at its path: an empty mount point, or another folder."""

from __future__ import annotations

import os
import stat

from archiver.intake.folder import mounts
from archiver.intake.folder.access import FolderAccess
from archiver.intake.snapshot import Snapshot
from archiver.store import names


class FolderPresence:
    """Compare the folder at a path with the folder that was scanned before, as recorded in ``state.db``."""

    def __init__(self, watched_path: bytes, access: FolderAccess, snapshot: Snapshot) -> None:
        """Read the folder at ``watched_path`` through ``access``, and compare it with the records in ``snapshot``.

        The caller closes both.
        """
        self._access = access
        self._snapshot = snapshot
        # Resolved only once, because resolving the path may wait for ever on a hanging share.
        self.real_path = os.path.realpath(watched_path)

    def is_present(self) -> bool:
        """Return True if the folder at the path can be trusted to be the watched folder.

        It is trusted if it is the folder that was scanned before, or if none was scanned before.  A folder that
        replaced the scanned one is trusted too, with two exceptions: it lies on an outer mount, or it is empty
        although something is archived.  An unmounted share leaves such a folder behind, its mount point, and that
        must not count as a deletion of everything.
        """
        present_identity = self.identity()
        if present_identity is None:
            return False
        scanned_identity = self._snapshot.meta("root")
        if present_identity == scanned_identity or not scanned_identity:
            return True
        # Both mount points hold the same path, so the shorter one is the outer one.
        if len(self._mount_point()) < len(self._snapshot.meta("root_mount")):
            return False
        try:
            is_empty = next(self._access.list_folder(b""), None) is None
            return not is_empty or not self._snapshot.folders_below(b"")
        except OSError:
            # A folder that cannot be listed contains nothing that would prove it to be the watched folder.
            return False

    def identity(self) -> str | None:
        """Return MOUNT_POINT:INODE of the folder, which another folder at the same path does not have.

        Returns None if there is no folder, or if the folder cannot be examined.
        """
        try:
            root_entry = self._access.look_up(b"")
        except OSError:
            # The folder is missing, unmounted or hanging.  The callers wait until it is back.
            return None
        return f"{self._mount_point()}:{root_entry.stat_data.inode}" if stat.S_ISDIR(root_entry.mode) else None

    def record_scanned_folder(self) -> None:
        """Record that this folder has been scanned, and so is the watched folder from now on.

        Raises sqlite3.Error if ``state.db`` cannot be written.
        """
        self._snapshot.set_meta("root", self.identity() or "")
        self._snapshot.set_meta("root_mount", self._mount_point())

    def allow_other_mount(self) -> None:
        """Let :meth:`is_present` accept the folder on an outer mount, because it was moved on purpose.

        Raises sqlite3.Error if ``state.db`` cannot be written.
        """
        self._snapshot.set_meta("root_mount", "")

    def _mount_point(self) -> str:
        """Return the readable form of the path where the folder's filesystem is mounted."""
        return names.name_as_text(mounts.find_mount(self.real_path, mounts.read_mounts()).point)
