"""Enter folders below one root name by name through descriptors, so that no link leads out of the root.

The kernel follows every link in the middle of a path, and a user with write access to the watched folder can put
one there between a scan and the reading of a file.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from archiver.store.content.own_files import OwnFiles

# O_PATH needs no right to list a folder that is only passed through, as a path needs none.
_ROOT_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_NESTED_FLAGS = _ROOT_FLAGS | os.O_NOFOLLOW
_INVALID_NAMES = (b"", b".", b"..")


class RootFolder:
    """A root folder, whose own path may lead through links; paths below must not.

    Keeps nothing open between two calls: an open descriptor would prevent unmounting the volume.
    """

    def __init__(self, path: bytes, own: OwnFiles | None = None) -> None:
        """Take ``path`` as the root; ``own`` are the archive's files, which are not entered by any path."""
        self.path = path
        self.own = own or OwnFiles(None)

    def enter(self, path: bytes, *, skip_own_check: bool = False) -> int:
        """Open a folder; return its descriptor (``O_PATH``), which the caller closes.

        ``skip_own_check`` saves a system call a name, for a path that a scan has found outside of the archive.

        Raises OSError, such as NotADirectoryError for a link in the path and OwnFile for a folder of the archive.
        """
        own_identities = frozenset[tuple[int, int]]() if skip_own_check else self.own.identities
        descriptor = os.open(self.path, _ROOT_FLAGS)
        try:
            if own_identities:
                self.own.refuse(os.fstat(descriptor), b"")
            prefix_length = 0
            for name in path.split(b"/") if path else ():
                if name in _INVALID_NAMES:
                    # No folder has such an entry: the path comes from a forged journal.
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
                child_descriptor = os.open(name, _NESTED_FLAGS, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = child_descriptor
                if own_identities:
                    status = os.fstat(descriptor)
                    if (status.st_dev, status.st_ino) in own_identities:
                        self.own.refuse(status, path[:prefix_length] + name)
                prefix_length += len(name) + 1
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    @contextmanager
    def folder(self, path: bytes) -> Iterator[int]:
        """Yield the descriptor of a folder, closed at the end; raises as :meth:`enter` does."""
        descriptor = self.enter(path)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def parent_folders(self) -> Iterator[Callable[[bytes], int]]:
        """Yield a function from a file's path to the descriptor of its folder, opened once for successive files.

        Five system calls a file, from two threads that pass the interpreter's lock to each other at each, made the
        first capture of small files a fifth slower.  For one thread and a short batch: a folder that is moved away
        during the batch is read to its end, as if moved just after.

        The descriptors are closed with the context; the function raises as :meth:`enter` does.
        """
        open_folders: list[tuple[bytes, int]] = []

        def enter(file_path: bytes) -> int:
            folder_path = file_path.rpartition(b"/")[0]
            if open_folders and open_folders[0][0] != folder_path:
                os.close(open_folders.pop()[1])
            if not open_folders:
                open_folders.append((folder_path, self.enter(folder_path, skip_own_check=True)))
            return open_folders[0][1]

        try:
            yield enter
        finally:
            for _, descriptor in open_folders:
                os.close(descriptor)

    def status(self, path: bytes) -> os.stat_result:
        """Return the ``stat`` result of a path, of a link itself; raises OSError."""
        parent_path, _, name = path.rpartition(b"/")
        descriptor = self.enter(parent_path)
        try:
            return os.stat(name, dir_fd=descriptor, follow_symlinks=False) if name else os.fstat(descriptor)
        finally:
            os.close(descriptor)
