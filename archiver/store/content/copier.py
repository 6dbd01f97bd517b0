"""Copy files and hash them on the way, large ones past the page cache.

Archived content and packages are seldom read again soon, and must not push the files of the file server's users
out of memory.  The disk writes one chunk while the next is read and hashed, and a sync finds little left to do.
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

#: Files of this size go past the page cache: below it, waiting for the disk costs more than the cache does.
LARGE = 256 << 10
#: Smaller large chunks leave the disk idle; larger small ones fall out of the processor's cache before the write.
_LARGE_CHUNK, _SMALL_CHUNK = 2 << 20, 128 << 10
#: One buffer is filled and hashed while the others wait for the disk; each more costs 2 MB of memory.
_BUFFER_COUNT = 4
#: O_DIRECT requires memory, offset and length in multiples of a block, and no block is larger than a page.
_ALIGNMENT = mmap.PAGESIZE


class WriteFailed(OSError):
    """The copy could not be written; the source of the copy is not to blame."""


class HashDigest(Protocol):
    """A hash object of :mod:`hashlib`."""

    def update(self, data: memoryview, /) -> None:
        """Add the next bytes."""

    def hexdigest(self) -> str:
        """Return the digest of all bytes so far."""


class _Buffer:
    """Memory filled by one thread and written by another, in turns."""

    def __init__(self, length: int) -> None:
        # Anonymous memory begins on a page, and occupies none before its first use.
        pages = mmap.mmap(-1, length, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with suppress(OSError, AttributeError):
            # Huge pages make the lists of pages that go to the disk short; without them copying is slower only.
            pages.madvise(mmap.MADV_HUGEPAGE)
        self.memory = memoryview(pages)
        self._being_written = threading.Lock()
        self._write_error: WriteFailed | None = None

    def queue_write(self, orders: SimpleQueue[_WriteOrder | None], descriptor: int, chunk: memoryview) -> None:
        """Pass ``chunk``, which lies in this buffer, to the thread that writes; the buffer is busy until then."""
        self._being_written.acquire()
        orders.put((self, descriptor, chunk))

    def write(self, descriptor: int, chunk: memoryview) -> None:
        """Write ``chunk`` and free the buffer; called by the thread that writes.

        Keeps a failure for :meth:`wait_until_free`, since nobody waits in this thread.
        """
        try:
            _write_past_cache(descriptor, chunk)
        except WriteFailed as error:
            self._write_error = error
        finally:
            self._being_written.release()

    def wait_until_free(self) -> None:
        """Wait until the buffer may be filled again; raises WriteFailed if its last chunk was not written."""
        with self._being_written:
            write_error, self._write_error = self._write_error, None
        if write_error:
            raise write_error


_WriteOrder = tuple[_Buffer, int, memoryview]


def _serve_orders(orders: SimpleQueue[_WriteOrder | None]) -> None:
    while order := orders.get():
        buffer, descriptor, chunk = order
        buffer.write(descriptor, chunk)


class Copier:
    """Copy one file after the other; for one thread.

    Owns buffers and, from the first large file on, a thread for writing, which ends with this object.
    """

    def __init__(self, buffer_count: int = _BUFFER_COUNT) -> None:
        """Allocate ``buffer_count`` large buffers: more buffers even out a busy processor."""
        self._small_buffer = _Buffer(_SMALL_CHUNK)
        self._large_buffers = [_Buffer(_LARGE_CHUNK) for _ in range(buffer_count)]
        self._buffer_cycle = cycle(self._large_buffers)
        self._pending_orders: SimpleQueue[_WriteOrder | None] | None = None

    def _order_queue(self) -> SimpleQueue[_WriteOrder | None]:
        """Return the queue of the thread that writes; start the thread with the first large file."""
        if self._pending_orders is None:
            self._pending_orders = SimpleQueue()
            threading.Thread(target=_serve_orders, args=[self._pending_orders], daemon=True).start()
            weakref.finalize(self, self._pending_orders.put, None)
        return self._pending_orders

    def copy(
        self,
        readinto: Callable[[memoryview], int],
        descriptor: int,
        size: int,
        digests: Sequence[HashDigest],
        check_progress: Callable[[int], None] = lambda _: None,
    ) -> int:
        """Read ``readinto`` to its end, hash and write every chunk; return the number of bytes.

        Chunks may still be on their way to the disk: close nothing before :meth:`wait`, which several copies may
        share.  ``descriptor`` is that of a new file, ``size`` the expected size.  Before a chunk is written,
        ``check_progress`` is called with the bytes so far, and may raise to abandon the copy.

        Raises the errors of ``readinto`` and ``check_progress``, and WriteFailed, also for an earlier copy of
        which nobody waited for the end.
        """
        is_large = size >= LARGE and _set_direct(descriptor, enabled=True)
        copied_bytes = 0
        try:
            # A small file has a buffer of its own, and so waits for no large one.
            for buffer in self._buffer_cycle if is_large else repeat(self._small_buffer):
                buffer.wait_until_free()
                chunk = _fill_buffer(buffer.memory, readinto)
                if not chunk:
                    break
                copied_bytes += len(chunk)
                check_progress(copied_bytes)
                if is_large:
                    buffer.queue_write(self._order_queue(), descriptor, chunk)
                else:
                    _write_chunk(descriptor, chunk)
                for digest in digests:
                    digest.update(chunk)
        except BaseException:
            # Wait for pending writes: the caller closes the descriptor, and its number may be another file's then.
            with suppress(WriteFailed):
                self.wait()
            raise
        return copied_bytes

    def wait(self) -> None:
        """Wait until everything is written; raises WriteFailed for the first chunk that could not be."""
        first_error: WriteFailed | None = None
        for buffer in self._large_buffers:
            try:
                buffer.wait_until_free()
            except WriteFailed as error:
                first_error = first_error or error
        if first_error:
            raise first_error


def _fill_buffer(memory: memoryview, readinto: Callable[[memoryview], int]) -> memoryview:
    """Read until ``memory`` is full or the source ends; return the filled part.

    A short read in the middle of a file must not end a chunk: only the last one may end within a block.
    """
    filled_bytes = 0
    while filled_bytes < len(memory) and (read_bytes := readinto(memory[filled_bytes:])):
        filled_bytes += read_bytes
    return memory[:filled_bytes]


def _write_chunk(descriptor: int, chunk: memoryview) -> None:
    try:
        while chunk:
            chunk = chunk[os.write(descriptor, chunk) :]
    except OSError as error:
        raise WriteFailed(error.errno, error.strerror) from error


def _write_past_cache(descriptor: int, chunk: memoryview) -> None:
    """Write whole blocks past the page cache, and the rest of the chunk through the cache."""
    try:
        while len(chunk) >= _ALIGNMENT:
            chunk = chunk[os.write(descriptor, chunk[: len(chunk) // _ALIGNMENT * _ALIGNMENT]) :]
    except OSError as error:
        # The filesystem took the flag but requires other blocks, or a full disk took part of one: the rest is
        # written through the page cache, which reports a full disk.
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise WriteFailed(error.errno, error.strerror) from error
    if chunk:
        _set_direct(descriptor, enabled=False)
        _write_chunk(descriptor, chunk)


def _set_direct(descriptor: int, *, enabled: bool) -> bool:
    """Switch writes past the page cache on or off; return True if on from now on."""
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_DIRECT if enabled else flags & ~os.O_DIRECT)
    except OSError:
        # The filesystem has no such writes (an old tmpfs): the page cache serves instead.
        return False
    return enabled
