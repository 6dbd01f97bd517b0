"""Read documents in a process with little memory and time: ``python -m archiver.documents.document_worker``.

A document may be made to harm whoever opens it (bombs of pages, pixels, zip or
XML), so it is opened nowhere else.  The kernel ends the process where a document
takes too much, and the next request finds a new one.
"""

from __future__ import annotations

import logging
import os
import resource
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from archiver.documents.document import DAMAGED, HEAVY, Document
from archiver.workers import serve, text_to_name

_MEMORY_BYTES = 1 << 30
_CPU_SECONDS = 20
#: After which no further page is begun.
_TEXT_SECONDS = 10.0
_MOST_LINES = 20_000
_LONGEST_LINE = 2000

_Extract = tuple[dict[str, Any], Iterator[str]]


def main() -> None:
    """Limit this process, and answer until the requests end."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    serve(_answer)


def _answer(request: list[Any]) -> dict[str, Any]:
    """Read the document that a request names: path, kind, and whether its text is wanted."""
    path, kind, with_text = request
    # For this document: what the process has used by now was for others.
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + _CPU_SECONDS, resource.RLIM_INFINITY))
    return _read(os.fsdecode(text_to_name(path)), kind, with_text).as_json()


def _read(path: str, kind: str, with_text: bool) -> Document:
    until = time.process_time() + _TEXT_SECONDS
    try:
        facts, lines = _READERS[kind](path)
        taken: list[str] = []
        partial = False
        for line in lines if with_text else ():
            if len(taken) == _MOST_LINES or time.process_time() > until:
                partial = True
                break
            taken.append(line[:_LONGEST_LINE])
        return Document(kind, tuple(taken), partial=partial, **facts)
    except MemoryError:
        return Document(kind, problem=HEAVY)
    except Exception:
        # Third-party parsers raise arbitrary exceptions; to the caller each is an answer.
        return Document(kind, problem=DAMAGED)


def _pdf(path: str) -> _Extract:
    from archiver.documents import pdf

    return pdf.read_pdf(path)


def _docx(path: str) -> _Extract:
    from archiver.documents import office

    return office.read_docx(path)


def _xlsx(path: str) -> _Extract:
    from archiver.documents import office

    return office.read_xlsx(path)


def _pptx(path: str) -> _Extract:
    from archiver.documents import office

    return office.read_pptx(path)


def _picture(path: str) -> _Extract:
    from archiver.documents import picture

    return picture.read_picture(path)


def _text(path: str) -> _Extract:
    with open(path, "rb") as stream:
        data = stream.read(1 << 22)
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return {}, iter(data.decode(encoding).splitlines())
        except UnicodeDecodeError:
            continue
    raise ValueError("not a text")


#: Each imports its libraries only when the first document of its kind comes.
_READERS: dict[str, Callable[[str], _Extract]] = {
    "pdf": _pdf,
    "docx": _docx,
    "xlsx": _xlsx,
    "pptx": _pptx,
    "picture": _picture,
    "text": _text,
}

if __name__ == "__main__":
    main()
