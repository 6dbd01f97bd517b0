"""Read PDF files; the only module that imports pypdf.  Runs in the document worker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pypdf import PdfReader
from pypdf.errors import FileNotDecryptedError, PyPdfError

from archiver.documents.document import ENCRYPTED


def read_pdf(path: str) -> tuple[dict[str, Any], Iterator[str]]:
    """Return fields of a Document (pages, title, whether it is signed) and the lines, each page under its number.

    A document that is encrypted, but opens without a password, is read.  Raises any exception for a damaged one.
    """
    reader = PdfReader(path)
    if reader.is_encrypted and not reader.decrypt(""):
        return {"problem": ENCRYPTED}, iter(())
    fields = {"pages": len(reader.pages), "title": _title(reader), "signed": _is_signed(reader)}
    return fields, _page_lines(reader)


def _page_lines(reader: PdfReader) -> Iterator[str]:
    for number, page in enumerate(reader.pages, 1):
        yield f"[{number}]"
        yield from page.extract_text().splitlines()


def _title(reader: PdfReader) -> str:
    try:
        return str(reader.metadata.title or "") if reader.metadata else ""
    except (PyPdfError, ValueError, TypeError, AttributeError):
        # A damaged dictionary of metadata: the pages may be fine.
        return ""


def _is_signed(reader: PdfReader) -> bool:
    """Return True if a signature field is filled (ISO 32000-1, 12.7.4.5); the signature itself is not checked."""
    try:
        if "/AcroForm" not in reader.root_object:
            return False
        form_fields = (reader.get_fields() or {}).values()
        return any(field.get("/FT") == "/Sig" and field.get("/V") for field in form_fields)
    except (PyPdfError, FileNotDecryptedError, ValueError, TypeError, AttributeError, KeyError):
        # A damaged form: the pages may be fine.
        return False
