"""Make bytes and names durable, with system calls that Python does not wrap."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Each copying process imports this module at its start, and pathlib takes milliseconds.
    from pathlib import Path

#: SYNC_FILE_RANGE_WRITE of linux/fs.h.
_WRITE = 2

_libc = ctypes.CDLL(None, use_errno=True)
_Offset = ctypes.c_int64


def begin_write_out(descriptor: int) -> None:
    """Start writing a file's dirty pages to the disk; returns at once and guarantees nothing."""
    _libc.sync_file_range(descriptor, _Offset(0), _Offset(0), _WRITE)


def sync_path(path: str) -> None:
    """Make a file's bytes, or a directory's names, durable; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_filesystem(path: Path) -> None:
    """Make everything on the filesystem of ``path`` durable, by syncfs(2); raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.syncfs(descriptor) != 0:
            error_number = ctypes.get_errno()
            raise OSError(error_number, os.strerror(error_number), os.fspath(path))
    finally:
        os.close(descriptor)


def release_memory() -> None:
    """Return unused memory to the system."""
    # Only glibc has this call; elsewhere the memory stays with the process.
    with suppress(AttributeError):
        _libc.malloc_trim(0)
