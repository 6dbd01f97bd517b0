"""Make the text that displays a filing number in public, and check pages for it."""

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
    """What a page displays."""

    number: bool  # the filing number
    link: bool  # the address of the regulator's publication


def check_page(filing: Filing, data: bytes) -> PageCheck:
    """Search a page for the filing's number and link; ignores tags and spaces within the number."""
    page_text = html.unescape(_decode(data))
    visible_text = re.sub(r"\s", "", re.sub(r"<[^>]*>", "", page_text))
    link = str(filing.fields.get("published_at") or "")
    number = re.sub(r"\s", "", filing.number)
    return PageCheck(bool(number) and number in visible_text, bool(link) and link.rstrip("/") in page_text)


def display_text(filing: Filing, form: str) -> str:
    """Return the text for website, app and privacy policy (art. 26); raises UsageError without a number."""
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
    number = (
        f'<a href="{escaped["link"]}" rel="noopener">{escaped["number"]}</a>'
        if fields["link"]
        else escaped["number"]
    )
    company = f"（{escaped['company']}）" if fields["company"] else ""
    return f'<p class="algorithm-filing" lang="zh-CN">{escaped["name"]}{company} 算法备案编号：{number}</p>\n'


def _render_markdown(fields: dict[str, str]) -> str:
    escaped = {key: re.sub(r"([\\`*_\[\]<>()#|])", r"\\\1", value) for key, value in fields.items()}
    number = f"[{escaped['number']}](<{fields['link']}>)" if fields["link"] else escaped["number"]
    company = f"（{escaped['company']}）" if fields["company"] else ""
    return f"{escaped['name']}{company} 算法备案编号：{number}\n"


def _render_text(fields: dict[str, str]) -> str:
    company = f"（{fields['company']}）" if fields["company"] else ""
    link = f"，公示信息：{fields['link']}" if fields["link"] else ""
    return f"{fields['name']}{company} 算法备案编号：{fields['number']}{link}\n"


def _render_json(fields: dict[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False, indent=2) + "\n"


def _decode(data: bytes) -> str:
    for encoding in ("utf-8", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("utf-8", "replace")


_RENDERERS = {"html": _render_html, "markdown": _render_markdown, "text": _render_text, "json": _render_json}
