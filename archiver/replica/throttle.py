"""A limit on bytes per second, over all threads."""

from __future__ import annotations

import threading
import time
from typing import IO

from archiver import clock

_NAP_SECONDS = 0.2
_PIECE_BYTES = 1 << 16


class TransferStopped(Exception):
    """The service ends: nothing more is sent or fetched."""


class Throttle:
    """Lets through ``rate`` bytes a second, 0: as many as there are; and none any more once it is stopped."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._lock = threading.Lock()
        self._free_at = 0.0
        self._stopped = False

    def stop(self) -> None:
        """From now on every transfer ends at its next piece."""
        self._stopped = True

    def take(self, count: int) -> None:
        """Wait until ``count`` more bytes may pass; raises Stopped."""
        if self._stopped:
            raise TransferStopped
        if not self._rate:
            return
        with self._lock:
            begin = max(clock.monotonic(), self._free_at)
            self._free_at = begin + count / self._rate
        while (left := begin - clock.monotonic()) > 0:
            time.sleep(min(left, _NAP_SECONDS))
            if self._stopped:
                raise TransferStopped

    def read(self, stream: IO[bytes], count: int) -> bytes:
        """Read, no faster than that."""
        data = stream.read(count)
        self.take(len(data))
        return data

    def reading(self, stream: IO[bytes]) -> Throttled:
        """The stream, read no faster than that."""
        return Throttled(stream, self)


class Throttled:
    """A file that can be read and rewound."""

    def __init__(self, stream: IO[bytes], throttle: Throttle) -> None:
        self._stream, self._throttle = stream, throttle

    def read(self, count: int = -1) -> bytes:
        """Read, as the throttle lets it."""
        # In small pieces: what was read has passed already.
        return self._throttle.read(self._stream, _PIECE_BYTES if count < 0 else min(count, _PIECE_BYTES))

    def seek(self, place: int, whence: int = 0) -> int:
        """To the beginning again, before another attempt."""
        return self._stream.seek(place, whence)

    def tell(self) -> int:
        """Where it is."""
        return self._stream.tell()
