"""Read documents in a process with little memory and time: ``python -m archiver.documents.document_worker``.

A document may be crafted to harm its reader, for example as a zip or XML bomb, so no other process parses it.  The
kernel kills this process if a document exceeds a limit.  The parent then starts a new process.
"""

from __future__ import annotations

import logging
import os
import resource
import time
import warnings
from collections.abc import Callable
from typing import Any

from archiver.documents.document import DAMAGED, TOO_HEAVY, Document, ExtractedDocument
from archiver.workers import serve, text_to_name

#: Enough to decode a large picture. With a higher limit, a bomb would push the server's own memory to swap.
_MEMORY_BYTES = 1 << 30
#: Processor time for one document. The caller waits twice as long in real time, because the machine may be busy.
_CPU_SECONDS = 20
#: Processor time after which no further line is read, so that the beginning of a long document is returned instead
#: of nothing. It is below _CPU_SECONDS because a page that was begun still has to be finished.
_TEXT_SECONDS = 10.0
#: At most 40 million characters of text. Nobody reads more of a document, and an answer stays far below its limit.
_MAX_LINES = 20_000
_MAX_LINE_LENGTH = 2000
#: No more of a text file is read: a log of gigabytes would exceed the memory limit.
_MAX_TEXT_BYTES = 1 << 22


def main() -> None:
    """Limit what this process can do, then answer requests until the parent closes the socket.

    The process cannot use more than ``_MEMORY_BYTES``, and cannot write files or core dumps.  Logging and warnings
    are turned off, because parsers complain about bad documents at length.
    """
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    serve(_answer_request)


def _answer_request(request: list[Any]) -> dict[str, Any]:
    """Read the document that ``request`` names; return the document in the form of :meth:`Document.to_json`.

    ``request`` is a list: the path, encoded by :func:`name_to_text`; the type of the document; and True if the
    parent needs the text in addition to the facts.
    """
    path_text, document_type, with_text = request
    # RLIMIT_CPU counts from the start of the process, and earlier documents used some of that time.
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + _CPU_SECONDS, resource.RLIM_INFINITY))
    return _read_document(os.fsdecode(text_to_name(path_text)), document_type, with_text).to_json()


def _read_document(path: str, document_type: str, with_text: bool) -> Document:
    """Read the facts of a document and, with ``with_text``, its lines up to the limits of this module.

    Never raises: ``Document.problem`` states why the document could not be read.
    """
    text_deadline = time.process_time() + _TEXT_SECONDS
    try:
        extracted_document = _READERS[document_type](path)
        document_lines: list[str] = []
        is_partial = False
        for document_line in extracted_document.lines if with_text else ():
            if len(document_lines) == _MAX_LINES or time.process_time() > text_deadline:
                is_partial = True
                break
            document_lines.append(document_line[:_MAX_LINE_LENGTH])
        return Document(document_type, tuple(document_lines), partial=is_partial, **extracted_document.facts)
    except MemoryError:
        # Reading the document takes more than _MEMORY_BYTES.
        return Document(document_type, problem=TOO_HEAVY)
    except Exception:
        # Third-party parsers raise arbitrary exceptions. Each of them means that the document is damaged.
        return Document(document_type, problem=DAMAGED)


def _read_pdf(path: str) -> ExtractedDocument:
    """Read a PDF file with :func:`archiver.documents.pdf.read_pdf`; raises any exception."""
    from archiver.documents import pdf

    return pdf.read_pdf(path)


def _read_docx(path: str) -> ExtractedDocument:
    """Read a Word document with :func:`archiver.documents.office.read_docx`; raises any exception."""
    from archiver.documents import office

    return office.read_docx(path)


def _read_xlsx(path: str) -> ExtractedDocument:
    """Read a workbook with :func:`archiver.documents.office.read_xlsx`; raises any exception."""
    from archiver.documents import office

    return office.read_xlsx(path)


def _read_pptx(path: str) -> ExtractedDocument:
    """Read a presentation with :func:`archiver.documents.office.read_pptx`; raises any exception."""
    from archiver.documents import office

    return office.read_pptx(path)


def _read_picture(path: str) -> ExtractedDocument:
    """Read a picture with :func:`archiver.documents.picture.read_picture`; raises any exception."""
    from archiver.documents import picture

    return picture.read_picture(path)


def _read_text(path: str) -> ExtractedDocument:
    """Read the beginning of a text file in UTF-8 or in GB 18030, the encoding of many older Chinese texts.

    At most ``_MAX_TEXT_BYTES`` are read.  Raises OSError if the file cannot be read, and ValueError if it has
    another encoding.
    """
    with open(path, "rb") as text_file:
        text_bytes = text_file.read(_MAX_TEXT_BYTES)
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return ExtractedDocument({}, iter(text_bytes.decode(encoding).splitlines()))
        except UnicodeDecodeError:
            # Try the next encoding. If none remains, the file is not a text in a known encoding.
            continue
    raise ValueError("not a text")


#: Type of a document -> the function that reads it. Each function imports its library when it is called, so that
#: the process starts fast, and loads only the libraries that it needs.
_READERS: dict[str, Callable[[str], ExtractedDocument]] = {
    "pdf": _read_pdf,
    "docx": _read_docx,
    "xlsx": _read_xlsx,
    "pptx": _read_pptx,
    "picture": _read_picture,
    "text": _read_text,
}

if __name__ == "__main__":
    main()
