"""Lock an archive between processes: one daemon and one writer at a time.

``flock`` locks end with their process, so a crash leaves no stale lock; the file's text only says who holds it.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from archiver import clock
from archiver.errors import Busy, StorageError

#: A shorter pause uses the processor, a longer one delays each write behind another by up to this time.
_RETRY_SECONDS = 0.02
#: More than any mark or description of a holder has.
_MAX_TEXT_BYTES = 500


@contextmanager
def hold(path: Path, wait_seconds: float) -> Iterator[bool]:
    """Hold the lock file ``path``; yield True if the last holder ended cleanly.

    A holder that ends without an error leaves a mark with the number of this boot, so that after a crash as well
    as after a power cut the next one learns that something may be unfinished.

    Raises Busy with the holder's pid and command after ``wait_seconds``, StorageError if the file cannot be
    opened for writing.
    """
    descriptor = _open_lock_file(path)
    try:
        _acquire(path, descriptor, wait_seconds)
        clean_mark = f"clean {clock.read().boot_id}".encode()
        was_clean = os.pread(descriptor, _MAX_TEXT_BYTES, 0) == clean_mark
        _write_text(descriptor, _describe_process())
        yield was_clean
        # A disk that takes no mark costs the next holder a check, nothing worse.
        with suppress(OSError):
            _write_text(descriptor, clean_mark)
    finally:
        os.close(descriptor)


class LockFlag:
    """A flag that one process raises and others see: a lock on a file that may stay empty.

    Raising the flag requires neither free space nor a writable disk, and a crash lowers it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def open(self) -> None:
        """Open or create the file while the disk is writable; the caller closes the flag.  Raises StorageError."""
        if self._descriptor is None:
            self._descriptor = _open_lock_file(self._path)

    def show(self) -> None:
        """Raise the flag, if :meth:`open` was called."""
        if self._descriptor is not None:
            # A process that tests the flag at this moment holds the lock, and sees the flag at its next test; or
            # the filesystem has no locks.
            with suppress(OSError):
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def hide(self) -> None:
        """Lower the flag, until :meth:`show` is called again."""
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Lower the flag and close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def holder(path: Path) -> str | None:
    """Return pid and command of the process that holds the lock; None for a free or unreadable lock."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        # There is no such file before the first run.
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_text(descriptor)
    else:
        return None
    finally:
        os.close(descriptor)


def _open_lock_file(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StorageError(
            "The lock {path} cannot be opened ({reason}), so nothing was written and nothing was lost. "
            "Run this as the user who owns the archive, on a writable disk.",
            path=path,
            reason=error.strerror,
        ) from None


def _acquire(path: Path, descriptor: int, wait_seconds: float) -> None:
    deadline = clock.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if clock.monotonic() >= deadline:
                raise Busy(
                    "The archive is busy: process {holder} holds {path}. Nothing was written and nothing "
                    "was lost. Try again, or wait longer with --wait SECONDS.",
                    holder=_read_text(descriptor),
                    path=path,
                ) from None
        time.sleep(_RETRY_SECONDS)


def _read_text(descriptor: int) -> str:
    return os.pread(descriptor, _MAX_TEXT_BYTES, 0).decode("utf-8", "replace").strip() or "?"


def _write_text(descriptor: int, text: bytes) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text, 0)


def _describe_process() -> bytes:
    command = " ".join([os.path.basename(sys.argv[0] or "python"), *sys.argv[1:]])
    return os.fsencode(f"{os.getpid()} ({command})"[:400])
