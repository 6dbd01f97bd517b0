"""Read documents in a child with limits; a bad document becomes a value with the reason, and stops nothing."""

from __future__ import annotations

import difflib
import os
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from archiver.documents.cache import DocumentCache
from archiver.documents.document import NO_READER, TOO_HEAVY, TOO_LARGE, TOO_SLOW, Document
from archiver.documents.document_types import PICTURE, detect_type
from archiver.workers import Worker, WorkerDied, WorkerHung, WorkerProblem, WorkerProgram, name_to_text

#: The child has half of this as processor time; the other half is for a busy machine. With more, a few bad
#: documents would hold up a report for long; with less, good ones on a busy machine would count as slow.
_PATIENCE_SECONDS = 40.0
#: Larger files are hardly documents, and would meet the child's limit of memory after a long time.
_MAX_DOCUMENT_BYTES = 256 << 20
#: 20,000 lines of 2,000 characters, six bytes each where JSON escapes them.  The child's own limits end it before,
#: unless a document has taken it over.
_MAX_ANSWER_BYTES = 256 << 20
#: Failures that a busy machine can cause: not cached, so that the next report tries again.
_TRANSIENT_PROBLEMS = frozenset({TOO_SLOW, TOO_HEAVY, NO_READER})


class DocumentReader:
    """Reads one document after the other, in a child until the end of the ``with`` block.

    With a ``cache`` each content is read once.
    """

    def __init__(self, cache: DocumentCache | None = None) -> None:
        self._cache = cache
        self._worker = Worker(
            WorkerProgram(
                "archiver.documents.document_worker",
                interpreter_options=("-I",),
                is_silent=True,
                longest_answer_bytes=_MAX_ANSWER_BYTES,
            )
        )

    def __enter__(self) -> DocumentReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.kill()

    def read(self, path: Path, filename: str, sha256: str = "", *, with_text: bool = True) -> Document:
        """Read the text and facts of the document at ``path``, or only the facts.

        ``filename`` is the name people know: a content object has no suffix. With the ``sha256`` of the content
        the result is cached.

        Bad content raises nothing: ``Document.problem`` says why it could not be read. Raises OSError if ``path``
        cannot be opened.
        """
        kind = detect_type(path, filename)
        if not kind:
            return Document("")
        cache = self._cache if sha256 else None
        if cache and (cached_document := cache.get(sha256, kind, with_text)):
            return cached_document
        if path.stat().st_size > _MAX_DOCUMENT_BYTES:
            return Document(kind, problem=TOO_LARGE)
        document = self._extract_in_worker(path, kind, with_text and kind != PICTURE)
        if cache and document.problem not in _TRANSIENT_PROBLEMS:
            cache.put(sha256, with_text, document, path)
        return document

    def _extract_in_worker(self, path: Path, kind: str, with_text: bool) -> Document:
        """Return the document as read by the child, or with a problem; end a child at a limit."""
        try:
            self._worker.start()
        except WorkerDied:
            # This user may not run this Python, or there are too many processes.
            return Document(kind, problem=NO_READER)
        request = [name_to_text(os.fsencode(path)), kind, with_text]
        try:
            document = self._worker.call(request, Document.from_json, _PATIENCE_SECONDS)
        except WorkerHung:
            # Killed already: the next document gets a new child.
            return Document(kind, problem=TOO_SLOW)
        except WorkerProblem:
            # The kernel ended it at one of its limits, or what it answers is no document.
            document = Document(kind, problem=TOO_HEAVY)
        if document.problem == TOO_HEAVY:
            self._worker.kill()
        return replace(document, kind=kind)


def line_differences(old: Document, new: Document, max_lines: int = 200) -> list[str]:
    """Return a unified difference without the head, at most ``max_lines`` and a count of the rest."""
    lines = list(difflib.unified_diff(old.lines, new.lines, lineterm="", n=1))[2:]
    return lines if len(lines) <= max_lines else [*lines[:max_lines], f"... {len(lines) - max_lines}"]
