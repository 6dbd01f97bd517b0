"""What was read of documents, kept by content hash, so that the next report need not read them again.

It holds text of materials: it is the owner's alone, and goes when the content goes.
"""

from __future__ import annotations

import json
import os
import tempfile
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from archiver.documents.document import Document

FOLDER = "documents"
#: Of what is stored; another release may read documents differently.
_VERSION = 1


class Cache:
    """The folder ``documents`` of an archive; whoever is not its owner adds nothing."""

    def __init__(self, root: Path) -> None:
        self._folder = root / FOLDER

    def get(self, sha256: str, kind: str, with_text: bool) -> Document | None:
        """What was kept, if anything usable is there."""
        try:
            data = zlib.decompress(self._path(sha256, kind, with_text).read_bytes())
            return Document.from_json(json.loads(data))
        except (OSError, ValueError, TypeError, KeyError, zlib.error):
            return None

    def put(self, sha256: str, with_text: bool, document: Document, content: Path) -> None:
        """Keep it, for as long as its ``content`` is there."""
        path = self._path(sha256, document.kind, with_text)
        with suppress(OSError):
            if os.stat(self._folder.parent).st_uid != os.geteuid():
                # What root leaves there, the owner could not take away again.
                return
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent)
            with os.fdopen(handle, "wb") as stream:
                stream.write(zlib.compress(json.dumps(document.as_json()).encode("ascii"), 1))
            os.rename(name, path)
            if not content.exists():
                # A disposal took the content while it was read.
                path.unlink()

    def forget(self, contents: Iterable[str]) -> None:
        """Drop what was read of these contents (SHA-256); raises OSError where one stays."""
        for sha256 in contents:
            for path in self._folder.glob(f"{sha256[:2]}/{sha256}.*"):
                path.unlink(missing_ok=True)

    def _path(self, sha256: str, kind: str, with_text: bool) -> Path:
        return self._folder / sha256[:2] / f"{sha256}.{kind}.{'text' if with_text else 'facts'}.{_VERSION}"
