"""Cache what was read of documents under the SHA-256 of their content, so that reports open each one once.

The cache holds text of materials: it is readable for the owner alone, and a disposal removes it with the content.
Entries that another user could have written are discarded: a report would show them as the archive's content.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from archiver.documents.document import Document
from archiver.path_existence import is_there

FOLDER = "documents"
#: Part of each file name, raised when a release reads documents differently.
_FORMAT_VERSION = 1
#: zlib's fastest: entries are read as often as written.
_COMPRESSION_LEVEL = 1


class DocumentCache:
    """The folder ``documents`` of an archive, written by the archive's owner alone."""

    def __init__(self, root: Path) -> None:
        self._folder = root / FOLDER

    def get(self, sha256: str, kind: str, with_text: bool) -> Document | None:
        """Return the cached document; None if there is none, or none that can be trusted."""
        path = self._path(sha256, kind, with_text)
        try:
            if not self._is_trusted(path):
                return None
            return Document.from_json(json.loads(zlib.decompress(path.read_bytes())))
        except (OSError, ValueError, TypeError, KeyError, zlib.error):
            # Missing, damaged or of another release: the document is read again.
            return None

    def put(self, sha256: str, with_text: bool, document: Document, content: Path) -> None:
        """Cache a document for as long as the file ``content`` exists; does nothing if the disk takes no write."""
        path = self._path(sha256, document.kind, with_text)
        # A cache that cannot be written costs time, nothing else.
        with suppress(OSError):
            if os.stat(self._folder.parent).st_uid != os.geteuid():
                # The owner could not remove what root leaves there.
                return
            for folder in (self._folder, path.parent):
                self._make_private(folder)
            descriptor, temporary_name = tempfile.mkstemp(dir=path.parent)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(zlib.compress(json.dumps(document.as_json()).encode("ascii"), _COMPRESSION_LEVEL))
            os.rename(temporary_name, path)
            if not _certainly_exists(content):
                # A disposal removed the content while it was read.
                path.unlink()

    def _make_private(self, folder: Path) -> None:
        """Create a folder of the owner alone, and replace one that others could write to; raises OSError."""
        if is_there(folder, follow_links=False) and not self._is_owned(folder):
            if stat.S_ISDIR(os.lstat(folder).st_mode):
                shutil.rmtree(folder)
            else:
                os.unlink(folder)
        folder.mkdir(mode=0o700, exist_ok=True)

    def _is_trusted(self, path: Path) -> bool:
        return all(self._is_owned(part) for part in (self._folder, path.parent, path))

    def _is_owned(self, path: Path) -> bool:
        """Return True if only the archive's owner could write there; raises OSError if nothing is there."""
        status = os.lstat(path)
        is_plain = stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)
        # An access-control list that lets somebody write shows in the group's bits.
        return is_plain and status.st_uid == self._owner() and not status.st_mode & 0o022

    def _owner(self) -> int:
        return os.stat(self._folder.parent).st_uid

    def drop(self, sha256_digests: Iterable[str]) -> None:
        """Remove everything that was read of these contents; raises OSError if an entry stays."""
        for sha256 in sha256_digests:
            # Not Path.glob, which skips a folder that cannot be listed: the text in it would stay.
            with suppress(FileNotFoundError, NotADirectoryError):
                for path in list((self._folder / sha256[:2]).iterdir()):
                    if path.name.startswith(f"{sha256}."):
                        path.unlink(missing_ok=True)

    def _path(self, sha256: str, kind: str, with_text: bool) -> Path:
        return self._folder / sha256[:2] / f"{sha256}.{kind}.{'text' if with_text else 'facts'}.{_FORMAT_VERSION}"


def _certainly_exists(path: Path) -> bool:
    """Return True if there is a file; False also if that cannot be told, so that its text is rather dropped."""
    try:
        return is_there(path)
    except OSError:
        # Dropped without need, a text is read again; kept, it would outlive its content.
        return False
