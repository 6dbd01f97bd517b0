"""Run work in processes beside this one: a child for each thread, called and answered in frames.

Threads of one Python that hash, copy and look at many files spend their time handing its lock to each other.
"""

from __future__ import annotations

import marshal
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

_LENGTH = struct.Struct("<I")


def write_frame(descriptor: int, value: Any) -> None:
    """Send one value over a pipe."""
    data = marshal.dumps(value)
    view = memoryview(_LENGTH.pack(len(data)) + data)
    while view:
        view = view[os.write(descriptor, view) :]


def read_frame(descriptor: int) -> Any:
    """Receive one value; raises EOFError where the other side has ended."""
    (length,) = _LENGTH.unpack(_read(descriptor, _LENGTH.size))
    return marshal.loads(_read(descriptor, length))  # noqa: S302 - between our own two processes


def _read(descriptor: int, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = os.read(descriptor, count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)


class WorkerPool:
    """Own one child process per thread, which runs ``module`` and answers calls.

    A child is started when its thread calls first.  :meth:`close` ends all of them.
    """

    def __init__(self, module: str, *arguments: bytes) -> None:
        self._module, self._arguments = module, arguments
        self._mine = threading.local()
        self._all: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start this thread's child before there is a request; raises OSError."""
        self._child()

    def call(self, request: Any) -> Any:
        """Return what this thread's child answers; raises OSError where it cannot be started, or died."""
        child = self._child()
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            write_frame(child.stdin.fileno(), request)
            return read_frame(child.stdout.fileno())
        except (OSError, EOFError):
            # Whatever it had answered late would pass for the answer to the next request.
            child.kill()
            self._mine.child = None
            raise BrokenPipeError from None

    def _child(self) -> subprocess.Popen[bytes]:
        child: subprocess.Popen[bytes] | None = getattr(self._mine, "child", None)
        if child is None:
            # -P: a file in the current folder must not pass for one of our modules.
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", self._module, *self._arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
            self._mine.child = child
            self._all.append(child)
        return child

    def release(self) -> None:
        """Tell the children to end, and wait for none; only while no thread calls."""
        self._mine = threading.local()
        for child in self._all:
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()

    def close(self) -> None:
        """End the children, and wait for each; only while no thread calls."""
        self.release()
        while self._all:
            self._all.pop().wait()


def serve(answer: Callable[[Any], Any]) -> None:
    """Be such a child: answer requests until the parent closes its end."""
    try:
        while True:
            write_frame(1, answer(read_frame(0)))
    except (EOFError, BrokenPipeError):
        return
