"""Read objects, singly or many in a row, through one ``git cat-file --batch`` process."""

from __future__ import annotations

import os
import select
from collections.abc import Iterable

from archiver.store.git.git_process import GitEnded, GitProcess

_READ_BYTES = 1 << 16


class GitHangs(Exception):
    """git has neither answered nor ended within the time allowed."""


class CatFile:
    """A running ``git cat-file --batch``, ended by the owner with :meth:`close`.

    After any error but KeyError it can only be closed.
    """

    def __init__(self, process: GitProcess, patience_seconds: float) -> None:
        """Use the running ``git cat-file``; each read waits for ``patience_seconds`` at most."""
        self._process = process
        self._patience = patience_seconds
        self._descriptor: int = process.stdout.fileno()
        self._buffer = bytearray()

    def ask(self, specs: Iterable[str]) -> None:
        """Request objects, named as in ``commit:path``; the caller then calls :meth:`answer` once for each.

        Only a few kilobytes may be requested at once: git stops reading requests while its answers are not read,
        and both sides would wait for each other.  Raises GitEnded.
        """
        data = "".join(f"{spec}\n" for spec in specs).encode("utf-8", "surrogateescape")
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise GitEnded from None

    def answer(self) -> tuple[str, str, bytes]:
        """Return object id, type and bytes of the next object that was requested.

        Raises KeyError if there is no such object, GitEnded if the process ended, GitHangs if it does not answer.
        """
        while (end := self._buffer.find(b"\n")) < 0:
            self._fill()
        line = self._take(end + 1).decode("utf-8", "replace")
        header = line.split()
        if len(header) != 3 or not header[2].isdigit():
            raise KeyError(line)
        size = int(header[2])
        while len(self._buffer) <= size:
            self._fill()
        return header[0], header[1], self._take(size + 1)[:-1]

    def _take(self, count: int) -> bytes:
        """Remove and return the first ``count`` bytes of the buffer."""
        data = bytes(memoryview(self._buffer)[:count])
        del self._buffer[:count]
        return data

    def _fill(self) -> None:
        """Wait for more bytes from git, and add them to the buffer; raises GitEnded or GitHangs."""
        if not select.select([self._descriptor], [], [], self._patience)[0]:
            raise GitHangs
        data = os.read(self._descriptor, _READ_BYTES)
        if not data:
            raise GitEnded
        self._buffer += data

    def close(self) -> None:
        """End the process."""
        self._process.end()
