"""Make bytes and names durable; some of the system calls have no wrapper in Python."""

from __future__ import annotations

import functools
import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Each copying process imports this module when it starts, and importing pathlib takes milliseconds.
    import ctypes
    from pathlib import Path

#: From linux/fs.h.
_SYNC_FILE_RANGE_WRITE = 2


@functools.cache
def _load_c_library() -> ctypes.CDLL:
    """Return the C library of this process."""
    # Commands that only read need none of these calls, and importing ctypes takes milliseconds.
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


def begin_write_out(descriptor: int) -> None:
    """Ask the kernel to start writing a file's dirty pages to the disk, without waiting for the disk.

    A later sync then finds less to do.  Guarantees nothing, and ignores errors.
    """
    from ctypes import c_int64

    # Offset 0 and length 0 stand for the whole file.
    _load_c_library().sync_file_range(descriptor, c_int64(0), c_int64(0), _SYNC_FILE_RANGE_WRITE)


def sync_path(path: str) -> None:
    """Make the bytes of a file, or the names in a directory, durable; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_filesystem(path: Path) -> None:
    """Make everything that was written to the filesystem of ``path`` durable, with syncfs(2).

    This includes the writes of other programs, and so may take long.  Raises OSError.
    """
    from ctypes import get_errno

    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _load_c_library().syncfs(descriptor) != 0:
            error_number = get_errno()
            raise OSError(error_number, os.strerror(error_number), os.fspath(path))
    finally:
        os.close(descriptor)


def release_memory() -> None:
    """Return the process's freed memory to the operating system, where the C library can."""
    # Only glibc has malloc_trim; with another C library the memory stays with the process.
    with suppress(AttributeError):
        _load_c_library().malloc_trim(0)
