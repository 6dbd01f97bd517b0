"""Reads one document, in a process of its own with little memory and time: ``python -m archiver.documents.child``.

A document may be made to harm whoever opens it (bombs of pages, zip or XML), so
its text is read nowhere else.  Prints one JSON object.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
from collections.abc import Iterator
from itertools import islice

_MEMORY_BYTES = 1 << 30
_CPU_SECONDS = 20
_MOST_LINES = 20_000
_LONGEST_LINE = 2000


def main(path: str, kind: str) -> int:
    """Print ``{"lines": [...], "pages": n, "problem": ""}`` for the file at ``path``."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    logging.disable(logging.CRITICAL)
    answer: dict[str, object] = {"lines": [], "pages": None, "problem": ""}
    try:
        lines, answer["pages"] = _READERS[kind](path)
        answer["lines"] = [line[:_LONGEST_LINE] for line in islice(lines, _MOST_LINES)]
    except MemoryError:
        answer["problem"] = "it needs too much memory"
    except _Encrypted:
        answer["problem"] = "encrypted"
    except Exception as error:
        # Parsers of foreign formats raise whatever they like; each is an answer.
        answer["problem"] = f"damaged: {type(error).__name__}"
    print(json.dumps(answer))
    return 0


class _Encrypted(Exception):
    pass


def _pdf(path: str) -> tuple[Iterator[str], int]:
    from pypdf import PdfReader

    reader = PdfReader(path)
    if reader.is_encrypted:
        raise _Encrypted
    pages = len(reader.pages)

    def lines() -> Iterator[str]:
        for number, page in enumerate(reader.pages, 1):
            yield f"[{number}]"
            yield from page.extract_text().splitlines()

    return lines(), pages


def _docx(path: str) -> tuple[Iterator[str], None]:
    import docx

    document = docx.Document(path)

    def lines() -> Iterator[str]:
        for block in document.iter_inner_content():
            if hasattr(block, "rows"):
                for row in block.rows:
                    yield " | ".join(cell.text for cell in row.cells)
            else:
                yield block.text

    return (line for line in lines() if line.strip()), None


def _xlsx(path: str) -> tuple[Iterator[str], None]:
    import openpyxl

    book = openpyxl.load_workbook(path, read_only=True, data_only=True)

    def lines() -> Iterator[str]:
        for sheet in book.worksheets:
            for row in sheet.iter_rows():
                for cell in row:
                    if cell.value is not None:
                        yield f"{sheet.title}!{cell.coordinate}: {cell.value}"

    return lines(), None


def _pptx(path: str) -> tuple[Iterator[str], int]:
    import pptx

    slides = list(pptx.Presentation(path).slides)

    def lines() -> Iterator[str]:
        for number, slide in enumerate(slides, 1):
            yield f"[{number}]"
            for shape in slide.shapes:
                if shape.has_text_frame:
                    yield from (each.text for each in shape.text_frame.paragraphs if each.text.strip())

    return lines(), len(slides)


def _text(path: str) -> tuple[Iterator[str], None]:
    with open(path, "rb") as stream:
        data = stream.read(1 << 22)
    for encoding in ("utf-8", "gb18030"):
        try:
            return iter(data.decode(encoding).splitlines()), None
        except UnicodeDecodeError:
            continue
    raise ValueError("not a text")


_READERS = {"pdf": _pdf, "docx": _docx, "xlsx": _xlsx, "pptx": _pptx, "text": _text}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
