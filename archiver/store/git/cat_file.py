"""Questions to one ``git cat-file --batch``, one by one or many ahead."""

from __future__ import annotations

import os
import select
from collections.abc import Iterable
from typing import Any

from archiver.store.git.fast_import import GitEnded, end_process

_READ_BYTES = 1 << 16


class GitHangs(Exception):
    """git said nothing for longer than anybody waits."""


class CatFile:
    """One running process; after any error but KeyError it is of no use."""

    def __init__(self, process: Any, patience_seconds: float) -> None:
        self._process = process
        self._patience = patience_seconds
        self._descriptor: int = process.stdout.fileno()
        self._buffer = bytearray()

    def ask(self, specs: Iterable[str]) -> None:
        """Ask for objects; each question has to be answered with :meth:`answer`.  Raises GitEnded.

        No more than a few kilobytes at once: git stops listening while nobody takes its answers.
        """
        data = "".join(f"{spec}\n" for spec in specs).encode("utf-8", "surrogateescape")
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise GitEnded from None

    def answer(self) -> tuple[str, str, bytes]:
        """Id, type and bytes of the next object; raises KeyError where there is none, GitEnded, GitHangs."""
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
        data = bytes(memoryview(self._buffer)[:count])
        del self._buffer[:count]
        return data

    def _fill(self) -> None:
        if not select.select([self._descriptor], [], [], self._patience)[0]:
            raise GitHangs
        data = os.read(self._descriptor, _READ_BYTES)
        if not data:
            raise GitEnded
        self._buffer += data

    def close(self) -> None:
        """End the process."""
        end_process(self._process.proc)
