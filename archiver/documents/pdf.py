"""PDF files; the only module that imports pypdf.  Runs in the limited child."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pypdf import PdfReader
from pypdf.errors import FileNotDecryptedError, PyPdfError

from archiver.documents.document import ENCRYPTED


def read(path: str) -> tuple[dict[str, Any], Iterator[str]]:
    """Pages, title and whether it bears a signature; then its lines, each page under its number.

    A document that opens without a password is read though it is encrypted.
    Parsers raise whatever they like for a damaged one.
    """
    reader = PdfReader(path)
    if reader.is_encrypted and not reader.decrypt(""):
        return {"problem": ENCRYPTED}, iter(())
    facts = {"pages": len(reader.pages), "title": _title(reader), "signed": _is_signed(reader)}
    return facts, _lines(reader)


def _lines(reader: PdfReader) -> Iterator[str]:
    for number, page in enumerate(reader.pages, 1):
        yield f"[{number}]"
        yield from page.extract_text().splitlines()


def _title(reader: PdfReader) -> str:
    try:
        return str(reader.metadata.title or "") if reader.metadata else ""
    except (PyPdfError, ValueError, TypeError, AttributeError):
        return ""


def _is_signed(reader: PdfReader) -> bool:
    """Whether a signature field is filled (ISO 32000-1, 12.7.4.5); it is not checked."""
    try:
        if "/AcroForm" not in reader.root_object:
            return False
        fields = (reader.get_fields() or {}).values()
        return any(field.get("/FT") == "/Sig" and field.get("/V") for field in fields)
    except (PyPdfError, FileNotDecryptedError, ValueError, TypeError, AttributeError, KeyError):
        return False
