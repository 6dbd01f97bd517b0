"""The public display (公示) of a filing: what it must say, and whether a page says it."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from typing import Any

from archiver.errors import UsageProblem
from archiver.filings.register import Filing

FORMATS = ("html", "markdown", "text", "json")


@dataclass(frozen=True, slots=True)
class Shown:
    """Whether a page displays the filing number and the link to what was published."""

    number: bool
    link: bool


def look(filing: Filing, data: bytes) -> Shown:
    """Look for number and link in a page's bytes; blanks within the number do not matter."""
    text = html.unescape(_decoded(data))
    bare = re.sub(r"\s", "", re.sub(r"<[^>]*>", "", text))
    address = str(filing.fields.get("published_at") or "")
    number = re.sub(r"\s", "", filing.number)
    return Shown(bool(number) and number in bare, bool(address) and address.rstrip("/") in text)


def board(filing: Filing, form: str) -> str:
    """What to put on the website, into the App and into the privacy policy (art. 26); raises UsageProblem."""
    if not filing.number:
        raise UsageProblem(
            "{filing} has no filing number yet. Nothing was written. Record it with: archiver filing set "
            "{filing!q} --number NO --issued-on DATE",
            filing=filing.name,
        )
    return _FORMS[form](_facts(filing))


def _facts(filing: Filing) -> dict[str, str]:
    fields = filing.fields
    return {
        "name": str(fields.get("algorithm") or filing.name),
        "company": str(fields.get("company") or ""),
        "number": filing.number,
        "link": str(fields.get("published_at") or ""),
    }


def _html(facts: dict[str, str]) -> str:
    safe = {key: html.escape(value, quote=True) for key, value in facts.items()}
    number = f'<a href="{safe["link"]}" rel="noopener">{safe["number"]}</a>' if facts["link"] else safe["number"]
    company = f"（{safe['company']}）" if facts["company"] else ""
    return f'<p class="algorithm-filing" lang="zh-CN">{safe["name"]}{company} 算法备案编号：{number}</p>\n'


def _markdown(facts: dict[str, str]) -> str:
    safe = {key: re.sub(r"([\\`*_\[\]<>()#|])", r"\\\1", value) for key, value in facts.items()}
    number = f"[{safe['number']}](<{facts['link']}>)" if facts["link"] else safe["number"]
    company = f"（{safe['company']}）" if facts["company"] else ""
    return f"{safe['name']}{company} 算法备案编号：{number}\n"


def _text(facts: dict[str, str]) -> str:
    company = f"（{facts['company']}）" if facts["company"] else ""
    link = f"，公示信息：{facts['link']}" if facts["link"] else ""
    return f"{facts['name']}{company} 算法备案编号：{facts['number']}{link}\n"


def _json(facts: dict[str, Any]) -> str:
    return json.dumps(facts, ensure_ascii=False, indent=2) + "\n"


def _decoded(data: bytes) -> str:
    for encoding in ("utf-8", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("utf-8", "replace")


_FORMS = {"html": _html, "markdown": _markdown, "text": _text, "json": _json}
