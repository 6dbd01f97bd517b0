"""Read a material of the watched folder, and detect changes between opening and end."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from typing import NamedTuple, Protocol

from archiver.store.content.root_folder import RootFolder


class SourceChanged(Exception):
    """The file changed during the copy; nothing of the copy was kept."""


class StatData(NamedTuple):
    """The figures of ``stat`` by which a change of a file is recognized without reading.

    ``ctime_ns`` is included because a program can hide a write by setting mtime back.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def unknown(cls) -> StatData:
        """Return figures that no file has: whatever exists under the name must be read again."""
        return cls(-1, -1, -1, -1)

    @classmethod
    def of(cls, status: os.stat_result) -> StatData:
        """Return the figures of a ``stat`` result."""
        # A scan makes one for each of a million files; this takes half the time of calling the class.
        return tuple.__new__(cls, (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino))


class Source(Protocol):
    """An open file of the watched folder, in this process or in a child."""

    #: The figures at opening.
    stat_data: StatData
    #: A process of this machine has the file open for writing.
    is_being_written: bool

    def readinto(self, buffer: memoryview) -> int:
        """Read the next bytes; 0 at the end; raises OSError."""

    def is_unchanged(self) -> bool:
        """Return True if the file is as at opening and the name still leads to this file; raises OSError."""

    def close(self) -> None:
        """Close the file."""


class FileSource:
    """A file opened by this process, below a root and without following a link."""

    def __init__(self, root: RootFolder, path: bytes, folder: int | None = None) -> None:
        """Open the file at ``path`` below ``root``; the caller closes this object.

        ``folder`` is a descriptor of the file's folder that the caller keeps open until then; None: the folder is
        entered here.

        Raises OSError, OwnFile for a file of the archive, and SourceChanged for anything but a regular file.
        """
        parent, _, self._name = path.rpartition(b"/")
        self._own_descriptors: list[int] = []
        if folder is None:
            folder = root.enter(parent, skip_own_check=True)
            self._own_descriptors.append(folder)
        # Kept open: is_unchanged looks up the name in the same folder again.
        self._folder = folder
        try:
            self._descriptor = open_quietly(self._name, folder)
            self._own_descriptors.append(self._descriptor)
            status = os.fstat(self._descriptor)
            root.own.refuse(status, path)
            if not stat.S_ISREG(status.st_mode):
                raise SourceChanged
            self.stat_data = StatData.of(status)
            self.is_being_written = _has_writer(self._descriptor)
        except BaseException:
            self.close()
            raise

    def readinto(self, buffer: memoryview) -> int:
        """Read the next bytes; 0 at the end; raises OSError."""
        return os.readv(self._descriptor, [buffer])

    def is_unchanged(self) -> bool:
        """Return True if the file is as at opening and the name still leads to this file; raises OSError."""
        if StatData.of(os.fstat(self._descriptor)) != self.stat_data:
            return False
        named_stat = StatData.of(os.stat(self._name, dir_fd=self._folder, follow_symlinks=False))
        return named_stat.inode == self.stat_data.inode

    def close(self) -> None:
        """Close the descriptors opened by this object."""
        while self._own_descriptors:
            os.close(self._own_descriptors.pop())


def open_quietly(name: bytes, folder: int) -> int:
    """Open for reading without following a link, blocking on a FIFO or changing atime."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        return os.open(name, flags | os.O_NOATIME, dir_fd=folder)
    except PermissionError:
        # O_NOATIME is for the file's owner only.
        return os.open(name, flags, dir_fd=folder)


def _has_writer(descriptor: int) -> bool:
    """Return True if a process has the file open for writing, which makes the kernel refuse a read lease.

    The lease is released at once.  Leases require ownership of the file or CAP_LEASE, and a filesystem that
    supports them; otherwise no writer is reported.
    """
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
