"""The public display of a filing number (art. 26): rendering, and checks for presence on pages. Pure."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from typing import Any

from archiver.errors import UsageError
from archiver.filings.register import Filing

#: The names of the formats that :func:`render_display_text` can render.
DISPLAY_FORMATS = ("html", "markdown", "text", "json")
_MARKDOWN_SPECIAL_CHARACTER = re.compile(r"([\\`*_\[\]<>()#|])")


@dataclass(frozen=True, slots=True)
class PageCheck:
    """The result of a search in a page."""

    number_found: bool  # True if the page shows the filing number
    link_found: bool  # True if the page has the address of the regulator's publication


def check_display_page(filing: Filing, page_bytes: bytes) -> PageCheck:
    """Search an HTML page for the filing's number, and for the link to the regulator's publication.

    Tags and spaces may interrupt the number; the link counts anywhere in the source.  A number or link that the
    filing does not have yet is reported as not found.
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

    ``format_name`` is one of DISPLAY_FORMATS.  The text ends with a newline.

    Raises UsageError if the filing has no number yet.
    """
    if not filing.number:
        raise UsageError(
            "The filing {filing} has no filing number. To record the number, run: archiver filing set {filing!q} "
            "--number NO --issued-on DATE",
            filing=filing.name,
        )
    return _RENDERERS[format_name](_collect_display_fields(filing))


def _collect_display_fields(filing: Filing) -> dict[str, str]:
    """Return the facts to display: ``name``, ``company``, ``number`` and ``link``; empty if not recorded.

    An algorithm without a recorded name is displayed under the name of the filing.
    """
    sheet_fields = filing.sheet_fields
    return {
        "name": str(sheet_fields.get("algorithm") or filing.name),
        "company": str(sheet_fields.get("company") or ""),
        "number": filing.number,
        "link": str(sheet_fields.get("published_at") or ""),
    }


def _render_html(display_fields: dict[str, str]) -> str:
    """Return an HTML paragraph; the number links to the regulator's publication if the link is known."""
    escaped_fields = {
        field_name: html.escape(field_text, quote=True) for field_name, field_text in display_fields.items()
    }
    linked_number = (
        f'<a href="{escaped_fields["link"]}" rel="noopener">{escaped_fields["number"]}</a>'
        if display_fields["link"]
        else escaped_fields["number"]
    )
    company_note = f"（{escaped_fields['company']}）" if display_fields["company"] else ""
    name_and_company = f"{escaped_fields['name']}{company_note}"
    return f'<p class="algorithm-filing" lang="zh-CN">{name_and_company} 算法备案编号：{linked_number}</p>\n'


def _render_markdown(display_fields: dict[str, str]) -> str:
    """Return a line of Markdown; the number is a link as in HTML."""
    escaped_fields = {
        field_name: _MARKDOWN_SPECIAL_CHARACTER.sub(r"\\\1", field_text)
        for field_name, field_text in display_fields.items()
    }
    linked_number = (
        f"[{escaped_fields['number']}](<{display_fields['link']}>)"
        if display_fields["link"]
        else escaped_fields["number"]
    )
    company_note = f"（{escaped_fields['company']}）" if display_fields["company"] else ""
    return f"{escaped_fields['name']}{company_note} 算法备案编号：{linked_number}\n"


def _render_text(display_fields: dict[str, str]) -> str:
    """Return a line of plain text, which ends with the link if it is known."""
    company_note = f"（{display_fields['company']}）" if display_fields["company"] else ""
    link_note = f"，公示信息：{display_fields['link']}" if display_fields["link"] else ""
    return f"{display_fields['name']}{company_note} 算法备案编号：{display_fields['number']}{link_note}\n"


def _render_json(display_fields: dict[str, Any]) -> str:
    """Return an indented JSON object with the fields."""
    return json.dumps(display_fields, ensure_ascii=False, indent=2) + "\n"


def _decode_page(page_bytes: bytes) -> str:
    """Decode a page as UTF-8, else as GB 18030, whatever encoding it declares.

    If neither fits, the page is decoded as UTF-8, with U+FFFD in place of invalid bytes.
    """
    for encoding in ("utf-8", "gb18030"):
        try:
            return page_bytes.decode(encoding)
        except UnicodeDecodeError:
            # The page has another encoding: try the next.
            continue
    return page_bytes.decode("utf-8", "replace")


_RENDERERS = {"html": _render_html, "markdown": _render_markdown, "text": _render_text, "json": _render_json}
