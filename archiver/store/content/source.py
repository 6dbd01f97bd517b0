"""Read a material of the watched folder, and detect changes during the reading."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from typing import NamedTuple, Protocol

from archiver.store.content.root_folder import RootFolder

#: The unit of ``st_blocks``, whatever the block size of the filesystem.
_BLOCK_BYTES = 512


class SourceChanged(Exception):
    """The file changed while it was copied, or is not a regular file; the copy was discarded."""


class UnknownLength(SourceChanged):
    """The file has not changed, but has another number of bytes than its filesystem states; nothing was kept."""


class StatData(NamedTuple):
    """The parts of a ``stat`` result by which a changed file is recognized without being read."""

    size: int
    mtime_ns: int
    ctime_ns: int  # needed because a program can set the mtime back after a write
    inode: int

    @classmethod
    def unknown(cls) -> StatData:
        """Return stat data that no file has: compared with it, every file has changed and must be read."""
        return cls(-1, -1, -1, -1)

    @classmethod
    def from_stat_result(cls, status: os.stat_result) -> StatData:
        """Return the stat data of a file with this ``stat`` result."""
        # A scan does this for each of a million files, and calling the class itself would take twice the time.
        return tuple.__new__(cls, (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino))


class Source(Protocol):
    """An open file of the watched folder, which either this process or a child process has opened."""

    #: The stat data of the file when it was opened.
    stat_data: StatData
    #: True if a process of this machine had the file open for writing when it was opened.
    is_being_written: bool
    #: The number of the error because of which this cannot be told; 0 if it can.
    lease_error: int
    #: The space that the file occupies on its filesystem: less than its size for a sparse or compressed file.
    allocated_bytes: int

    def readinto(self, buffer: memoryview) -> int:
        """Read the next bytes into ``buffer``; return their number, 0 at the end of the file.  Raises OSError."""

    def is_unchanged(self) -> bool:
        """Return True if the stat data is unchanged and the file's name still leads to it.  Raises OSError."""

    def drop_cached_pages(self) -> None:
        """Let the next reads come from the filesystem: the kernel may keep the bytes of an earlier reading.

        The cache of a program that serves the filesystem, such as ``rclone --vfs-cache-mode full``, stays.  Raises
        OSError.
        """

    def close(self) -> None:
        """Close the file."""


class FileSource:
    """A file that this process has opened below a root folder, without following a link."""

    def __init__(self, root: RootFolder, path: bytes, folder_descriptor: int | None = None) -> None:
        """Open the file at ``path`` below ``root``; the caller closes this object.

        ``folder_descriptor`` belongs to the file's folder, and the caller keeps it open until this object is
        closed.  With None, this object opens the folder itself.

        Raises OSError if the file cannot be opened, OwnFile if it belongs to the archive, SourceChanged if it is
        not a regular file.
        """
        folder_path, _, self._name = path.rpartition(b"/")
        self._own_descriptors: list[int] = []
        if folder_descriptor is None:
            folder_descriptor = root.open_folder_descriptor(folder_path, skip_own_check=True)
            self._own_descriptors.append(folder_descriptor)
        # Kept open, because is_unchanged looks up the name in the same folder again.
        self._folder_descriptor = folder_descriptor
        try:
            self._descriptor = open_without_side_effects(self._name, folder_descriptor)
            self._own_descriptors.append(self._descriptor)
            file_stat = os.fstat(self._descriptor)
            root.own_files.refuse_own_file(file_stat, path)
            if not stat.S_ISREG(file_stat.st_mode):
                raise SourceChanged
            self.stat_data = StatData.from_stat_result(file_stat)
            self.allocated_bytes = file_stat.st_blocks * _BLOCK_BYTES
            self.lease_error = _request_lease(self._descriptor)
            self.is_being_written = self.lease_error == errno.EAGAIN
            if self.is_being_written:
                self.lease_error = 0
        except BaseException:
            self.close()
            raise

    def readinto(self, buffer: memoryview) -> int:
        """Read the next bytes into ``buffer``; return their number, 0 at the end of the file.  Raises OSError."""
        return os.readv(self._descriptor, [buffer])

    def is_unchanged(self) -> bool:
        """Return True if the stat data is unchanged and the file's name still leads to it.  Raises OSError."""
        if StatData.from_stat_result(os.fstat(self._descriptor)) != self.stat_data:
            return False
        named_stat = StatData.from_stat_result(
            os.stat(self._name, dir_fd=self._folder_descriptor, follow_symlinks=False)
        )
        return named_stat.inode == self.stat_data.inode

    def drop_cached_pages(self) -> None:
        """Let the next reads come from the filesystem; raises OSError."""
        os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        """Close the descriptors that this object opened; may be called again."""
        while self._own_descriptors:
            os.close(self._own_descriptors.pop())


def open_without_side_effects(file_name: bytes, folder_descriptor: int) -> int:
    """Open the file ``file_name`` of a folder for reading; return its descriptor, which the caller closes.

    Follows no link, and does not wait for the writer of a FIFO.  The file's atime stays as it is if this process
    owns the file or is root.  Raises OSError.
    """
    open_flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        return os.open(file_name, open_flags | os.O_NOATIME, dir_fd=folder_descriptor)
    except PermissionError:
        # Only the file's owner and root may use O_NOATIME.
        return os.open(file_name, open_flags, dir_fd=folder_descriptor)


def _request_lease(file_descriptor: int) -> int:
    """Request a read lease, and release it at once; return 0, or the number of the error if there is none.

    EAGAIN means that some process of this machine has the file open for writing.  Another error means that no
    lease is possible: that requires ownership of the file or CAP_LEASE, and a filesystem that supports leases.
    """
    try:
        fcntl.fcntl(file_descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno or errno.EIO
    fcntl.fcntl(file_descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return 0
