"""The folders below one root, entered name by name through descriptors, so that no link leads out of it.

A path that is resolved as a whole follows every link in its middle, and whoever may write in the
watched folder may put one there between a scan and the reading of a file.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from archiver.store.content.own_files import OwnFiles

# O_PATH needs no right to list a folder that is only passed through, as a path needs none.
_ROOT = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_BELOW = _ROOT | os.O_NOFOLLOW
_NO_NAMES = (b"", b".", b"..")


class RootFolder:
    """One root; its own path may lead through links, what lies below it never does.

    Nothing is held open between two calls: an open descriptor would keep the volume from being unmounted.
    """

    def __init__(self, path: bytes, own: OwnFiles | None = None) -> None:
        """``own``: the archive's own files, which are not entered, by whatever path they are reached."""
        self.path = path
        self.own = own or OwnFiles(None)

    def enter(self, path: bytes, *, past_own: bool = False) -> int:
        """A folder's descriptor (``O_PATH``), which the caller closes.

        ``past_own``: for a path that is known to lead through nothing of the archive's.
        Raises OSError, NotADirectoryError where one of its names is a link, OwnFile where it is the archive's.
        """
        known = frozenset[tuple[int, int]]() if past_own else self.own.known
        descriptor = os.open(self.path, _ROOT)
        try:
            if known:
                self.own.refuse(os.fstat(descriptor), b"")
            passed = 0
            for name in path.split(b"/") if path else ():
                if name in _NO_NAMES:
                    # No name in a folder: it can only come from a journal that was forged.
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
                deeper = os.open(name, _BELOW, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = deeper
                if known:
                    status = os.fstat(descriptor)
                    if (status.st_dev, status.st_ino) in known:
                        self.own.refuse(status, path[:passed] + name)
                passed += len(name) + 1
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    @contextmanager
    def folder(self, path: bytes) -> Iterator[int]:
        """The same, closed at the end."""
        descriptor = self.enter(path)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def status(self, path: bytes) -> os.stat_result:
        """What ``stat`` tells of a path, the last name not followed; raises OSError."""
        parent, _, name = path.rpartition(b"/")
        folder = self.enter(parent)
        try:
            return os.stat(name, dir_fd=folder, follow_symlinks=False) if name else os.fstat(folder)
        finally:
            os.close(folder)
