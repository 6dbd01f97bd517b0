"""Copies that are hashed while they are written, large ones past the page cache.

Archived content and packages are seldom read again soon, and must not push out of memory what the file
server's users work with.  The disk writes one piece while the next is read and hashed, and a sync finds
little left to do.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import cycle, repeat
from queue import SimpleQueue
from typing import Protocol

#: From here on it is worth it.
LARGE = 256 << 10
#: A large piece keeps the disk busy; a small one is written while the processor still holds it.
_LARGE_PIECE, _SMALL_PIECE = 2 << 20, 128 << 10
#: One is filled and hashed while others wait for the disk.
_AHEAD = 4
#: O_DIRECT wants memory, place and length in multiples of a block, and no block is larger than this.
_ALIGNMENT = mmap.PAGESIZE


class Unwritable(OSError):
    """The copy could not be written; what it was read from is not to blame."""


class HashDigest(Protocol):
    """One of those of :mod:`hashlib`."""

    def update(self, data: memoryview, /) -> None:
        """Take in the next bytes."""

    def hexdigest(self) -> str:
        """Return the digest of all bytes so far."""


class _Buffer:
    """Memory that is being filled or being written."""

    def __init__(self, length: int) -> None:
        # Anonymous memory begins on a page, and takes none before it is used.
        pages = mmap.mmap(-1, length, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with suppress(OSError, AttributeError):
            # The disk is told of each page; of huge ones there are few.
            pages.madvise(mmap.MADV_HUGEPAGE)
        self.memory = memoryview(pages)
        self._being_written = threading.Lock()
        self._failed: Unwritable | None = None

    def hand_over(self, writer: SimpleQueue[_Order | None], descriptor: int, piece: memoryview) -> None:
        """Have what it was filled with written by another thread."""
        self._being_written.acquire()
        writer.put((self, descriptor, piece))

    def write(self, descriptor: int, piece: memoryview) -> None:
        """Write it: in that other thread."""
        try:
            _write_past_cache(descriptor, piece)
        except Unwritable as error:
            self._failed = error
        finally:
            self._being_written.release()

    def wait(self) -> None:
        """Until it may be filled; raises Unwritable where what was in it could not be written."""
        with self._being_written:
            failed, self._failed = self._failed, None
        if failed:
            raise failed


_Order = tuple[_Buffer, int, memoryview]


def _serve(orders: SimpleQueue[_Order | None]) -> None:
    while order := orders.get():
        buffer, descriptor, piece = order
        buffer.write(descriptor, piece)


class Copier:
    """Copies one file after the other; for one thread."""

    def __init__(self, ahead: int = _AHEAD) -> None:
        """``ahead``: pieces of 2 MB that may wait for the disk; more of them even out a busy processor."""
        self._small = _Buffer(_SMALL_PIECE)
        self._buffers = [_Buffer(_LARGE_PIECE) for _ in range(ahead)]
        self._turns = cycle(self._buffers)
        self._orders: SimpleQueue[_Order | None] | None = None

    def _writer(self) -> SimpleQueue[_Order | None]:
        """Where pieces are handed to the thread that writes, which ends with this object."""
        if self._orders is None:
            self._orders = SimpleQueue()
            threading.Thread(target=_serve, args=[self._orders], daemon=True).start()
            weakref.finalize(self, self._orders.put, None)
        return self._orders

    def copy(
        self,
        readinto: Callable[[memoryview], int],
        descriptor: int,
        size: int,
        digests: Sequence[HashDigest],
        proceed: Callable[[int], None] = lambda _: None,
    ) -> int:
        """Hash what ``readinto`` gives until its end, and write it; the number of bytes.

        Pieces may be on their way yet: close nothing before :meth:`wait`, which several copies may share.
        ``descriptor``: of a new file; ``size``: what to expect; ``proceed`` is told how many bytes it is
        with each piece, before that is written, and may raise to give it up.  Raises what these two raise,
        and Unwritable, also for a copy before that was not waited for.
        """
        is_large = size >= LARGE and _set_direct(descriptor, wanted=True)
        total = 0
        try:
            # A small file waits for no large one.
            for buffer in self._turns if is_large else repeat(self._small):
                buffer.wait()
                piece = _fill(buffer.memory, readinto)
                if not piece:
                    break
                total += len(piece)
                proceed(total)
                if is_large:
                    buffer.hand_over(self._writer(), descriptor, piece)
                else:
                    _write(descriptor, piece)
                for digest in digests:
                    digest.update(piece)
        except BaseException:
            # Written later, a piece would go to whatever file has this number by then.
            with suppress(Unwritable):
                self.wait()
            raise
        return total

    def wait(self) -> None:
        """Until everything is written; raises Unwritable for the first piece that could not be."""
        failed: Unwritable | None = None
        for buffer in self._buffers:
            try:
                buffer.wait()
            except Unwritable as error:
                failed = failed or error
        if failed:
            raise failed


def _fill(view: memoryview, readinto: Callable[[memoryview], int]) -> memoryview:
    """As much of it as there is: only the last piece of a file may end within a block."""
    filled = 0
    while filled < len(view) and (count := readinto(view[filled:])):
        filled += count
    return view[:filled]


def _write(descriptor: int, piece: memoryview) -> None:
    try:
        while piece:
            piece = piece[os.write(descriptor, piece) :]
    except OSError as error:
        raise Unwritable(error.errno, error.strerror) from error


def _write_past_cache(descriptor: int, piece: memoryview) -> None:
    """Whole blocks past the page cache, and what is left of the piece through it."""
    try:
        while len(piece) >= _ALIGNMENT:
            piece = piece[os.write(descriptor, piece[: len(piece) // _ALIGNMENT * _ALIGNMENT]) :]
    except OSError as error:
        # The filesystem took the flag and wants other blocks, or a disk that is full took part of one.
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise Unwritable(error.errno, error.strerror) from error
    if piece:
        _set_direct(descriptor, wanted=False)
        _write(descriptor, piece)


def _set_direct(descriptor: int, *, wanted: bool) -> bool:
    """Whether writes go past the page cache from now on; False where the filesystem cannot (an old tmpfs)."""
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_DIRECT if wanted else flags & ~os.O_DIRECT)
    except OSError:
        return False
    return wanted
