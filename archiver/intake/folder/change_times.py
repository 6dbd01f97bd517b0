"""Tell for which files a filesystem stores when they were changed, so that a change cannot go unnoticed.

A program may set the modification time of a file back after a change, as copying tools do.  Where the filesystem
has no ctime, such a file looks unchanged if its size is the same as well.
"""

from __future__ import annotations

from archiver.intake.folder import mounts
from archiver.intake.folder.mounts_below import is_covered


class ChangeTimes:
    """The filesystems of the watched folder, as they are mounted at the moment."""

    def __init__(self, real_path: bytes) -> None:
        """Look at the mounts at and below ``real_path``, the watched folder's path without links.

        The folder itself is not looked at: it may hang.
        """
        mount_table = mounts.read_mounts()
        self._root_mount = mounts.find_mount(real_path, mount_table)
        self._inner_mounts = mounts.find_mounts_below(real_path, mount_table)

    @property
    def filesystem_without_ctime(self) -> str:
        """Return the type of a filesystem that does not store when files are changed; empty if there is none."""
        mounts_of_folder = [self._root_mount, *self._inner_mounts.values()]
        return next((mount.filesystem for mount in mounts_of_folder if not mount.has_ctime), "")

    def are_stored(self, path: bytes) -> bool:
        """Return True if the filesystem of a path below the watched folder stores when files are changed."""
        enclosing = [point for point in self._inner_mounts if is_covered(path, (point,))]
        mount = self._inner_mounts[max(enclosing, key=len)] if enclosing else self._root_mount
        return mount.has_ctime
