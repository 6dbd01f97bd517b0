"""PDF files; the only module that imports pypdf."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PdfFacts:
    """What could be told of a PDF: its pages, or why they could not be counted."""

    pages: int | None
    problem: str = ""


def facts(path: Path) -> PdfFacts:
    """Count the pages of the file at ``path``; a damaged file is a value, never an error."""
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        with PdfReader(path) as reader:
            if reader.is_encrypted:
                return PdfFacts(None, "encrypted")
            return PdfFacts(len(reader.pages))
    except (PyPdfError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return PdfFacts(None, f"damaged: {type(error).__name__}")
