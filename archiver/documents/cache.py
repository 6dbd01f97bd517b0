"""What was read of documents, kept by content hash, so that the next report need not read them again.

It holds text of materials: it is the owner's alone, and goes when the content goes.  Text that somebody
else could have written would be shown as what the archive holds, so such a cache is thrown away.
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
from archiver.existence import is_there

FOLDER = "documents"
#: Of what is stored; another release may read documents differently.
_VERSION = 1


class Cache:
    """The folder ``documents`` of an archive; whoever is not its owner adds nothing."""

    def __init__(self, root: Path) -> None:
        self._folder = root / FOLDER

    def get(self, sha256: str, kind: str, with_text: bool) -> Document | None:
        """What was kept, if anything usable is there."""
        path = self._path(sha256, kind, with_text)
        try:
            if not self._is_trusted(path):
                return None
            data = zlib.decompress(path.read_bytes())
            return Document.from_json(json.loads(data))
        except (OSError, ValueError, TypeError, KeyError, zlib.error):
            return None

    def put(self, sha256: str, with_text: bool, document: Document, content: Path) -> None:
        """Keep it, for as long as its ``content`` is there."""
        path = self._path(sha256, document.kind, with_text)
        # A cache that cannot be written costs time, nothing else.
        with suppress(OSError):
            if os.stat(self._folder.parent).st_uid != os.geteuid():
                # What root leaves there, the owner could not take away again.
                return
            for folder in (self._folder, path.parent):
                self._make(folder)
            handle, name = tempfile.mkstemp(dir=path.parent)
            with os.fdopen(handle, "wb") as stream:
                stream.write(zlib.compress(json.dumps(document.as_json()).encode("ascii"), 1))
            os.rename(name, path)
            if not _is_certainly_there(content):
                # A disposal took the content while it was read.
                path.unlink()

    def _make(self, folder: Path) -> None:
        """Make a folder that is the owner's alone, in place of one that is not; raises OSError."""
        if is_there(folder, follow_links=False) and not self._is_own(folder):
            if stat.S_ISDIR(os.lstat(folder).st_mode):
                shutil.rmtree(folder)
            else:
                os.unlink(folder)
        folder.mkdir(mode=0o700, exist_ok=True)

    def _is_trusted(self, path: Path) -> bool:
        return all(self._is_own(each) for each in (self._folder, path.parent, path))

    def _is_own(self, path: Path) -> bool:
        """Return True if nobody but the archive's owner could write there; raises OSError where nothing is."""
        status = os.lstat(path)
        is_plain = stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)
        # A list that lets somebody write shows in the bits of the group.
        return is_plain and status.st_uid == self._owner() and not status.st_mode & 0o022

    def _owner(self) -> int:
        return os.stat(self._folder.parent).st_uid

    def forget(self, contents: Iterable[str]) -> None:
        """Drop what was read of these contents (SHA-256); raises OSError where one stays."""
        for sha256 in contents:
            # Not Path.glob: it passes over a folder that cannot be listed, and the text in it would stay.
            with suppress(FileNotFoundError, NotADirectoryError):
                for path in list((self._folder / sha256[:2]).iterdir()):
                    if path.name.startswith(f"{sha256}."):
                        path.unlink(missing_ok=True)

    def _path(self, sha256: str, kind: str, with_text: bool) -> Path:
        return self._folder / sha256[:2] / f"{sha256}.{kind}.{'text' if with_text else 'facts'}.{_VERSION}"


def _is_certainly_there(path: Path) -> bool:
    """Return True if there is a file; where that cannot be told, what was read of it is better dropped."""
    try:
        return is_there(path)
    except OSError:
        return False
