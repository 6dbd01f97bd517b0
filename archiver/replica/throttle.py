"""A limit on the bytes per second of all threads together, which can also end all transfers."""

from __future__ import annotations

import threading
import time
from typing import IO

from archiver import clock
from archiver.replica.bucket import TransferStopped

#: The longest sleep before a waiting thread checks whether transfers were stopped. A shorter one wakes the thread
#: more often for nothing. A longer one delays the end of the service.
_LONGEST_SLEEP_SECONDS = 0.2
#: The most bytes of an upload that pass at once. With fewer, threads on a fast line spend most of the time waiting
#: for the lock of the throttle. With more, a slow line transfers in bursts.
_CHUNK_BYTES = 1 << 16


class Throttle:
    """A limit on the bytes per second of all threads together. Safe to use from several threads."""

    def __init__(self, bytes_per_second: float) -> None:
        """Set the limit to ``bytes_per_second``. 0 means no limit, so that only :meth:`stop` has an effect."""
        self._bytes_per_second = bytes_per_second
        self._lock = threading.Lock()
        #: The monotonic time at which the next bytes may pass.
        self._next_free_time = 0.0
        self._is_stopped = False

    def stop(self) -> None:
        """Make all transfers, present and future, raise TransferStopped at the next chunk. Return at once."""
        self._is_stopped = True

    def wait_for_bandwidth(self, byte_count: int) -> None:
        """Reserve the time for ``byte_count`` more bytes, and wait until the bytes may pass.

        Raises TransferStopped after :meth:`stop`, also if that is called during the wait.
        """
        if self._is_stopped:
            raise TransferStopped
        if not self._bytes_per_second:
            return
        with self._lock:
            start_time = max(clock.monotonic_seconds(), self._next_free_time)
            self._next_free_time = start_time + byte_count / self._bytes_per_second
        while (remaining_seconds := start_time - clock.monotonic_seconds()) > 0:
            time.sleep(min(remaining_seconds, _LONGEST_SLEEP_SECONDS))
            if self._is_stopped:
                raise TransferStopped

    def read_from(self, stream: IO[bytes], byte_count: int) -> bytes:
        """Read up to ``byte_count`` bytes, wait until the bytes may pass, and return the data.

        Raises TransferStopped after :meth:`stop`.
        """
        chunk = stream.read(byte_count)
        self.wait_for_bandwidth(len(chunk))
        return chunk


class ThrottledFile:
    """A file for the S3 client to upload, read no faster than a throttle allows.

    The client calls :meth:`seek` to repeat an upload after a failure. The caller closes the stream.
    """

    def __init__(self, stream: IO[bytes], throttle: Throttle) -> None:
        """Wrap ``stream``, an open binary file."""
        self._stream = stream
        self._throttle = throttle

    def read(self, byte_count: int = -1) -> bytes:
        """Read up to ``byte_count`` bytes (-1: no limit), but never more than a chunk.

        A client that reads a whole file at once would send it in one burst.
        """
        return self._throttle.read_from(
            self._stream, _CHUNK_BYTES if byte_count < 0 else min(byte_count, _CHUNK_BYTES)
        )

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to ``offset``, counted from ``whence`` (see io.IOBase.seek), and return the new position."""
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """Return the position of the next byte."""
        return self._stream.tell()
