"""Work in processes beside this one: a child for each thread, asked and answered in frames.

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


class Beside:
    """Children that run one module, each started when its thread asks first."""

    def __init__(self, module: str, *arguments: bytes) -> None:
        self._module, self._arguments = module, arguments
        self._mine = threading.local()
        self._all: list[subprocess.Popen[bytes]] = []

    def begin(self) -> None:
        """Start this thread's child before there is a question; raises OSError."""
        self._child()

    def ask(self, request: Any) -> Any:
        """The answer of this thread's child; raises OSError where there is none, or it died."""
        child = self._child()
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            write_frame(child.stdin.fileno(), request)
            return read_frame(child.stdout.fileno())
        except (OSError, EOFError):
            # Whatever it had answered late would pass for the answer to the next question.
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

    def dismiss(self) -> None:
        """Tell the children to end, and wait for none; only while no thread asks."""
        self._mine = threading.local()
        for child in self._all:
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()

    def end(self) -> None:
        """End the children; only while no thread asks."""
        self.dismiss()
        while self._all:
            self._all.pop().wait()


def serve(answer: Callable[[Any], Any]) -> None:
    """Be such a child, until the parent closes its end."""
    try:
        while True:
            write_frame(1, answer(read_frame(0)))
    except (EOFError, BrokenPipeError):
        return
