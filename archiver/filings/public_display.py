"""Render the public display of a filing number (art. 26), and check pages for the display."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from typing import Any

from archiver.errors import UsageError
from archiver.filings.register import Filing

FORMATS = ("html", "markdown", "text", "json")


@dataclass(frozen=True, slots=True)
class PageCheck:
    """The result of a search in a page."""

    number: bool  # whether the page shows the filing number
    link: bool  # whether it has the address of the regulator's publication


def check_page(filing: Filing, data: bytes) -> PageCheck:
    """Search a page for the filing's number and link; ignores tags and spaces within the number."""
    page_text = html.unescape(_decode(data))
    visible_text = re.sub(r"\s", "", re.sub(r"<[^>]*>", "", page_text))
    publication_link = str(filing.fields.get("published_at") or "")
    filing_number = re.sub(r"\s", "", filing.number)
    return PageCheck(
        bool(filing_number) and filing_number in visible_text,
        bool(publication_link) and publication_link.rstrip("/") in page_text,
    )


def display_text(filing: Filing, form: str) -> str:
    """Return the text for website, app and privacy policy (art. 26); raises UsageError without a number.

    ``form`` is one of FORMATS.
    """
    if not filing.number:
        raise UsageError(
            "{filing} has no filing number yet. Nothing was written. Record it with: archiver filing set "
            "{filing!q} --number NO --issued-on DATE",
            filing=filing.name,
        )
    return _RENDERERS[form](_display_fields(filing))


def _display_fields(filing: Filing) -> dict[str, str]:
    fields = filing.fields
    return {
        "name": str(fields.get("algorithm") or filing.name),
        "company": str(fields.get("company") or ""),
        "number": filing.number,
        "link": str(fields.get("published_at") or ""),
    }


def _render_html(fields: dict[str, str]) -> str:
    escaped = {key: html.escape(value, quote=True) for key, value in fields.items()}
    linked_number = (
        f'<a href="{escaped["link"]}" rel="noopener">{escaped["number"]}</a>'
        if fields["link"]
        else escaped["number"]
    )
    company = f"（{escaped['company']}）" if fields["company"] else ""
    name = f"{escaped['name']}{company}"
    return f'<p class="algorithm-filing" lang="zh-CN">{name} 算法备案编号：{linked_number}</p>\n'


def _render_markdown(fields: dict[str, str]) -> str:
    escaped = {key: re.sub(r"([\\`*_\[\]<>()#|])", r"\\\1", value) for key, value in fields.items()}
    linked_number = f"[{escaped['number']}](<{fields['link']}>)" if fields["link"] else escaped["number"]
    company = f"（{escaped['company']}）" if fields["company"] else ""
    return f"{escaped['name']}{company} 算法备案编号：{linked_number}\n"


def _render_text(fields: dict[str, str]) -> str:
    company = f"（{fields['company']}）" if fields["company"] else ""
    link_note = f"，公示信息：{fields['link']}" if fields["link"] else ""
    return f"{fields['name']}{company} 算法备案编号：{fields['number']}{link_note}\n"


def _render_json(fields: dict[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False, indent=2) + "\n"


def _decode(data: bytes) -> str:
    for encoding in ("utf-8", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            # Not in this encoding; a page in none of them is read with replacements.
            continue
    return data.decode("utf-8", "replace")


_RENDERERS = {"html": _render_html, "markdown": _render_markdown, "text": _render_text, "json": _render_json}
