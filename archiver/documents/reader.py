"""Reading documents through a limited child; a bad document is a value with the reason, never a stop."""

from __future__ import annotations

import difflib
import os
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from archiver.documents.cache import DocumentCache
from archiver.documents.document import HEAVY, LARGE, SLOW, UNSTARTED, Document
from archiver.documents.document_types import PICTURE, detect_type
from archiver.workers import Worker, WorkerDied, WorkerHung, WorkerProblem, WorkerProgram, name_to_text

#: The child has half of this as processor time; the other half is for a busy machine.
_PATIENCE_SECONDS = 40.0
_LARGEST_BYTES = 256 << 20
#: 20,000 lines of 2,000 characters, six bytes each where JSON escapes them.  The child's own limits end it before,
#: unless a document has taken it over.
_LONGEST_ANSWER_BYTES = 256 << 20


class Reader:
    """Reads one document after the other; ``cache``: where what was read is kept."""

    def __init__(self, cache: DocumentCache | None = None) -> None:
        self._cache = cache
        self._worker = Worker(
            WorkerProgram(
                "archiver.documents.document_worker",
                interpreter_options=("-I",),
                is_silent=True,
                longest_answer_bytes=_LONGEST_ANSWER_BYTES,
            )
        )

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.kill()

    def read(self, path: Path, name: str, sha256: str = "", *, with_text: bool = True) -> Document:
        """Read the file at ``path``, which people know as ``name``; raises nothing for what is in it.

        ``sha256``: of its content, where what was read may be kept.
        """
        kind = detect_type(path, name)
        if not kind:
            return Document("")
        keeps = self._cache is not None and sha256 != ""
        if keeps and self._cache and (kept := self._cache.get(sha256, kind, with_text)):
            return kept
        if path.stat().st_size > _LARGEST_BYTES:
            return Document(kind, problem=LARGE)
        found = self._extract_in_worker(path, kind, with_text and kind != PICTURE)
        # A busy machine may have been the reason.
        if keeps and self._cache and found.problem not in (SLOW, HEAVY, UNSTARTED):
            self._cache.put(sha256, with_text, found, path)
        return found

    def _extract_in_worker(self, path: Path, kind: str, with_text: bool) -> Document:
        """Return what the child reads of a document, or why it cannot; ends a child that met one of its limits."""
        try:
            self._worker.start()
        except WorkerDied:
            # This user may not run this Python, or there are too many processes.
            return Document(kind, problem=UNSTARTED)
        request = [name_to_text(os.fsencode(path)), kind, with_text]
        try:
            document = self._worker.call(request, Document.from_json, _PATIENCE_SECONDS)
        except WorkerHung:
            return Document(kind, problem=SLOW)
        except WorkerProblem:
            # The kernel ended it at one of its limits, or what it answers is no document.
            document = Document(kind, problem=HEAVY)
        if document.problem == HEAVY:
            self._worker.kill()
        return replace(document, kind=kind)


def difference(old: Document, new: Document, most: int = 200) -> list[str]:
    """The lines that differ, as a unified difference without its head; at most ``most`` and a count of the
    rest.
    """
    lines = list(difflib.unified_diff(old.lines, new.lines, lineterm="", n=1))[2:]
    return lines if len(lines) <= most else [*lines[:most], f"... {len(lines) - most}"]
