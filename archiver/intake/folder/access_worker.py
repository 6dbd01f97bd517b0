"""Read a folder that may hang: the child process of :class:`archiver.intake.folder.child_access.ChildAccess`."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from typing import Any

from archiver.intake.folder.access import DirectAccess
from archiver.intake.folder.entries import RootIdentity, encode_entry
from archiver.store.content.own_files import OwnFile
from archiver.store.content.source import Source, SourceChanged
from archiver.workers import WithContent, name_to_text, serve, text_to_name


class FolderReader:
    """Answer requests about a folder one after the other, with at most one file open.

    A request is a name and arguments; paths are texts, encoded by :func:`archiver.workers.name_to_text`.
    :mod:`archiver.intake.folder.entries` describes the answers.
    """

    def __init__(self, root: bytes, archive: bytes) -> None:
        """Read the folder ``root``.  ``archive`` is the folder of the archive; empty if there is none to avoid."""
        self._access = DirectAccess(root, archive or None)
        self._open_source: Source | None = None
        #: Name of a request -> the method that answers it.
        self._methods_by_request: dict[str, Callable[..., object]] = {
            "entries": self._list_entries,
            "names": self._list_names,
            "entry": self._look_up,
            "link": self._read_link,
            "root": self._identify_root,
            "locked": self._is_locked,
            "open": self._open_file,
            "check": self._is_file_unchanged,
            "uncache": self._drop_cached_pages,
            "close": self._close_file,
        }

    def answer_request(self, request_name: str, *arguments: Any) -> object:
        """Return the answer for the parent to decode: a value, or an error for the parent to raise.

        Never raises OSError or SourceChanged; other errors mean that the request itself is wrong.
        """
        try:
            # Only this answer has content, so the method returns it as a whole.
            if request_name == "read":
                return self._read_content(*arguments)
            return ["ok", self._methods_by_request[request_name](*arguments)]
        except SourceChanged:
            return ["unstable"]
        except OwnFile as error:
            return ["own", name_to_text(error.path)]
        except OSError as error:
            return ["error", error.errno or errno.EIO, error.strerror or str(error)]

    def _list_entries(self, path: str) -> list[tuple[Any, ...]]:
        """Return the encoded entries of a folder."""
        return [encode_entry(entry) for entry in self._access.list_folder(text_to_name(path))]

    def _list_names(self, path: str) -> list[str]:
        """Return the names in a folder."""
        return [name_to_text(name) for name in self._access.list_names(text_to_name(path))]

    def _look_up(self, path: str) -> tuple[Any, ...]:
        """Return the encoded entry of a single path."""
        return encode_entry(self._access.look_up(text_to_name(path)))

    def _read_link(self, path: str) -> str:
        """Return the text of a symbolic link."""
        return name_to_text(self._access.read_link(text_to_name(path)))

    def _identify_root(self, _path: str) -> RootIdentity:
        """Return the identity of the watched folder itself; links in its path are followed."""
        return self._access.root_identity()

    def _is_locked(self, path: str) -> bool:
        """Return True if the names in a folder are encrypted, and the key is not loaded."""
        return self._access.is_locked(text_to_name(path))

    def _open_file(self, path: str) -> tuple[Any, ...]:
        """Close any open file and open the file at ``path``; return the form that ``decode_opened`` reads."""
        self._close_file()
        self._open_source = self._access.open(text_to_name(path))
        opened = self._open_source
        return (opened.is_being_written, opened.allocated_bytes, *opened.stat_data)

    def _read_content(self, byte_count: int) -> WithContent:
        """Return at most ``byte_count`` bytes of the open file; none at its end, or without an open file."""
        buffer = memoryview(bytearray(byte_count))
        content_length = self._open_source.readinto(buffer) if self._open_source else 0
        return WithContent(["ok", True], buffer[:content_length])

    def _is_file_unchanged(self) -> bool:
        """Return True if the open file is unchanged; False without an open file."""
        return self._open_source is not None and self._open_source.is_unchanged()

    def _drop_cached_pages(self) -> None:
        """Let the next reads of the open file come from the filesystem; nothing without an open file."""
        if self._open_source is not None:
            self._open_source.drop_cached_pages()

    def _close_file(self) -> None:
        """Close the open file, if any."""
        if self._open_source is not None:
            self._open_source.close()
            self._open_source = None


def main() -> None:
    """Serve until the parent closes the socket.  The command line has the arguments of :class:`FolderReader`."""
    root_folder, archive_folder = map(os.fsencode, sys.argv[1:])
    reader = FolderReader(root_folder, archive_folder)
    serve(lambda request: reader.answer_request(*request))


if __name__ == "__main__":
    main()
