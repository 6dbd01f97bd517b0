"""Open the documents of a package for its report: page counts, thumbnails, and reasons why some are unreadable."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from archiver.documents.document import Document
from archiver.documents.document_types import may_be_document
from archiver.documents.reader import DocumentReader
from archiver.model import Material
from archiver.store import names
from archiver.store.content.objects import ContentStore

#: Thumbnails are part of the report's file. With more, a browser opens the file slowly. The report shows only the
#: size of further pictures.
_MAX_THUMBNAILS = 300
#: The outcome of a document that could be read. The other outcomes are the codes of
#: :data:`archiver.documents.document.PROBLEMS`.
READ_OUTCOME = "read"


class ShownDocuments:
    """Reads the documents that a report shows, each content once, and counts the outcomes."""

    def __init__(self, content: ContentStore, document_reader: DocumentReader) -> None:
        """Read documents in ``content`` with ``document_reader``, which the caller closes."""
        self._content = content
        self._document_reader = document_reader
        self._document_by_sha256: dict[str, Document] = {}
        self._thumbnail_count = 0
        #: READ_OUTCOME or a code of PROBLEMS -> number of documents; contents that are not documents do not count.
        self.outcome_counts: Counter[str] = Counter()

    def describe_document(self, material: Material) -> Document:
        """Return the properties of a material's document, without the text.

        In the result, ``kind`` is empty if the material is not a document, and ``problem`` states why a document
        is unreadable.  All materials with the same content share the result for the first such material.

        Raises OSError if the stored content is missing.
        """
        sha256 = material.sha256 or ""
        if sha256 not in self._document_by_sha256:
            document = (
                self._read_document(sha256, names.name_as_text(material.path)) if material.size else Document("")
            )
            self._document_by_sha256[sha256] = document
        return self._document_by_sha256[sha256]

    def _read_document(self, sha256: str, filename: str) -> Document:
        """Read the document stored under ``sha256``, and count the outcome.

        A file whose name cannot be that of a document is not read.  After the first _MAX_THUMBNAILS thumbnails,
        the result has no thumbnail.
        """
        if not may_be_document(filename):
            return Document("")
        document = self._document_reader.read(self._content.path(sha256), filename, sha256, with_text=False)
        if document.kind:
            self.outcome_counts[document.problem or READ_OUTCOME] += 1
        if document.thumbnail:
            self._thumbnail_count += 1
        may_show_thumbnail = self._thumbnail_count <= _MAX_THUMBNAILS
        return document if may_show_thumbnail else replace(document, thumbnail="")
