"""One material opened for reading: what it was before, its bytes, what it is after."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from typing import NamedTuple, Protocol

from archiver.store.content.root_folder import RootFolder


class Unstable(Exception):
    """The file changed while it was read; nothing of it was kept."""


class StatData(NamedTuple):
    """What tells one state of a file from the next without reading it.

    ``ctime_ns`` is there because a write can be hidden by setting mtime back.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def unknown(cls) -> StatData:
        """A signature that fits no file: whatever is there must be read again."""
        return cls(-1, -1, -1, -1)

    @classmethod
    def of(cls, status: os.stat_result) -> StatData:
        """The signature of a ``stat`` result."""
        # A scan makes one for each of a million files; this takes half the time of a call.
        return tuple.__new__(cls, (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino))


class Source(Protocol):
    """An open file of the watched folder, here or behind a child process."""

    #: The state at opening.
    signature: StatData
    #: Whether a process of this machine holds it open for writing.
    is_being_written: bool

    def readinto(self, buffer: memoryview) -> int:
        """Read the next bytes; 0 at the end; raises OSError."""

    def is_unchanged(self) -> bool:
        """Whether file and name still are what was opened; raises OSError."""

    def close(self) -> None:
        """Let go of the file."""


class FileSource:
    """A file opened by this process, below a root and without following a link."""

    def __init__(self, root: RootFolder, path: bytes, folder: int | None = None) -> None:
        """Open it.

        ``folder``: a descriptor of the folder that it lies in, which the caller keeps open for longer than
        this file; None: it is entered here.
        Raises OSError, and Unstable where it is no regular file any more.
        """
        parent, _, self._name = path.rpartition(b"/")
        self._owned: list[int] = []
        if folder is None:
            folder = root.enter(parent, past_own=True)
            self._owned.append(folder)
        # Held until the end: the name is looked at again in the folder that it was opened in.
        self._folder = folder
        try:
            self._descriptor = open_quietly(self._name, folder)
            self._owned.append(self._descriptor)
            status = os.fstat(self._descriptor)
            root.own.refuse(status, path)
            if not stat.S_ISREG(status.st_mode):
                raise Unstable
            self.signature = StatData.of(status)
            self.is_being_written = _has_writer(self._descriptor)
        except BaseException:
            self.close()
            raise

    def readinto(self, buffer: memoryview) -> int:
        """Read the next bytes; 0 at the end; raises OSError."""
        return os.readv(self._descriptor, [buffer])

    def is_unchanged(self) -> bool:
        """Whether file and name still are what was opened; raises OSError."""
        if StatData.of(os.fstat(self._descriptor)) != self.signature:
            return False
        named = StatData.of(os.stat(self._name, dir_fd=self._folder, follow_symlinks=False))
        return named.inode == self.signature.inode

    def close(self) -> None:
        """Close what was opened here."""
        while self._owned:
            os.close(self._owned.pop())


def open_quietly(name: bytes, folder: int) -> int:
    """Open for reading without following a link, blocking on a FIFO or touching atime."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        return os.open(name, flags | os.O_NOATIME, dir_fd=folder)
    except PermissionError:
        # O_NOATIME is for the file's owner only.
        return os.open(name, flags, dir_fd=folder)


def _has_writer(descriptor: int) -> bool:
    """Ask the kernel by trying for a read lease, which it refuses while a writer is there.

    The lease is given back at once; asking needs to own the file or CAP_LEASE,
    and a filesystem that knows leases.  Where it cannot be asked, the answer is no.
    """
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
