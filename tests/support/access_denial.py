"""Deny access to one file as virus scanners do: by fanotify(7), where the kernel asks a program before each open."""

from __future__ import annotations

import ctypes
import os
import select
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FAN_CLOEXEC, _FAN_CLASS_CONTENT = 1, 4
_FAN_MARK_ADD = 1
_FAN_OPEN_PERM = 0x10000
_FAN_ALLOW, _FAN_DENY = 1, 2
_AT_FDCWD = -100
#: Of fanotify_event_metadata: event_len, vers, reserved, metadata_len, mask, fd, pid.
_EVENT = struct.Struct("=IBBHQii")


class AccessDenial:
    """Answers the kernel's questions about one file; for a test that does not open the file itself."""

    def __init__(self, descriptor: int, denials: int) -> None:
        """Deny the first ``denials`` attempts to open the file, and allow the others."""
        self.denied = 0
        self._descriptor, self._denials = descriptor, denials

    def serve(self, stop: int) -> None:
        """Answer until the descriptor ``stop`` can be read."""
        while stop not in select.select([self._descriptor, stop], [], [])[0]:
            data = os.read(self._descriptor, 4096)
            while data:
                length, *_, file_descriptor, _pid = _EVENT.unpack_from(data)
                is_denied = self.denied < self._denials
                self.denied += is_denied
                answer = struct.pack("=iI", file_descriptor, _FAN_DENY if is_denied else _FAN_ALLOW)
                os.write(self._descriptor, answer)
                os.close(file_descriptor)
                data = data[length:]


@contextmanager
def denied_access(path: Path, denials: int) -> Iterator[AccessDenial]:
    """Deny the first ``denials`` attempts of all processes to open the file ``path``; needs root."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.fanotify_init(_FAN_CLOEXEC | _FAN_CLASS_CONTENT, os.O_RDONLY | os.O_CLOEXEC)
    if descriptor < 0 or libc.fanotify_mark(
        descriptor, _FAN_MARK_ADD, ctypes.c_uint64(_FAN_OPEN_PERM), _AT_FDCWD, os.fsencode(path)
    ):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    denial = AccessDenial(descriptor, denials)
    stop, stopping = os.pipe()
    thread = threading.Thread(target=denial.serve, args=[stop], daemon=True)
    thread.start()
    try:
        yield denial
    finally:
        # Closed during a read, the descriptor would stay open, and each open of the file would wait for ever.
        os.close(stopping)
        thread.join()
        # The kernel allows what still waits for an answer.
        os.close(descriptor)
        os.close(stop)
