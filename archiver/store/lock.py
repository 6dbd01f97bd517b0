"""Locks between processes: one daemon, one writer per batch.

``flock`` locks end with their process, so a crash leaves no stale lock; the
file's text only says who holds it.
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
from archiver.errors import Busy, StorageProblem

_RETRY_SECONDS = 0.02


@contextmanager
def hold(path: Path, wait_seconds: float) -> Iterator[bool]:
    """Hold the lock file ``path``; yields whether the holder before ended cleanly.

    "Cleanly" is a mark of this boot, left when the block ends without an error,
    so that a crash and a power cut both read as "not".  Raises Busy with the
    holder's pid and command after ``wait_seconds``, and StorageProblem where the
    file cannot be opened for writing.
    """
    descriptor = _open(path)
    try:
        _acquire(path, descriptor, wait_seconds)
        mark = f"clean {clock.read().boot_id}".encode()
        clean = os.pread(descriptor, 500, 0) == mark
        _write(descriptor, _holder())
        yield clean
        # A disk that takes no mark leaves the next holder more work, nothing worse.
        with suppress(OSError):
            _write(descriptor, mark)
    finally:
        os.close(descriptor)


class Flag:
    """A flag that one process shows and others see: a lock on a file that may stay empty.

    Showing it needs no room and no writable disk, and it falls with its process.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def open(self) -> None:
        """Make the file, while the disk takes one; raises StorageProblem."""
        if self._descriptor is None:
            self._descriptor = _open(self._path)

    def show(self) -> None:
        """Show the flag."""
        if self._descriptor is not None:
            # Somebody is just looking, and sees it the next time; or there are no locks on this filesystem.
            with suppress(OSError):
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def hide(self) -> None:
        """Take the flag down."""
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Take the flag down for good."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def holder(path: Path) -> str | None:
    """Who holds the lock now (pid and command), or None if nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(descriptor, 500, 0).decode("utf-8", "replace").strip() or "?"
    else:
        return None
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StorageProblem(
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
                    holder=os.pread(descriptor, 500, 0).decode("utf-8", "replace").strip() or "?",
                    path=path,
                ) from None
        time.sleep(_RETRY_SECONDS)


def _write(descriptor: int, text: bytes) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text, 0)


def _holder() -> bytes:
    command = " ".join([os.path.basename(sys.argv[0] or "python"), *sys.argv[1:]])
    return os.fsencode(f"{os.getpid()} ({command})"[:400])
