"""Read a folder that may hang: the child process of :class:`archiver.intake.folder.access.ChildAccess`."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

from archiver.intake.folder.access import DirectAccess, DirectoryEntry
from archiver.store.content.own_files import OwnFile
from archiver.store.content.source import Source, SourceChanged
from archiver.workers import WithContent, name_to_text, serve, text_to_name


class FolderReader:
    """Answer requests about a folder in turn; at most one file is open.

    A request is a kind and values: kind ``entries`` is answered by ``_entries``, and so on.
    """

    def __init__(self, root: bytes, archive: bytes) -> None:
        self._access = DirectAccess(root, archive or None)
        self._open_source: Source | None = None

    def answer_request(self, kind: str, *values: Any) -> object:
        """Return the answer, or the error for the parent to raise, in the form that the parent decodes."""
        try:
            return self._read(*values) if kind == "read" else ["ok", getattr(self, f"_{kind}")(*values)]
        except SourceChanged:
            return ["unstable"]
        except OwnFile as error:
            return ["own", name_to_text(error.path)]
        except OSError as error:
            return ["error", error.errno or errno.EIO, error.strerror or str(error)]

    def _entries(self, path: str) -> list[tuple[Any, ...]]:
        return [_encode_entry(entry) for entry in self._access.list_folder(text_to_name(path))]

    def _names(self, path: str) -> list[str]:
        return [name_to_text(name) for name in self._access.list_names(text_to_name(path))]

    def _entry(self, path: str) -> tuple[Any, ...]:
        return _encode_entry(self._access.look_up(text_to_name(path)))

    def _root(self, _path: str) -> tuple[int, int, int]:
        status = os.stat(self._access.root)
        return status.st_dev, status.st_ino, status.st_mode

    def _open(self, path: str) -> tuple[Any, ...]:
        self._close()
        self._open_source = self._access.open(text_to_name(path))
        return (self._open_source.is_being_written, *self._open_source.stat_data)

    def _read(self, count: int) -> WithContent:
        buffer = memoryview(bytearray(count))
        length = self._open_source.readinto(buffer) if self._open_source else 0
        return WithContent(["ok", True], buffer[:length])

    def _check(self) -> bool:
        return self._open_source is not None and self._open_source.is_unchanged()

    def _close(self) -> None:
        if self._open_source is not None:
            self._open_source.close()
            self._open_source = None


def _encode_entry(entry: DirectoryEntry) -> tuple[Any, ...]:
    return (name_to_text(entry.name), entry.mode, entry.is_own, *entry.signature)


def main() -> None:
    """Serve until the parent closes the socket."""
    reader = FolderReader(*map(os.fsencode, sys.argv[1:]))
    serve(lambda request: reader.answer_request(*request))


if __name__ == "__main__":
    main()
