"""Read documents in a process with little memory and time: ``python -m archiver.documents.document_worker``.

A document may be made to harm any reader (bombs of pages, pixels, zip or XML), so no other process opens one.
The kernel ends this process if a document takes too much, and the next request finds a new process.
"""

from __future__ import annotations

import logging
import os
import resource
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from archiver.documents.document import DAMAGED, TOO_HEAVY, Document
from archiver.workers import serve, text_to_name

#: A large picture is decoded in memory; with a higher limit a bomb would push the server's own work to swap.
_MEMORY_BYTES = 1 << 30
#: Processor time for a document; half of the caller's patience, which also covers a busy machine.
_CPU_SECONDS = 20
#: No further page is begun after this time. The rest up to the limit is for the page in hand, so that a long
#: document gives its beginning instead of nothing.
_TEXT_SECONDS = 10.0
#: Together some 40 MB of text: no person reads more of a document, and an answer stays far below its limit.
_MAX_LINES = 20_000
_MAX_LINE_LENGTH = 2000
#: The beginning of a text file: a log of gigabytes must not fill the memory.
_MAX_TEXT_BYTES = 1 << 22

#: The facts of a document, as fields of :class:`Document`, and its lines, read as they are asked for.
_Extract = tuple[dict[str, Any], Iterator[str]]


def main() -> None:
    """Limit the memory of this process and forbid files, then answer until the requests end."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    serve(_answer_request)


def _answer_request(request: list[Any]) -> dict[str, Any]:
    """Read a document; the request is a path, a kind, and True for the text too, not only the facts."""
    path, kind, with_text = request
    # For this document: what the process has used by now was for others.
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + _CPU_SECONDS, resource.RLIM_INFINITY))
    return _read_document(os.fsdecode(text_to_name(path)), kind, with_text).as_json()


def _read_document(path: str, kind: str, with_text: bool) -> Document:
    text_deadline = time.process_time() + _TEXT_SECONDS
    try:
        facts, lines = _READERS[kind](path)
        shown_lines: list[str] = []
        is_partial = False
        for line in lines if with_text else ():
            if len(shown_lines) == _MAX_LINES or time.process_time() > text_deadline:
                is_partial = True
                break
            shown_lines.append(line[:_MAX_LINE_LENGTH])
        return Document(kind, tuple(shown_lines), partial=is_partial, **facts)
    except MemoryError:
        return Document(kind, problem=TOO_HEAVY)
    except Exception:
        # Third-party parsers raise arbitrary exceptions; to the caller each is an answer.
        return Document(kind, problem=DAMAGED)


def _read_pdf(path: str) -> _Extract:
    from archiver.documents import pdf

    return pdf.read_pdf(path)


def _read_docx(path: str) -> _Extract:
    from archiver.documents import office

    return office.read_docx(path)


def _read_xlsx(path: str) -> _Extract:
    from archiver.documents import office

    return office.read_xlsx(path)


def _read_pptx(path: str) -> _Extract:
    from archiver.documents import office

    return office.read_pptx(path)


def _read_picture(path: str) -> _Extract:
    from archiver.documents import picture

    return picture.read_picture(path)


def _read_text(path: str) -> _Extract:
    with open(path, "rb") as stream:
        data = stream.read(_MAX_TEXT_BYTES)
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return {}, iter(data.decode(encoding).splitlines())
        except UnicodeDecodeError:
            # Older Chinese texts are in GB 18030: tried next, and there is no third encoding.
            continue
    raise ValueError("not a text")


#: Each reader imports its libraries only for the first document of its kind: a child starts at once.
_READERS: dict[str, Callable[[str], _Extract]] = {
    "pdf": _read_pdf,
    "docx": _read_docx,
    "xlsx": _read_xlsx,
    "pptx": _read_pptx,
    "picture": _read_picture,
    "text": _read_text,
}

if __name__ == "__main__":
    main()
