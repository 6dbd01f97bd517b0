"""Open folders below a root one name at a time, through descriptors, so that no link leads out of the root.

The kernel follows every link in the middle of a path.  A user with write access to the watched folder can put a
link there between a scan and the reading of a file.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from archiver.store.content.own_files import OwnFiles

#: With O_PATH, folders in the middle of a path need not be readable, just as when the kernel resolves the path.
_ROOT_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_NESTED_FLAGS = _ROOT_FLAGS | os.O_NOFOLLOW
#: Names that lead nowhere or upwards, and that no scan returns.
_INVALID_NAMES = (b"", b".", b"..")
#: How many folders a walk keeps open: most trees are not deeper, and a process may have 1,024 open files.
_MAX_OPEN_FOLDERS = 16


class RootFolder:
    """A folder whose own path may lead through links, while a path below it may not.

    All paths given to the methods are relative to this folder; the empty path is the folder itself.  Nothing stays
    open between two calls, because an open descriptor would keep the volume from being unmounted.
    """

    def __init__(self, path: bytes, own_files: OwnFiles | None = None) -> None:
        """Use the folder ``path``, and never enter a folder of the archive, which ``own_files`` recognizes."""
        self.path = path
        self.own_files = own_files or OwnFiles(None)

    def open_folder_descriptor(self, path: bytes, *, skip_own_check: bool = False) -> int:
        """Open the folder at ``path``; return its descriptor (``O_PATH``), which the caller closes.

        With ``skip_own_check``, folders of the archive itself are not refused, which saves one system call for
        each name in the path.  It is for a path that a scan has found to be outside of the archive.

        Raises OSError: NotADirectoryError for a link in the path, OwnFile for a folder of the archive.
        """
        own_identities = frozenset[tuple[int, int]]() if skip_own_check else self.own_files.identities
        root_descriptor = os.open(self.path, _ROOT_FLAGS)
        folder_descriptor = None
        try:
            if own_identities:
                self.own_files.refuse_own_file(os.fstat(root_descriptor), b"")
            folder_descriptor = self._open_below(root_descriptor, b"", path, own_identities)
        finally:
            if folder_descriptor != root_descriptor:
                os.close(root_descriptor)
        return folder_descriptor

    def _open_below(
        self, start_descriptor: int, start_path: bytes, path: bytes, own_identities: Collection[tuple[int, int]]
    ) -> int:
        """Open the folder at ``path`` from the open folder ``start_path``, which is above it, or is this folder.

        Returns its descriptor, which is ``start_descriptor`` itself if both are the same.  ``start_descriptor``
        stays open.  Raises the errors of :meth:`open_folder_descriptor`.
        """
        folder_descriptor = start_descriptor
        # The length of the path of ``folder_descriptor``, including the slash at the end.
        prefix_length = len(start_path) + 1 if start_path else 0
        try:
            for folder_name in path[prefix_length:].split(b"/") if len(path) > len(start_path) else ():
                if folder_name in _INVALID_NAMES:
                    # No scan returns such a path, so it comes from a forged journal.
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
                child_descriptor = os.open(folder_name, _NESTED_FLAGS, dir_fd=folder_descriptor)
                if folder_descriptor != start_descriptor:
                    os.close(folder_descriptor)
                folder_descriptor = child_descriptor
                if own_identities:
                    folder_stat = os.fstat(folder_descriptor)
                    if (folder_stat.st_dev, folder_stat.st_ino) in own_identities:
                        self.own_files.refuse_own_file(folder_stat, path[:prefix_length] + folder_name)
                prefix_length += len(folder_name) + 1
        except BaseException:
            if folder_descriptor != start_descriptor:
                os.close(folder_descriptor)
            raise
        return folder_descriptor

    @contextmanager
    def opened_folder(self, path: bytes) -> Iterator[int]:
        """Yield the descriptor of the folder at ``path``, and close it after the block.

        Raises the errors of :meth:`open_folder_descriptor`.
        """
        folder_descriptor = self.open_folder_descriptor(path)
        try:
            yield folder_descriptor
        finally:
            os.close(folder_descriptor)

    @contextmanager
    def parent_folder_opener(self, *, skip_own_check: bool = False) -> Iterator[Callable[[bytes], int]]:
        """Yield a function that takes the path of a file and returns the descriptor of the file's folder.

        A folder is opened once for successive files.  It is closed when the function is called for a file in
        another folder, or when the block ends; the caller closes nothing.  ``skip_own_check`` and the errors of
        the function are those of :meth:`open_folder_descriptor`.

        Opening the folder again for each file made the first capture of small files a fifth slower: two threads
        passed the interpreter's lock to each other at every system call.  Use this in one thread, and for a short
        batch: if the folder is moved during the batch, the remaining files are still read from the moved folder.
        """
        # At most one folder, as its path and its descriptor.
        open_folders: list[tuple[bytes, int]] = []

        def open_parent_folder(file_path: bytes) -> int:
            """Return the descriptor of the folder of ``file_path``, and close any other folder opened before."""
            folder_path = file_path.rpartition(b"/")[0]
            if open_folders and open_folders[0][0] != folder_path:
                os.close(open_folders.pop()[1])
            if not open_folders:
                folder_descriptor = self.open_folder_descriptor(folder_path, skip_own_check=skip_own_check)
                open_folders.append((folder_path, folder_descriptor))
            return open_folders[0][1]

        try:
            yield open_parent_folder
        finally:
            for _, folder_descriptor in open_folders:
                os.close(folder_descriptor)

    @contextmanager
    def folder_opener(self) -> Iterator[Callable[[bytes], int]]:
        """Yield a function that takes the path of a folder and returns its descriptor, for a walk of a tree.

        The last folders on the way to the one that was opened last stay open, and the next one is opened from
        there.  If each were opened from the root, n folders inside one another would take n * n / 2 system calls.
        The caller closes nothing.  The errors of the function are those of :meth:`open_folder_descriptor`.

        Use this in one thread.  If a folder is moved during the walk, what is in it is still found at its former
        path, as if the folder had been moved after the walk.
        """
        # Each is above the next one. The last one was opened last.
        open_folders: list[tuple[bytes, int]] = []

        def open_folder(path: bytes) -> int:
            """Return the descriptor of the folder at ``path``, which stays open until the next call at least."""
            while open_folders and not _is_at_or_below(path, open_folders[-1][0]):
                os.close(open_folders.pop()[1])
            if not open_folders:
                folder_descriptor = self.open_folder_descriptor(path)
            elif open_folders[-1][0] == path:
                return open_folders[-1][1]
            else:
                start_path, start_descriptor = open_folders[-1]
                folder_descriptor = self._open_below(start_descriptor, start_path, path, self.own_files.identities)
            open_folders.append((path, folder_descriptor))
            if len(open_folders) > _MAX_OPEN_FOLDERS:
                os.close(open_folders.pop(0)[1])
            return folder_descriptor

        try:
            yield open_folder
        finally:
            for _, folder_descriptor in open_folders:
                os.close(folder_descriptor)

    def stat_path(self, path: bytes) -> os.stat_result:
        """Return the ``stat`` result of ``path``; a link at its end is not followed.  Raises OSError."""
        parent_path, _, last_name = path.rpartition(b"/")
        parent_descriptor = self.open_folder_descriptor(parent_path)
        try:
            if not last_name:
                return os.fstat(parent_descriptor)
            return os.stat(last_name, dir_fd=parent_descriptor, follow_symlinks=False)
        finally:
            os.close(parent_descriptor)


def _is_at_or_below(path: bytes, folder: bytes) -> bool:
    """Return True if ``path`` is the folder, or leads to something in it; the empty path is the root."""
    return not folder or path == folder or path.startswith(folder + b"/")
