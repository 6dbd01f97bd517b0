"""Recognize the archive's own folders and keys, and the program's own log, whatever path leads to them.

A bind mount or a container volume can show the archive, or a part of it, inside the watched folder.  Capturing it
would archive the signing key, and each version would change the archive and so cause the next version.  So would a
log in the watched folder, to which the output of the service is redirected.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

#: Folders whose entries are listed one by one, relative to the archive's folder.  Folders below these have too
#: many entries to be listed, but are recognized themselves, and so never entered.
_LISTED_FOLDERS = (b"", b"/keys", b"/archive.git", b"/archive.git/lfs")


class OwnFile(OSError):
    """A file or folder belongs to the archive or is the program's log, and must not be read or entered."""

    def __init__(self, path: bytes) -> None:
        """Refuse ``path``, relative to the watched folder: the first part of the archive on the path to a file."""
        super().__init__(errno.EPERM, "it is part of the archive itself")
        self.path = path


class OwnFiles:
    """The files of the archive and the program's log, which must not be captured under any path."""

    def __init__(self, archive: bytes | None) -> None:
        """Note the device and the inode number of each file and folder in ``archive``, the archive's folder.

        If ``archive`` is None or cannot be read, no file is recognized.
        """
        self._archive = archive
        #: The device and the inode number of each file when the archive was last listed.
        self.identities = self._read_identities()

    def contains_file(self, file_stat: os.stat_result) -> bool:
        """Return True if a file with this ``stat`` result belongs to the archive, or is the program's log.

        Lists the archive again before it returns True.  A file that was added to the archive after the last
        listing is not recognized.
        """
        device_and_inode = (file_stat.st_dev, file_stat.st_ino)
        if device_and_inode not in self.identities:
            return False
        # The kernel reuses inode numbers, so this file may have the number of a deleted file of the archive.
        self.identities = self._read_identities()
        return device_and_inode in self.identities

    def refuse_own_file(self, file_stat: os.stat_result, path: bytes) -> None:
        """Raise OwnFile for ``path`` if :meth:`contains_file` is True for this ``stat`` result."""
        if self.contains_file(file_stat):
            raise OwnFile(path)

    def _read_identities(self) -> frozenset[tuple[int, int]]:
        """Return device and inode of the folders in ``_LISTED_FOLDERS``, of all their entries, and of the log."""
        if self._archive is None:
            return frozenset()
        identities = read_log_identities()
        for folder in _LISTED_FOLDERS:
            # This user may not be allowed to list a folder; the folders above it are still recognized.
            with suppress(OSError):
                entry_stat = os.stat(self._archive + folder)
                identities.add((entry_stat.st_dev, entry_stat.st_ino))
                for entry_name in os.listdir(self._archive + folder):
                    entry_stat = os.lstat(os.path.join(self._archive + folder, entry_name))
                    identities.add((entry_stat.st_dev, entry_stat.st_ino))
        return frozenset(identities)


def read_log_identities() -> set[tuple[int, int]]:
    """Return device and inode of the files to which the output of this process is redirected."""
    identities = set()
    for descriptor in (1, 2):
        # Whoever started the process may have closed it.
        with suppress(OSError):
            output_stat = os.fstat(descriptor)
            if stat.S_ISREG(output_stat.st_mode):
                identities.add((output_stat.st_dev, output_stat.st_ino))
    return identities
