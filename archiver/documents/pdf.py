"""Read PDF files in the document worker.  No other module imports pypdf."""

from __future__ import annotations

from collections.abc import Iterator

from pypdf import PdfReader
from pypdf.errors import FileNotDecryptedError, PyPdfError

from archiver.documents.document import ENCRYPTED, ExtractedDocument


def read_pdf(path: str) -> ExtractedDocument:
    """Return the page count, title and lines of a PDF, and a flag that is True if the PDF contains a signature.

    A line with the page number, such as ``[1]``, comes before the lines of each page.  An encrypted document is
    read if it opens with an empty password; otherwise the problem is ENCRYPTED, and there are no lines.

    Raises exceptions of any class for a damaged document, also while the lines are read.
    """
    reader = PdfReader(path)
    if reader.is_encrypted and not reader.decrypt(""):
        return ExtractedDocument({"problem": ENCRYPTED}, iter(()))
    facts = {"pages": len(reader.pages), "title": _read_title(reader), "signed": _is_signed(reader)}
    return ExtractedDocument(facts, _page_lines(reader))


def _page_lines(reader: PdfReader) -> Iterator[str]:
    """Yield the number of each page, such as ``[1]``, then the lines of the page."""
    for page_number, page in enumerate(reader.pages, 1):
        yield f"[{page_number}]"
        yield from page.extract_text().splitlines()


def _read_title(reader: PdfReader) -> str:
    """Return the title in the metadata; empty if there is none, or if the metadata cannot be read."""
    try:
        return str(reader.metadata.title or "") if reader.metadata else ""
    except (PyPdfError, ValueError, TypeError, AttributeError):
        # Only the metadata is damaged. The pages may be readable.
        return ""


def _is_signed(reader: PdfReader) -> bool:
    """Return True if any signature field has a value (ISO 32000-1, 12.7.4.5).

    Does not verify the signature.  A form that cannot be read counts as unsigned.
    """
    try:
        if "/AcroForm" not in reader.root_object:
            return False
        form_fields = (reader.get_fields() or {}).values()
        return any(form_field.get("/FT") == "/Sig" and form_field.get("/V") for form_field in form_fields)
    except (PyPdfError, FileNotDecryptedError, ValueError, TypeError, AttributeError, KeyError):
        # Only the form is damaged. The pages may be readable.
        return False
