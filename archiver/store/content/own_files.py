"""The archive's own folders and keys, known by device and inode: a path tells nothing.

A bind mount or a container volume can show the archive, or a part of it, inside the watched folder.
What is read from there would be archived, the signing key too, and each version would make the next.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

#: Folders of the archive whose entries count one by one; below the others names fan out without end.
_LISTED = (b"", b"/keys", b"/archive.git", b"/archive.git/lfs")


class OwnFile(OSError):
    """What was to be read belongs to the archive; ``path``: where it begins, relative to the watched folder."""

    def __init__(self, path: bytes) -> None:
        super().__init__(errno.EPERM, "it is part of the archive itself")
        self.path = path


class OwnFiles:
    """What must not be archived, wherever it is met."""

    def __init__(self, archive: bytes | None) -> None:
        """``archive``: its folder; None, or one that cannot be read: nothing is known."""
        self._archive = archive
        #: Device and inode of each, as of the last look.
        self.known = self._look()

    def holds(self, status: os.stat_result) -> bool:
        """Whether this is one of them."""
        identity = (status.st_dev, status.st_ino)
        if identity not in self.known:
            return False
        # An inode number is given again: what lies in the archive now counts, not what lay there once.
        self.known = self._look()
        return identity in self.known

    def refuse(self, status: os.stat_result, path: bytes) -> None:
        """Raise OwnFile for one of them, met at ``path``."""
        if self.holds(status):
            raise OwnFile(path)

    def _look(self) -> frozenset[tuple[int, int]]:
        if self._archive is None:
            return frozenset()
        found: set[tuple[int, int]] = set()
        for below in _LISTED:
            # A reader of the archive may not list all of it.
            with suppress(OSError):
                status = os.stat(self._archive + below)
                found.add((status.st_dev, status.st_ino))
                for name in os.listdir(self._archive + below):
                    status = os.lstat(os.path.join(self._archive + below, name))
                    found.add((status.st_dev, status.st_ino))
        return frozenset(found)
