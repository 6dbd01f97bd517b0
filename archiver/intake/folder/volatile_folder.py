"""Keep files that a service writes often and may lose in a folder in memory, so that an idle disk can sleep.

The name of this *volatile folder* is derived from the device and inode of the archive's folder, so that other
processes on the machine find it.  Neither other containers nor the host see the volatile folder of a container.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

#: The folder of a filesystem in memory on Linux.  Every user can create files and folders there.
_MEMORY_FOLDER = "/dev/shm"
#: The archive's owner writes to the volatile folder, and the group that may read the archive reads it.
_MODE = 0o750


class VolatileFolder:
    """The volatile folder of a running service; the service removes the folder with :meth:`close`.

    A service that is killed leaves the folder behind, and the next service uses it.
    """

    def __init__(self, archive_root: Path) -> None:
        """Prepare the volatile folder of the archive at ``archive_root``; :meth:`ensure` creates the folder."""
        self._archive_root = archive_root
        #: The path of the volatile folder; None before :meth:`ensure`, and if that returned None.
        self.path: Path | None = None

    def ensure(self) -> Path | None:
        """Create the volatile folder if necessary; return the path.

        Returns None if the folder cannot be created, or if another user has created it.
        """
        try:
            path = _find_volatile_path(self._archive_root)
            # An earlier service may have left the folder behind.
            with suppress(FileExistsError):
                path.mkdir(_MODE)
                # The group of the archive's folder may read the archive, and so may read here, too.  If this call
                # fails, only the owner can.
                with suppress(OSError):
                    os.chown(path, -1, os.stat(self._archive_root).st_gid)
            self.path = path if _is_folder_of_user(path, os.geteuid()) else None
        except OSError:
            # Some containers have no filesystem in memory, or it is full.
            self.path = None
        return self.path

    def close(self) -> None:
        """Remove the volatile folder and everything in it; a second call does nothing."""
        if self.path is not None:
            # Commands that only read import this module, and this import takes milliseconds.
            import shutil

            shutil.rmtree(self.path, ignore_errors=True)
            self.path = None


def find_volatile_folder(archive_root: Path) -> Path | None:
    """Return the path of the volatile folder of a service that runs, or was killed, for an archive.

    ``archive_root`` is the archive's folder.  Returns None if there is no volatile folder, if this process cannot
    see it, or if it belongs to another user than the archive's folder.
    """
    try:
        path = _find_volatile_path(archive_root)
        return path if _is_folder_of_user(path, os.stat(archive_root).st_uid) else None
    except OSError:
        # No service has created the folder, or this process may not look.
        return None


def _find_volatile_path(archive_root: Path) -> Path:
    """Return the path of an archive's volatile folder, whether or not it exists.

    Raises OSError if the archive's folder cannot be examined.
    """
    archive_stat = os.stat(archive_root)
    return Path(_MEMORY_FOLDER, f"archiver-{archive_stat.st_uid}-{archive_stat.st_dev:x}-{archive_stat.st_ino:x}")


def _is_folder_of_user(path: Path, user_id: int) -> bool:
    """Return True if ``path`` is a folder, not a link to one, and belongs to the user with the ID ``user_id``.

    Otherwise another user may have created it, to read or to forge the files.  Raises OSError if nothing exists at
    ``path``.
    """
    folder_stat = os.lstat(path)
    return stat.S_ISDIR(folder_stat.st_mode) and folder_stat.st_uid == user_id
