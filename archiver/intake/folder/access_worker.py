"""The child process of :class:`archiver.intake.folder.access.ThroughChildren`: reads a folder that may hang."""

from __future__ import annotations

import os
import sys
from typing import Any

from archiver.intake.folder.access import Direct
from archiver.store.content.own_files import OwnFile
from archiver.store.content.source import Source, Unstable
from archiver.workers import serve


class Child:
    """Answers one request after the other; at most one file is open."""

    def __init__(self, root: bytes, archive: bytes) -> None:
        self._access = Direct(root, archive or None)
        self._source: Source | None = None

    def answer(self, kind: str, *values: Any) -> tuple[Any, ...]:
        """What the parent asked for, or the error it shall raise."""
        try:
            return ("ok", getattr(self, f"_{kind}")(*values))
        except Unstable:
            return ("unstable",)
        except OwnFile as error:
            return ("own", error.path)
        except OSError as error:
            return ("error", error.errno, error.strerror)

    def _entries(self, path: bytes) -> list[tuple[Any, ...]]:
        return [(name, mode, is_own, *signature) for name, mode, signature, is_own in self._access.entries(path)]

    def _names(self, path: bytes) -> list[bytes]:
        return self._access.names(path)

    def _entry(self, path: bytes) -> tuple[Any, ...]:
        name, mode, signature, _ = self._access.entry(path)
        return (name, mode, *signature)

    def _open(self, path: bytes) -> tuple[Any, ...]:
        self._close()
        self._source = self._access.open(path)
        return (self._source.is_being_written, *self._source.signature)

    def _read(self, count: int) -> bytes:
        buffer = bytearray(count)
        done = self._source.readinto(memoryview(buffer)) if self._source else 0
        return bytes(memoryview(buffer)[:done])

    def _check(self) -> bool:
        return self._source is not None and self._source.is_unchanged()

    def _close(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None


def main() -> None:
    """Serve until the parent closes its end."""
    child = Child(*map(os.fsencode, sys.argv[1:]))
    serve(lambda request: child.answer(*request))


if __name__ == "__main__":
    main()
