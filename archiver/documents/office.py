"""Read office files (docx, xlsx, pptx) in the document worker.

Each function imports its library itself, so that the process loads only the libraries that it needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from archiver.documents.document import ExtractedDocument

#: Endings of the relationship types of a docx file that lead to footnotes and endnotes (ECMA-376).
_NOTE_RELATIONS = ("/footnotes", "/endnotes")
#: XML names of a paragraph and of the text in it.
_PARAGRAPH = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}p"
_TEXT = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}t"


def read_docx(path: str) -> ExtractedDocument:
    """Return the title and the lines of a Word document.

    Lines are the paragraphs and table rows in order, then headers, footers and notes.  Blank lines are left out.
    Raises exceptions of any class for a damaged document, also while the lines are read.
    """
    import docx

    document = docx.Document(path)

    def text_lines() -> Iterator[str]:
        """Yield the text of the body, of headers and footers, and of notes, with blank lines."""
        for block in document.iter_inner_content():
            if hasattr(block, "rows"):
                for row in block.rows:
                    yield " | ".join(cell.text for cell in row.cells)
            else:
                yield block.text
        for section in document.sections:
            for header_or_footer in (section.header, section.footer):
                yield from (paragraph.text for paragraph in header_or_footer.paragraphs)
        yield from _note_lines(document)

    return ExtractedDocument(
        {"title": document.core_properties.title or ""}, (line for line in text_lines() if line.strip())
    )


def _note_lines(document: Any) -> Iterator[str]:
    """Yield the paragraphs of the footnotes and endnotes, for which python-docx has no interface."""
    from docx.oxml import parse_xml

    for relation in document.part.rels.values():
        if not relation.is_external and relation.reltype.endswith(_NOTE_RELATIONS):
            for paragraph in parse_xml(relation.target_part.blob).iter(_PARAGRAPH):
                yield "".join(text_element.text or "" for text_element in paragraph.iter(_TEXT))


def read_xlsx(path: str) -> ExtractedDocument:
    """Return the title of a workbook, and a line for each cell with a value, such as ``Sheet1!B2: 17``.

    A formula is shown as its last result.  Raises exceptions of any class for a damaged workbook, also while the
    lines are read.
    """
    import openpyxl

    # openpyxl refuses a path without the suffix .xlsx, and content objects have no suffix. The file stays open,
    # because the rows are read from it later.
    workbook = openpyxl.load_workbook(open(path, "rb"), read_only=True, data_only=True)  # noqa: SIM115

    def cell_lines() -> Iterator[str]:
        """Yield a line for each cell with a value, sheet by sheet and row by row."""
        for sheet in workbook.worksheets:
            for row in sheet.iter_rows():
                for cell in row:
                    if cell.value is not None:
                        yield f"{sheet.title}!{cell.coordinate}: {cell.value}"

    return ExtractedDocument({"title": workbook.properties.title or ""}, cell_lines())


def read_pptx(path: str) -> ExtractedDocument:
    """Return the number of slides, and the lines of text in their shapes.

    A line with the slide number, such as ``[1]``, comes before the lines of each slide.  Raises exceptions of any
    class for a damaged presentation, also while the lines are read.
    """
    import pptx

    slides = list(pptx.Presentation(path).slides)

    def slide_lines() -> Iterator[str]:
        """Yield each slide's number, then the paragraphs of the shapes."""
        for slide_number, slide in enumerate(slides, 1):
            yield f"[{slide_number}]"
            for shape in slide.shapes:
                if shape.has_text_frame:
                    yield from (
                        paragraph.text for paragraph in shape.text_frame.paragraphs if paragraph.text.strip()
                    )

    return ExtractedDocument({"pages": len(slides)}, slide_lines())
