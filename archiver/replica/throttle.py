"""A limit on bytes per second over all threads, which also ends transfers."""

from __future__ import annotations

import threading
import time
from typing import IO

from archiver import clock
from archiver.replica.bucket import TransferStopped

#: Longest sleep before a waiting thread looks whether transfers were stopped: shorter wakes up for nothing,
#: longer delays the end of the service.
_LONGEST_SLEEP_SECONDS = 0.2
#: Bytes that pass at once: with fewer a fast line waits for locks, with more a slow one comes in bursts.
_CHUNK_BYTES = 1 << 16


class Throttle:
    """Lets ``bytes_per_second`` pass over all threads together (0: no limit), until stopped."""

    def __init__(self, bytes_per_second: float) -> None:
        self._bytes_per_second = bytes_per_second
        self._lock = threading.Lock()
        #: Monotonic time from which on the next bytes may pass.
        self._next_free_time = 0.0
        self._is_stopped = False

    def stop(self) -> None:
        """End every transfer at the next chunk, now and later."""
        self._is_stopped = True

    def wait_for(self, byte_count: int) -> None:
        """Wait until ``byte_count`` more bytes may pass.  Raises TransferStopped once stopped."""
        if self._is_stopped:
            raise TransferStopped
        if not self._bytes_per_second:
            return
        with self._lock:
            start_time = max(clock.monotonic(), self._next_free_time)
            self._next_free_time = start_time + byte_count / self._bytes_per_second
        while (remaining_seconds := start_time - clock.monotonic()) > 0:
            time.sleep(min(remaining_seconds, _LONGEST_SLEEP_SECONDS))
            if self._is_stopped:
                raise TransferStopped

    def read_from(self, stream: IO[bytes], byte_count: int) -> bytes:
        """Read up to ``byte_count`` bytes, and wait for their turn.  Raises TransferStopped once stopped."""
        data = stream.read(byte_count)
        self.wait_for(len(data))
        return data


class ThrottledFile:
    """A file to upload, read no faster than a throttle allows; rewound by the client before another attempt."""

    def __init__(self, stream: IO[bytes], throttle: Throttle) -> None:
        self._stream = stream
        self._throttle = throttle

    def read(self, byte_count: int = -1) -> bytes:
        """Read one chunk at most, whatever ``byte_count`` says: a whole file would pass in one burst."""
        return self._throttle.read_from(
            self._stream, _CHUNK_BYTES if byte_count < 0 else min(byte_count, _CHUNK_BYTES)
        )

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to an offset, as io.IOBase.seek does."""
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """Return the offset of the next byte."""
        return self._stream.tell()
