"""Read documents in a worker process with limits, and compare their lines."""

from __future__ import annotations

import difflib
import os
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from archiver.documents.cache import DocumentCache
from archiver.documents.document import NO_READER, TOO_HEAVY, TOO_LARGE, TOO_SLOW, Document
from archiver.documents.document_types import PICTURE, detect_document_type
from archiver.workers import Worker, WorkerDied, WorkerHung, WorkerProblem, WorkerProgram, name_to_text

#: Real time for one document: twice the worker's limit of processor time, because the machine may be busy. Higher,
#: and a few bad documents delay a report for long. Lower, and good documents on a busy machine fail.
_ANSWER_TIMEOUT_SECONDS = 40.0
#: Larger files are hardly ever documents, and would only exceed the worker's memory limit after a long time.
_MAX_DOCUMENT_BYTES = 256 << 20
#: More than the worker's 20,000 lines of 2,000 characters, even if each character takes six bytes in JSON.  Only a
#: worker under the control of a malicious document sends more.
_MAX_ANSWER_BYTES = 256 << 20
#: Problems that a busy machine can cause. They are not cached, so the next report tries again.
_TRANSIENT_PROBLEMS = frozenset({TOO_SLOW, TOO_HEAVY, NO_READER})


class DocumentReader:
    """Reads one document at a time in a worker process, which the end of the ``with`` block ends.

    The process is started for the first document that is not cached.
    """

    def __init__(self, cache: DocumentCache | None = None) -> None:
        """Look up and store documents in ``cache``; with None, every document is read again."""
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
        self, error_class: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the worker process."""
        self._worker.kill()

    def read(self, path: Path, filename: str, sha256: str = "", *, with_text: bool = True) -> Document:
        """Read the facts of the document at ``path`` and, with ``with_text``, its lines.

        ``filename`` is the name that people know; its suffix is needed because a content object has none.
        ``sha256`` is the digest of the content, under which the result is cached; if empty, the cache is not used.

        A bad document does not raise an error: ``Document.problem`` states why it could not be read.
        ``Document.kind`` is empty for a file that is not a document.  Raises OSError if the size of a document
        cannot be read.
        """
        document_type = detect_document_type(path, filename)
        if not document_type:
            return Document("")
        cache = self._cache if sha256 else None
        if cache and (cached_document := cache.get(sha256, document_type, with_text)):
            return cached_document
        if path.stat().st_size > _MAX_DOCUMENT_BYTES:
            return Document(document_type, problem=TOO_LARGE)
        document = self._extract_in_worker(path, document_type, with_text and document_type != PICTURE)
        if cache and document.problem not in _TRANSIENT_PROBLEMS:
            cache.put(sha256, with_text, document, path)
        return document

    def _extract_in_worker(self, path: Path, document_type: str, with_text: bool) -> Document:
        """Let the worker read a document; return the document, with a problem if it could not be read.

        A worker that reached a limit, or sent something other than a document, is killed, so that the next
        document gets a new worker.  Never raises an error about the document or the worker.
        """
        try:
            self._worker.start()
        except WorkerDied:
            # For example, this user has reached the limit on processes.
            return Document(document_type, problem=NO_READER)
        request = [name_to_text(os.fsencode(path)), document_type, with_text]
        try:
            document = self._worker.call(request, Document.from_json, _ANSWER_TIMEOUT_SECONDS)
        except WorkerHung:
            # ``call`` has killed the worker already.
            return Document(document_type, problem=TOO_SLOW)
        except WorkerProblem:
            # The kernel killed the worker at one of its limits, or the answer was not a document.
            document = Document(document_type, problem=TOO_HEAVY)
        if document.problem == TOO_HEAVY:
            self._worker.kill()
        return replace(document, kind=document_type)


def compare_lines(old_document: Document, new_document: Document, max_lines: int = 200) -> list[str]:
    """Return the lines of a unified diff from the old document to the new one, without the header of file names.

    Each difference is shown with one line of context before and one after.

    At most ``max_lines`` lines are returned.  If there are more, one further line such as ``... 57`` states how
    many lines were left out.  The list is empty if the texts are equal.
    """
    # The first two lines of a unified diff name the files.
    diff_lines = list(difflib.unified_diff(old_document.lines, new_document.lines, lineterm="", n=1))[2:]
    omitted_count = len(diff_lines) - max_lines
    return diff_lines if omitted_count <= 0 else [*diff_lines[:max_lines], f"... {omitted_count}"]
