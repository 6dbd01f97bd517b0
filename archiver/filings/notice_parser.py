"""What a notice's text seems to say: proposed to a person, never taken over.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from archiver.filings.filing_numbers import ALGORITHM

_KINDS = (
    ("correction", ("补正",)),
    ("inquiry", ("问询", "询问函")),
    ("rectification", ("整改", "责令改正")),
    ("inspection", ("检查通知", "抽查")),
    ("revocation", ("撤销备案",)),
    ("refusal", ("不予备案", "不予通过")),
)
_DATE = re.compile(r"(20\d{2})\s*[年\-/.]\s*(\d{1,2})\s*[月\-/.]\s*(\d{1,2})\s*日?")
_DUE = re.compile(
    r"(?:于|至|截止|期限)?[^。\n]{0,8}?(20\d{2})\s*[年\-/.]\s*(\d{1,2})\s*[月\-/.]\s*(\d{1,2})\s*日?\s*(?:之前|以前|前)"
)
_DAYS = re.compile(r"(\d{1,3}|[一二三四五六七八九十]{1,3})\s*个?工作日")
_DOCUMENT = re.compile(r"[\u4e00-\u9fa5]{1,12}[〔\[（(]\s*20\d{2}\s*[〕\]）)]\s*第?\d+号")
_DIGITS = {digit: value for value, digit in enumerate("零一二三四五六七八九十")}


@dataclass(frozen=True, slots=True)
class Proposal:
    """Each is None or empty where nothing was found; ``received`` is the latest date that is not the due one."""

    kind: str | None
    received: date | None
    due: date | None
    days: int | None
    document: str
    number: str
    filings: tuple[str, ...]


def propose(lines: Sequence[str], filings: Iterable[str]) -> Proposal:
    """Read a notice's lines; ``filings``: names that may stand in it."""
    text = "\n".join(lines)
    joined = re.sub(r"\s", "", text)
    due = next((day for match in _DUE.finditer(joined) if (day := _date(match))), None)
    dates = [day for match in _DATE.finditer(joined) if (day := _date(match)) and day != due]
    days = _DAYS.search(joined)
    # Line by line: joined, a title would seem to belong to the number below it.
    document = next((found for line in lines if (found := _DOCUMENT.search(re.sub(r"\s", "", line)))), None)
    number = ALGORITHM.search(joined)
    return Proposal(
        next((kind for kind, words in _KINDS if any(word in joined for word in words)), None),
        max(dates, default=None),
        due,
        _whole(days[1]) if days else None,
        document[0] if document else "",
        number[0] if number else "",
        tuple(name for name in filings if re.sub(r"\s", "", name) in joined),
    )


def _date(match: re.Match[str]) -> date | None:
    try:
        return date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None


def _whole(text: str) -> int | None:
    """十五 is 15, 二十 is 20; None for what is no such number."""
    if text.isdigit():
        return int(text)
    tens, ten, ones = text.partition("十")
    if not ten:
        return _DIGITS.get(text)
    if len(tens) > 1 or len(ones) > 1:
        return None
    return 10 * (_DIGITS[tens] if tens else 1) + (_DIGITS[ones] if ones else 0)
