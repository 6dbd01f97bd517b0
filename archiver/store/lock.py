"""Lock an archive between processes, against a second daemon or writer.

``flock`` locks end with their process, so a crash leaves no stale lock.  The text in a lock file does not lock
anything: it names the process that holds the lock, or marks that the last holder ended cleanly.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from archiver import clock
from archiver.errors import Busy, StorageError

#: The pause between two attempts.  A shorter one burns the processor; a longer one delays each write that waits
#: for another by up to this time.
_RETRY_SECONDS = 0.02
#: A longer command line is cut off: the message that quotes it stays readable.
_MAX_DESCRIPTION_CHARS = 400
#: The bytes to read from a lock file: enough for any mark, and for any description of a holder whose command line
#: is ASCII.
_MAX_TEXT_BYTES = 500


@dataclass(slots=True)
class HeldLock:
    """A lock that this process holds."""

    #: False if something may be unfinished: the last holder crashed, its block raised an error, the machine was
    #: rebooted since, or the lock was never held before.
    was_clean: bool
    #: Set to False by a holder that has written nothing yet, so that an error does not make the end count as
    #: unclean.
    may_have_written: bool = True


@contextmanager
def hold_lock(path: Path, wait_seconds: float) -> Iterator[HeldLock]:
    """Lock the file ``path`` during the block, and yield the lock; the file is created if it is missing.

    The next holder has to know whether this one has ended cleanly.  So a holder whose block ends without an error,
    or with an error before anything was written, leaves a mark in the file.  The mark contains the ID of this boot
    of the machine, so that it is void after a reboot.

    Raises Busy, which names the pid and the command of the present holder, if the lock is still held after
    ``wait_seconds``; StorageError if the file cannot be opened for writing.
    """
    lock_descriptor = _open_lock_file(path)
    try:
        _acquire_lock(path, lock_descriptor, wait_seconds)
        clean_mark = _make_clean_mark()
        held_lock = HeldLock(os.pread(lock_descriptor, _MAX_TEXT_BYTES, 0) == clean_mark)
        _write_lock_text(lock_descriptor, _describe_process())
        is_completed = False
        try:
            yield held_lock
            is_completed = True
        finally:
            if is_completed or (held_lock.was_clean and not held_lock.may_have_written):
                # If the mark cannot be written, on a full disk for example, the next holder only checks more than
                # necessary.
                with suppress(OSError):
                    _write_lock_text(lock_descriptor, clean_mark)
    finally:
        os.close(lock_descriptor)


def is_marked_clean(path: Path) -> bool:
    """Return True if the last holder of the lock file ended cleanly, in this boot of the machine.

    Returns False while a process holds the lock, and if the file cannot be read.
    """
    try:
        descriptor = _open_for_reading(path)
    except OSError:
        # There is no such file before the first run.
        return False
    try:
        return os.pread(descriptor, _MAX_TEXT_BYTES, 0) == _make_clean_mark()
    except OSError:
        # Not a regular file, but a pipe, for example.
        return False
    finally:
        os.close(descriptor)


def _open_for_reading(path: Path) -> int:
    """Open a lock file for reading, and return the descriptor, which the caller closes; raises OSError.

    Never waits: another user may have replaced the file by a pipe, whose opening would wait for a writer.
    """
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def _make_clean_mark() -> bytes:
    """Return the text that a holder leaves in the file if its block ends without an error."""
    return f"clean {clock.read_clocks().boot_id}".encode()


class LockFlag:
    """A flag that one process raises and others test with :func:`describe_lock_holder`: a lock on an empty file.

    Once the file is open, raising the flag requires neither free space nor a writable disk.  The flag is lowered
    when its process ends or crashes.
    """

    def __init__(self, path: Path) -> None:
        """Prepare a flag at ``path``; no file is touched before :meth:`open`."""
        self._path = path
        self._descriptor: int | None = None

    def open(self) -> None:
        """Open or create the file; does nothing if the file is open already.  The caller must call :meth:`close`.

        To be called while the disk is still writable.  Raises StorageError if the file cannot be opened.
        """
        if self._descriptor is None:
            self._descriptor = _open_lock_file(self._path)

    def raise_flag(self) -> None:
        """Raise the flag; does nothing unless the file is open.  Never waits and never raises."""
        if self._descriptor is not None:
            # Two failures are ignored.  A process that is testing the flag holds the lock for a moment, and sees
            # the flag at its next test.  A filesystem without locks cannot show the flag at all.
            with suppress(OSError):
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def lower_flag(self) -> None:
        """Lower the flag until the next :meth:`raise_flag`."""
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Lower the flag and close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def describe_lock_holder(path: Path) -> str | None:
    """Return the holder of the lock as ``pid (command)``; None if the lock is free or the file cannot be opened.

    Returns ``?`` for an empty file, such as that of a :class:`LockFlag`.
    """
    try:
        lock_descriptor = _open_for_reading(path)
    except OSError:
        # There is no such file before the first run.
        return None
    try:
        # A shared lock conflicts with the holder's exclusive lock, but not with that of another reader.
        fcntl.flock(lock_descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_lock_text(lock_descriptor)
    else:
        return None
    finally:
        os.close(lock_descriptor)


def _open_lock_file(path: Path) -> int:
    """Open or create a lock file; return its descriptor, which the caller closes.  Raises StorageError."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StorageError(
            "Cannot open the lock file {path} ({reason}). Nothing was changed. Run this as the archive owner, on "
            "a writable disk.",
            path=path,
            reason=error.strerror,
        ) from None


def _acquire_lock(path: Path, lock_descriptor: int, wait_seconds: float) -> None:
    """Lock an open file, with retries for ``wait_seconds``; raises Busy if another process still holds the lock.

    ``path`` is the file's path, for the message.
    """
    deadline = clock.monotonic_seconds() + wait_seconds
    while True:
        try:
            fcntl.flock(lock_descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if clock.monotonic_seconds() >= deadline:
                raise Busy(
                    "The archive is locked by process {holder} ({path}). Nothing was changed. Try again, or wait "
                    "longer with --wait SECONDS.",
                    holder=_read_lock_text(lock_descriptor),
                    path=path,
                ) from None
        time.sleep(_RETRY_SECONDS)


def _read_lock_text(lock_descriptor: int) -> str:
    """Return the text of a lock file; ``?`` if empty."""
    return os.pread(lock_descriptor, _MAX_TEXT_BYTES, 0).decode("utf-8", "replace").strip() or "?"


def _write_lock_text(lock_descriptor: int, text: bytes) -> None:
    """Replace the text of a lock file; raises OSError."""
    os.ftruncate(lock_descriptor, 0)
    os.pwrite(lock_descriptor, text, 0)


def _describe_process() -> bytes:
    """Return pid and command line of this process, for :func:`describe_lock_holder` in other processes."""
    command = " ".join([os.path.basename(sys.argv[0] or "python"), *sys.argv[1:]])
    return os.fsencode(f"{os.getpid()} ({command})"[:_MAX_DESCRIPTION_CHARS])
