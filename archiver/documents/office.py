"""Read office files with the libraries for them.  Runs in the document worker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_NOTE_RELATIONS = ("/footnotes", "/endnotes")
_PARAGRAPH = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}p"
_RUN = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}t"


def read_docx(path: str) -> tuple[dict[str, Any], Iterator[str]]:
    """Return the title and the lines: paragraphs and table rows in order, then headers, footers and notes."""
    import docx as library

    document = library.Document(path)

    def lines() -> Iterator[str]:
        for block in document.iter_inner_content():
            if hasattr(block, "rows"):
                for row in block.rows:
                    yield " | ".join(cell.text for cell in row.cells)
            else:
                yield block.text
        for section in document.sections:
            for part in (section.header, section.footer):
                yield from (paragraph.text for paragraph in part.paragraphs)
        yield from _note_lines(document)

    return {"title": document.core_properties.title or ""}, (line for line in lines() if line.strip())


def _note_lines(document: Any) -> Iterator[str]:
    from docx.oxml import parse_xml

    for relation in document.part.rels.values():
        if not relation.is_external and relation.reltype.endswith(_NOTE_RELATIONS):
            for paragraph in parse_xml(relation.target_part.blob).iter(_PARAGRAPH):
                yield "".join(run.text or "" for run in paragraph.iter(_RUN))


def read_xlsx(path: str) -> tuple[dict[str, Any], Iterator[str]]:
    """Return the title and a line for each cell with a value, with its sheet and coordinate."""
    import openpyxl

    # As a stream: given a path, openpyxl refuses a name without the suffix, which content objects lack.
    workbook = openpyxl.load_workbook(open(path, "rb"), read_only=True, data_only=True)  # noqa: SIM115

    def lines() -> Iterator[str]:
        for sheet in workbook.worksheets:
            for row in sheet.iter_rows():
                for cell in row:
                    if cell.value is not None:
                        yield f"{sheet.title}!{cell.coordinate}: {cell.value}"

    return {"title": workbook.properties.title or ""}, lines()


def read_pptx(path: str) -> tuple[dict[str, Any], Iterator[str]]:
    """Return the number of slides and their text, each slide under its number."""
    import pptx as library

    slides = list(library.Presentation(path).slides)

    def lines() -> Iterator[str]:
        for number, slide in enumerate(slides, 1):
            yield f"[{number}]"
            for shape in slide.shapes:
                if shape.has_text_frame:
                    yield from (
                        paragraph.text for paragraph in shape.text_frame.paragraphs if paragraph.text.strip()
                    )

    return {"pages": len(slides)}, lines()
