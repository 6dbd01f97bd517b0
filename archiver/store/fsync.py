"""Getting bytes and names onto the disk: what Python has no call for."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # The processes that copy import this, and are waited for.
    from pathlib import Path

#: SYNC_FILE_RANGE_WRITE of linux/fs.h.
_WRITE = 2

_libc = ctypes.CDLL(None, use_errno=True)
_Offset = ctypes.c_int64


def begin_write_out(descriptor: int) -> None:
    """Let the disk begin with what was written; returns at once, and promises nothing."""
    _libc.sync_file_range(descriptor, _Offset(0), _Offset(0), _WRITE)


def sync_path(path: str) -> None:
    """Make one file's bytes, or one directory's names, durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_filesystem(path: Path) -> None:
    """``syncfs(2)`` of the filesystem that holds ``path``; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), os.fspath(path))
    finally:
        os.close(descriptor)


def release_memory() -> None:
    """Give memory that is not in use back to the system, where the C library can (glibc)."""
    with suppress(AttributeError):
        _libc.malloc_trim(0)
