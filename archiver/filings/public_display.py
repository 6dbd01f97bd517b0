"""Render the public display of a filing number (art. 26), and look for the number and the link on pages. Pure.

Article 26 of the Algorithm Recommendation Provisions obliges the company to show the number and the link.
"""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from typing import NamedTuple

from archiver.errors import UsageError
from archiver.filings.register import Filing

#: The names of the formats that :func:`render_display_text` can render.
DISPLAY_FORMATS = ("html", "markdown", "text", "json")
_MARKDOWN_SPECIAL_CHARACTER = re.compile(r"([\\`*_\[\]<>()#|])")


class _DisplayFields(NamedTuple):
    """The facts to display. The names of the fields are also the keys of the format ``json``."""

    name: str  # of the algorithm
    company: str  # empty if not recorded
    number: str  # the filing number
    link: str  # address of the regulator's publication; empty if not recorded


@dataclass(frozen=True, slots=True)
class PageCheck:
    """The result of a search in a page of the company."""

    number_found: bool  # True if the page shows the filing number
    link_found: bool  # True if the page has the address of the regulator's publication


def check_display_page(filing: Filing, page_bytes: bytes) -> PageCheck:
    """Search an HTML page for the filing's number, and for the link to the regulator's publication.

    Tags and spaces may interrupt the number. The link counts anywhere in the source of the page. If the filing has
    no number or no link yet, this is reported as not found.
    """
    page_source = html.unescape(_decode_page(page_bytes))
    visible_text = re.sub(r"\s", "", re.sub(r"<[^>]*>", "", page_source))
    publication_link = str(filing.sheet_fields.get("published_at") or "")
    filing_number = re.sub(r"\s", "", filing.number)
    return PageCheck(
        number_found=bool(filing_number) and filing_number in visible_text,
        link_found=bool(publication_link) and publication_link.rstrip("/") in page_source,
    )


def render_display_text(filing: Filing, format_name: str) -> str:
    """Return the text that displays the filing number (art. 26) on a website, in an app or in a privacy policy.

    ``format_name`` is one of DISPLAY_FORMATS. The text ends with a newline.

    Raises UsageError if the filing has no number yet.
    """
    if not filing.number:
        raise UsageError(
            "The filing {filing} has no filing number. To record the number, run: archiver filing set {filing!q} "
            "--number NO --issued-on DATE",
            filing=filing.name,
        )
    return _RENDERERS[format_name](_collect_display_fields(filing))


def _collect_display_fields(filing: Filing) -> _DisplayFields:
    """Return the facts to display.

    An algorithm without a recorded name is displayed under the name of the filing.
    """
    sheet_fields = filing.sheet_fields
    return _DisplayFields(
        name=str(sheet_fields.get("algorithm") or filing.name.for_people),
        company=str(sheet_fields.get("company") or ""),
        number=filing.number,
        link=str(sheet_fields.get("published_at") or ""),
    )


def _render_html(display_fields: _DisplayFields) -> str:
    """Return an HTML paragraph; the number links to the regulator's publication if the link is known.

    The fields are escaped, so a page can include the paragraph as it is.
    """
    escaped_fields = _DisplayFields(*(html.escape(field_text, quote=True) for field_text in display_fields))
    linked_number = escaped_fields.number
    if escaped_fields.link:
        linked_number = f'<a href="{escaped_fields.link}" rel="noopener">{escaped_fields.number}</a>'
    displayed_name = escaped_fields.name + _format_company(escaped_fields)
    return f'<p class="algorithm-filing" lang="zh-CN">{displayed_name} 算法备案编号：{linked_number}</p>\n'


def _render_markdown(display_fields: _DisplayFields) -> str:
    """Return a line of Markdown; the number links to the regulator's publication if the link is known.

    All fields but the link are escaped.
    """
    escaped_fields = _DisplayFields(
        *(_MARKDOWN_SPECIAL_CHARACTER.sub(r"\\\1", field_text) for field_text in display_fields)
    )
    linked_number = escaped_fields.number
    if display_fields.link:
        linked_number = f"[{escaped_fields.number}](<{display_fields.link}>)"
    displayed_name = escaped_fields.name + _format_company(escaped_fields)
    return f"{displayed_name} 算法备案编号：{linked_number}\n"


def _render_text(display_fields: _DisplayFields) -> str:
    """Return a line of plain text, with the link at its end if the link is known."""
    displayed_name = display_fields.name + _format_company(display_fields)
    link_note = f"，公示信息：{display_fields.link}" if display_fields.link else ""
    return f"{displayed_name} 算法备案编号：{display_fields.number}{link_note}\n"


def _render_json(display_fields: _DisplayFields) -> str:
    """Return an indented JSON object with all fields, the empty ones included."""
    return json.dumps(display_fields._asdict(), ensure_ascii=False, indent=2) + "\n"


def _format_company(display_fields: _DisplayFields) -> str:
    """Return the company's name in Chinese brackets, to follow the algorithm's name; empty if it is not known."""
    return f"（{display_fields.company}）" if display_fields.company else ""


def _decode_page(page_bytes: bytes) -> str:
    """Decode a page as UTF-8 or, if it is not valid UTF-8, as GB 18030, whatever encoding it declares.

    If neither encoding fits, the page is decoded as UTF-8, with U+FFFD in place of invalid bytes.
    """
    for encoding in ("utf-8", "gb18030"):
        try:
            return page_bytes.decode(encoding)
        except UnicodeDecodeError:
            # The page has another encoding: try the next.
            continue
    return page_bytes.decode("utf-8", "replace")


_RENDERERS = {"html": _render_html, "markdown": _render_markdown, "text": _render_text, "json": _render_json}
