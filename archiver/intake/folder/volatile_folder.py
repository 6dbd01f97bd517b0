"""A folder in memory for what a service writes all the time and may lose: an idle archive's disk can sleep.

Its name is made of the identity of the archive's folder, so that other processes on the machine find it.  The one
in a container is seen neither by other containers nor by the host.
"""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

#: A file system in memory, on Linux.
_MEMORY_FOLDER = "/dev/shm"
_MODE = 0o750


class VolatileFolder:
    """The folder of one running service; removed by :meth:`close`.

    After a kill it stays, and the next service uses it.
    """

    def __init__(self, archive_root: Path) -> None:
        """Prepare the folder for the archive at ``archive_root``; nothing is made before :meth:`ensure`."""
        self._archive_root = archive_root
        #: None before :meth:`ensure`, and where no such folder can be made.
        self.path: Path | None = None

    def ensure(self) -> Path | None:
        """Return the folder, which is made if it does not exist; None if that is impossible."""
        try:
            path = _path_for(self._archive_root)
            with suppress(FileExistsError):
                path.mkdir(_MODE)
                # So that the reading group, which the archive belongs to, can look there.
                with suppress(OSError):
                    os.chown(path, -1, os.stat(self._archive_root).st_gid)
            self.path = path if _is_own_folder(path, os.geteuid()) else None
        except OSError:
            # There is no such file system, as in some containers, or it is full.
            self.path = None
        return self.path

    def close(self) -> None:
        """Remove the folder with all that is in it."""
        if self.path is not None:
            shutil.rmtree(self.path, ignore_errors=True)
            self.path = None


def find_volatile_folder(archive_root: Path) -> Path | None:
    """Return the folder of the service that runs for the archive at ``archive_root``.

    None if there is none, if it cannot be seen from here, or if it belongs to another user than the archive.
    """
    try:
        path = _path_for(archive_root)
        return path if _is_own_folder(path, os.stat(archive_root).st_uid) else None
    except OSError:
        return None


def _path_for(archive_root: Path) -> Path:
    """Return the path of the folder, whether or not it exists; raises OSError if the archive cannot be seen."""
    archive_stat = os.stat(archive_root)
    return Path(_MEMORY_FOLDER, f"archiver-{archive_stat.st_uid}-{archive_stat.st_dev:x}-{archive_stat.st_ino:x}")


def _is_own_folder(path: Path, owner: int) -> bool:
    """Return True if a folder at ``path`` belongs to the user ``owner``; anybody can make one there.

    Raises OSError if there is nothing.
    """
    folder_stat = os.lstat(path)
    return stat.S_ISDIR(folder_stat.st_mode) and folder_stat.st_uid == owner
