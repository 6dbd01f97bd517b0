"""The folders below one root, entered name by name through descriptors, so that no link leads out of it.

A path that is resolved as a whole follows every link in its middle, and whoever may write in the
watched folder may put one there between a scan and the reading of a file.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
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

    @contextmanager
    def parent_folders(self) -> Iterator[Callable[[bytes], int]]:
        """Yield a function that enters the folder of each file of a row, once for files that follow each other.

        Five system calls a file, from two threads that hand the interpreter's lock to each other at each, made
        the first capture of small files a fifth slower.  For one thread and a short row: a folder that is
        moved away meanwhile is read to the end of the row, as if it had been moved just after.
        The descriptors end with the row; the function raises as :meth:`enter` does.
        """
        entered: list[tuple[bytes, int]] = []

        def enter(file: bytes) -> int:
            path = file.rpartition(b"/")[0]
            if entered and entered[0][0] != path:
                os.close(entered.pop()[1])
            if not entered:
                entered.append((path, self.enter(path, past_own=True)))
            return entered[0][1]

        try:
            yield enter
        finally:
            for _, descriptor in entered:
                os.close(descriptor)

    def status(self, path: bytes) -> os.stat_result:
        """What ``stat`` tells of a path, the last name not followed; raises OSError."""
        parent, _, name = path.rpartition(b"/")
        folder = self.enter(parent)
        try:
            return os.stat(name, dir_fd=folder, follow_symlinks=False) if name else os.fstat(folder)
        finally:
            os.close(folder)
