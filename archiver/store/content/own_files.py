"""Recognize the archive's own folders and keys by device and inode, under any path.

A bind mount or a container volume can show the archive, or a part of it, inside the watched folder.  Capturing
that would archive the signing key, and each version would cause the next.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

#: Folders of the archive whose entries are listed one by one; the others hold too many, and are recognized whole.
_LISTED_FOLDERS = (b"", b"/keys", b"/archive.git", b"/archive.git/lfs")


class OwnFile(OSError):
    """Refusal to read a file of the archive; ``path`` is its top, relative to the watched folder."""

    def __init__(self, path: bytes) -> None:
        super().__init__(errno.EPERM, "it is part of the archive itself")
        self.path = path


class OwnFiles:
    """The files of the archive, which must not be captured under any path."""

    def __init__(self, archive: bytes | None) -> None:
        """Read the identities below the folder ``archive``; None or an unreadable folder has no own file."""
        self._archive = archive
        #: Device and inode of each file, as read last.
        self.identities = self._read_identities()

    def holds(self, status: os.stat_result) -> bool:
        """Return True if a file with this ``stat`` result belongs to the archive."""
        identity = (status.st_dev, status.st_ino)
        if identity not in self.identities:
            return False
        # The kernel reuses inode numbers: the file must belong to the archive now, not only when last read.
        self.identities = self._read_identities()
        return identity in self.identities

    def refuse(self, status: os.stat_result, path: bytes) -> None:
        """Raise OwnFile if the file at ``path``, with this ``stat`` result, belongs to the archive."""
        if self.holds(status):
            raise OwnFile(path)

    def _read_identities(self) -> frozenset[tuple[int, int]]:
        if self._archive is None:
            return frozenset()
        identities: set[tuple[int, int]] = set()
        for folder in _LISTED_FOLDERS:
            # A reader of the archive may not list every folder; the upper ones are recognized all the same.
            with suppress(OSError):
                status = os.stat(self._archive + folder)
                identities.add((status.st_dev, status.st_ino))
                for name in os.listdir(self._archive + folder):
                    status = os.lstat(os.path.join(self._archive + folder, name))
                    identities.add((status.st_dev, status.st_ino))
        return frozenset(identities)
