"""Read git objects, one or many at a time, through one running ``git cat-file --batch``."""

from __future__ import annotations

import os
import select
from collections.abc import Iterable

from archiver.store.git.git_process import GitEnded, GitProcess

_READ_BYTES = 1 << 16


class GitHangs(Exception):
    """git has neither answered nor ended within the time allowed."""


class CatFile:
    """A running ``git cat-file --batch``; the owner ends the process with :meth:`close`.

    After any error but KeyError, requests and answers may no longer match, so the object can only be closed.
    """

    def __init__(self, process: GitProcess, patience_seconds: float) -> None:
        """Use the running ``git cat-file``; wait at most ``patience_seconds`` for each part of an answer."""
        self._process = process
        self._patience_seconds = patience_seconds
        self._descriptor: int = process.stdout.fileno()
        self._buffer = bytearray()

    def request(self, specs: Iterable[str]) -> None:
        """Request objects by names such as ``commit:path``; the caller then reads each with :meth:`read_object`.

        The names may have a few kilobytes in total: git stops reading requests while nobody reads the answers, and
        both sides would wait for each other.  Raises GitEnded if git no longer reads.
        """
        data = "".join(f"{spec}\n" for spec in specs).encode("utf-8", "surrogateescape")
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise GitEnded from None

    def read_object(self) -> tuple[str, str, bytes]:
        """Return the object id, the type and the bytes of the next requested object.

        Raises KeyError if git finds no such object, GitEnded if git has ended, GitHangs if git does not answer in
        time.
        """
        while (end := self._buffer.find(b"\n")) < 0:
            self._fill_buffer()
        header_line = self._take_bytes(end + 1).decode("utf-8", "replace")
        # An object begins with a line of id, type and size.  Otherwise the line is "<name> missing", for example.
        header = header_line.split()
        if len(header) != 3 or not header[2].isdigit():
            raise KeyError(header_line)
        oid, kind, size = header[0], header[1], int(header[2])
        # A line feed follows the bytes of the object.
        while len(self._buffer) <= size:
            self._fill_buffer()
        return oid, kind, self._take_bytes(size + 1)[:-1]

    def _take_bytes(self, count: int) -> bytes:
        """Remove and return the first ``count`` bytes of the buffer."""
        data = bytes(memoryview(self._buffer)[:count])
        del self._buffer[:count]
        return data

    def _fill_buffer(self) -> None:
        """Wait for more bytes from git, and append them to the buffer; raises GitEnded or GitHangs."""
        if not select.select([self._descriptor], [], [], self._patience_seconds)[0]:
            raise GitHangs
        data = os.read(self._descriptor, _READ_BYTES)
        if not data:
            raise GitEnded
        self._buffer += data

    def close(self) -> None:
        """Kill git if it still runs, and close the pipes."""
        self._process.end()
