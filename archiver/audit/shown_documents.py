"""Open the documents of a package for its report: page counts, thumbnails, and why some are unreadable."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from archiver.documents.document import Document
from archiver.documents.document_types import may_be_document
from archiver.documents.reader import DocumentReader
from archiver.model import Material
from archiver.store import names
from archiver.store.content.objects import ContentStore

#: A report is one file that opens at once; of further pictures it states the size alone.
_MAX_THUMBNAILS = 300
#: The outcome of a document that could be read; other outcomes are the reasons of
#: :mod:`archiver.documents.document`.
READ = "read"


class ShownDocuments:
    """Open each content once, and count the outcomes."""

    def __init__(self, content: ContentStore, document_reader: DocumentReader) -> None:
        self._content = content
        self._document_reader = document_reader
        self._document_by_sha256: dict[str, Document] = {}
        self._thumbnail_count = 0
        self.outcome_counts: Counter[str] = Counter()

    def describe(self, material: Material) -> Document:
        """Return the pages or the thumbnail of a material; ``Document.problem`` is the reason for having neither.

        Never raises for bad content.  The name decides only whether a content is opened at all.
        """
        sha256 = material.sha256 or ""
        if sha256 not in self._document_by_sha256:
            document = self._open(sha256, names.text(material.path)) if material.size else Document("")
            self._document_by_sha256[sha256] = document
        return self._document_by_sha256[sha256]

    def _open(self, sha256: str, filename: str) -> Document:
        if not may_be_document(filename):
            return Document("")
        document = self._document_reader.read(self._content.path(sha256), filename, sha256, with_text=False)
        if document.kind:
            self.outcome_counts[document.problem or READ] += 1
        if document.thumbnail:
            self._thumbnail_count += 1
        return document if self._thumbnail_count <= _MAX_THUMBNAILS else replace(document, thumbnail="")
