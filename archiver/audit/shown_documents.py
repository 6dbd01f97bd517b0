"""Opening the documents of a package for its report: pages, pictures, and what could not be opened."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from archiver.documents.document import Document
from archiver.documents.document_types import may_be_document
from archiver.documents.reader import Reader
from archiver.model import Material
from archiver.store import names
from archiver.store.content.objects import ContentStore

#: A report is one file that opens at once; further pictures are told by their size alone.
_MOST_THUMBNAILS = 300
READ = "read"


class Opened:
    """Opens each content once; ``outcomes`` counts them, under READ or the reason."""

    def __init__(self, content: ContentStore, reader: Reader) -> None:
        self._content = content
        self._reader = reader
        self._known: dict[str, Document] = {}
        self._thumbnails = 0
        self.outcomes: Counter[str] = Counter()

    def look(self, material: Material) -> Document:
        """What could be told of it; raises nothing for what is in it."""
        sha256 = material.sha256 or ""
        if sha256 not in self._known:
            self._known[sha256] = self._open(sha256, names.text(material.path)) if material.size else Document("")
        return self._known[sha256]

    def _open(self, sha256: str, name: str) -> Document:
        if not may_be_document(name):
            return Document("")
        found = self._reader.read(self._content.path(sha256), name, sha256, with_text=False)
        if found.kind:
            self.outcomes[found.problem or READ] += 1
        if found.thumbnail:
            self._thumbnails += 1
        return found if self._thumbnails <= _MOST_THUMBNAILS else replace(found, thumbnail="")
