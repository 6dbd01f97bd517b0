"""Copy and hash files at the same time; large files bypass the page cache.

Archived content and packages are seldom read again soon, and must not push the files of the file server's users
out of memory.  The disk writes one chunk while the next one is read and hashed, so that a sync at the end takes
little time.
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
from typing import NamedTuple, Protocol

#: Files of at least this size bypass the page cache.  For smaller files, waiting for the disk costs more than the
#: space in the cache.
LARGE_FILE_BYTES = 256 << 10
#: Chunks of large files; smaller ones would leave the disk idle.
_LARGE_CHUNK_BYTES = 2 << 20
#: Chunks of small files; larger ones would fall out of the processor's cache before they are written.
_SMALL_CHUNK_BYTES = 128 << 10
#: One buffer is filled and hashed while the others wait for the disk; each further one costs 2 MB of memory.
_BUFFER_COUNT = 4
#: O_DIRECT requires memory, offset and length in multiples of a block, and no block is larger than a page.
_ALIGNMENT = mmap.PAGESIZE


class WriteFailed(OSError):
    """The copy could not be written. Any other OSError of a copy is an error of the source."""


class HashDigest(Protocol):
    """A hash object of :mod:`hashlib`."""

    def update(self, data: memoryview, /) -> None:
        """Add the next bytes."""

    def hexdigest(self) -> str:
        """Return the digest of all bytes so far."""


class _Buffer:
    """Memory that one thread fills and another writes to disk, in turns."""

    def __init__(self, length: int) -> None:
        """Reserve ``length`` bytes, aligned as O_DIRECT requires; they occupy no memory before the first use."""
        # Anonymous memory begins at a page boundary; memory of a bytearray need not.
        page_memory = mmap.mmap(-1, length, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with suppress(OSError, AttributeError):
            # With huge pages the kernel has shorter lists of pages to write; without them, copying is merely
            # slower.
            page_memory.madvise(mmap.MADV_HUGEPAGE)
        self.memory = memoryview(page_memory)
        self._being_written = threading.Lock()
        self._write_error: WriteFailed | None = None

    def queue_write(
        self, write_orders: SimpleQueue[_WriteOrder | None], target_descriptor: int, chunk: memoryview
    ) -> None:
        """Order the writing thread to write ``chunk``, a part of this buffer, to ``target_descriptor``.

        The buffer is busy until the chunk is written.  The caller has to call :meth:`wait_until_free` first.
        """
        self._being_written.acquire()
        write_orders.put(_WriteOrder(self, target_descriptor, chunk))

    def write(self, target_descriptor: int, chunk: memoryview) -> None:
        """Write ``chunk`` and mark the buffer as free; only the writing thread calls this.

        Never raises OSError, which would end the writing thread: :meth:`wait_until_free` raises the error in the
        thread that copies.
        """
        try:
            _write_past_cache(target_descriptor, chunk)
        except WriteFailed as error:
            self._write_error = error
        finally:
            self._being_written.release()

    def wait_until_free(self) -> None:
        """Wait until the buffer may be filled again.

        Raises WriteFailed if the last chunk could not be written; the next call does not raise this error again.
        """
        with self._being_written:
            write_error, self._write_error = self._write_error, None
        if write_error:
            raise write_error


class _WriteOrder(NamedTuple):
    """A chunk that the writing thread is to write."""

    buffer: _Buffer
    #: The open file that the chunk is written to, at its present position.
    descriptor: int
    #: A part of the buffer's memory.
    chunk: memoryview


def _serve_orders(write_orders: SimpleQueue[_WriteOrder | None]) -> None:
    """Write the chunks of ``write_orders`` one by one until None arrives; the writing thread runs this."""
    while write_order := write_orders.get():
        write_order.buffer.write(write_order.descriptor, write_order.chunk)


class Copier:
    """Copies file after file, for use by a single thread only.

    Owns its buffers and, from the first large file on, a thread for writing, which ends when this object is
    garbage-collected.
    """

    def __init__(self, buffer_count: int = _BUFFER_COUNT) -> None:
        """Reserve ``buffer_count`` buffers for large files; more buffers help on a busy processor."""
        self._small_buffer = _Buffer(_SMALL_CHUNK_BYTES)
        self._large_buffers = [_Buffer(_LARGE_CHUNK_BYTES) for _ in range(buffer_count)]
        self._buffer_cycle = cycle(self._large_buffers)
        self._write_orders: SimpleQueue[_WriteOrder | None] | None = None

    def _order_queue(self) -> SimpleQueue[_WriteOrder | None]:
        """Return the queue of the writing thread; the first call starts the thread, or raises RuntimeError."""
        if self._write_orders is None:
            write_orders: SimpleQueue[_WriteOrder | None] = SimpleQueue()
            # Without a thread, nobody would serve the queue, and the next file would wait for ever.
            threading.Thread(target=_serve_orders, args=[write_orders], daemon=True).start()
            weakref.finalize(self, write_orders.put, None)
            self._write_orders = write_orders
        return self._write_orders

    def copy(
        self,
        readinto: Callable[[memoryview], int],
        target_descriptor: int,
        expected_size: int,
        digests: Sequence[HashDigest],
        check_progress: Callable[[int], None] = lambda _: None,
    ) -> int:
        """Call ``readinto`` until it returns 0, and write every chunk; return the number of bytes copied.

        ``target_descriptor`` belongs to an empty file.  The real size may differ from ``expected_size``.  Every
        object in ``digests`` is updated with all bytes.  ``check_progress`` is called before each chunk is
        written, with the number of bytes including that chunk, and may raise to abandon the copy.

        Chunks may still wait for the disk when this returns, so the caller keeps ``target_descriptor`` open until
        :meth:`wait` returns.  One call of :meth:`wait` is enough for several copies.

        Raises the errors of ``readinto`` and ``check_progress``, and WriteFailed, which may also be the error of
        an earlier copy that was not waited for.
        """
        is_large = expected_size >= LARGE_FILE_BYTES and _set_direct(target_descriptor, enabled=True)
        copied_bytes = 0
        try:
            # A small file has its own buffer, and so need not wait until a large file is written.
            for buffer in self._buffer_cycle if is_large else repeat(self._small_buffer):
                buffer.wait_until_free()
                chunk = _fill_buffer(buffer.memory, readinto)
                if not chunk:
                    break
                copied_bytes += len(chunk)
                check_progress(copied_bytes)
                if is_large:
                    buffer.queue_write(self._order_queue(), target_descriptor, chunk)
                else:
                    write_chunk(target_descriptor, chunk)
                for digest in digests:
                    digest.update(chunk)
        except BaseException:
            # Wait for pending writes: the caller closes the descriptor, whose number the next open file gets.
            with suppress(WriteFailed):
                self.wait()
            raise
        return copied_bytes

    def wait(self) -> None:
        """Wait until all chunks of all copies are written; raises WriteFailed if any chunk could not be written.

        The chunks are not durable yet: the caller syncs the files.
        """
        first_error: WriteFailed | None = None
        for buffer in self._large_buffers:
            try:
                buffer.wait_until_free()
            except WriteFailed as error:
                first_error = first_error or error
        if first_error:
            raise first_error


def _fill_buffer(buffer_memory: memoryview, readinto: Callable[[memoryview], int]) -> memoryview:
    """Read until ``buffer_memory`` is full or the source ends; return the filled part, which is empty at the end.

    A single read may return only a part of the remaining bytes.  Such a read must not end a chunk: O_DIRECT writes
    whole blocks, so only the last chunk of a file may end within a block.
    """
    filled_bytes = 0
    while filled_bytes < len(buffer_memory) and (read_bytes := readinto(buffer_memory[filled_bytes:])):
        filled_bytes += read_bytes
    return buffer_memory[:filled_bytes]


def write_chunk(target_descriptor: int, chunk: memoryview) -> None:
    """Write all of ``chunk`` through the page cache; raises WriteFailed."""
    try:
        while chunk:
            chunk = chunk[os.write(target_descriptor, chunk) :]
    except OSError as error:
        raise WriteFailed(error.errno, error.strerror) from error


def _write_past_cache(target_descriptor: int, chunk: memoryview) -> None:
    """Write the whole blocks of ``chunk`` past the page cache, and the rest through it; raises WriteFailed.

    If there is a rest, all later writes to the descriptor go through the page cache, too.
    """
    try:
        # os.write may write only a part of the bytes.
        while len(chunk) >= _ALIGNMENT:
            chunk = chunk[os.write(target_descriptor, chunk[: len(chunk) // _ALIGNMENT * _ALIGNMENT]) :]
    except OSError as error:
        # The filesystem accepted O_DIRECT but requires larger blocks, or a nearly full disk took part of a block,
        # so that the next write is not aligned.  Write the rest through the page cache, which reports a full disk.
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise WriteFailed(error.errno, error.strerror) from error
    if chunk:
        _set_direct(target_descriptor, enabled=False)
        write_chunk(target_descriptor, chunk)


def _set_direct(target_descriptor: int, *, enabled: bool) -> bool:
    """Switch O_DIRECT, which bypasses the page cache, on or off; return True if it is on afterwards.

    Returns False if the filesystem does not support it.
    """
    open_flags = fcntl.fcntl(target_descriptor, fcntl.F_GETFL)
    try:
        new_flags = open_flags | os.O_DIRECT if enabled else open_flags & ~os.O_DIRECT
        fcntl.fcntl(target_descriptor, fcntl.F_SETFL, new_flags)
    except OSError:
        # The filesystem does not support O_DIRECT (an old tmpfs): writes go through the page cache.
        return False
    return enabled
