"""The child process of :class:`archiver.intake.folder.access.ThroughChildren`: reads a folder that may hang."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

from archiver.intake.folder.access import Direct, DirectoryEntry
from archiver.store.content.own_files import OwnFile
from archiver.store.content.source import Source, SourceChanged
from archiver.workers import WithContent, name_to_text, serve, text_to_name


class FolderReader:
    """Answer one request after the other about one folder; at most one file is open."""

    def __init__(self, root: bytes, archive: bytes) -> None:
        self._access = Direct(root, archive or None)
        self._source: Source | None = None

    def answer(self, kind: str, *values: Any) -> object:
        """Return what the parent asked for, or the error that it shall raise, as it decodes them."""
        try:
            return self._read(*values) if kind == "read" else ["ok", getattr(self, f"_{kind}")(*values)]
        except SourceChanged:
            return ["unstable"]
        except OwnFile as error:
            return ["own", name_to_text(error.path)]
        except OSError as error:
            return ["error", error.errno or errno.EIO, error.strerror or str(error)]

    def _entries(self, path: str) -> list[tuple[Any, ...]]:
        return [_encode_entry(entry) for entry in self._access.entries(text_to_name(path))]

    def _names(self, path: str) -> list[str]:
        return [name_to_text(name) for name in self._access.names(text_to_name(path))]

    def _entry(self, path: str) -> tuple[Any, ...]:
        return _encode_entry(self._access.entry(text_to_name(path)))

    def _root(self, _path: str) -> tuple[int, int, int]:
        status = os.stat(self._access.root)
        return status.st_dev, status.st_ino, status.st_mode

    def _open(self, path: str) -> tuple[Any, ...]:
        self._close()
        self._source = self._access.open(text_to_name(path))
        return (self._source.is_being_written, *self._source.stat_data)

    def _read(self, count: int) -> WithContent:
        buffer = memoryview(bytearray(count))
        length = self._source.readinto(buffer) if self._source else 0
        return WithContent(["ok", True], buffer[:length])

    def _check(self) -> bool:
        return self._source is not None and self._source.is_unchanged()

    def _close(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None


def _encode_entry(entry: DirectoryEntry) -> tuple[Any, ...]:
    return (name_to_text(entry.name), entry.mode, entry.is_own, *entry.signature)


def main() -> None:
    """Serve until the parent closes its end."""
    reader = FolderReader(*map(os.fsencode, sys.argv[1:]))
    serve(lambda request: reader.answer(*request))


if __name__ == "__main__":
    main()
