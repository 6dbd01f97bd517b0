"""Guess kind, days and numbers from the text of a notice, as a proposal to a person.  Pure.

Nothing is recorded without the person's consent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from archiver.filings.filing_numbers import ALGORITHM

_KEYWORDS_BY_KIND = (
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
_CHINESE_DIGITS = {digit: value for value, digit in enumerate("零一二三四五六七八九十")}


@dataclass(frozen=True, slots=True)
class NoticeProposal:
    """The guesses; None or empty where the text gives none."""

    kind: str | None
    received: date | None  # the latest date in the text that is not the due one
    due: date | None
    days: int | None  # working days
    document: str  # the document's number at the regulator
    number: str  # the filing number
    filings: tuple[str, ...]  # known filings whose names are in the text


def parse_notice(lines: Sequence[str], filing_names: Iterable[str]) -> NoticeProposal:
    """Guess the content of a notice from the lines; ``filing_names`` are looked for in the text."""
    text = re.sub(r"\s", "", "\n".join(lines))
    due_day = next((day for match in _DUE.finditer(text) if (day := _parse_date(match))), None)
    other_dates = [day for match in _DATE.finditer(text) if (day := _parse_date(match)) and day != due_day]
    days_match = _DAYS.search(text)
    # Line by line: in the joined text, a title would seem to belong to the number below it.
    matches = (_DOCUMENT.search(re.sub(r"\s", "", line)) for line in lines)
    document_match = next((match for match in matches if match), None)
    number_match = ALGORITHM.search(text)
    return NoticeProposal(
        next((kind for kind, keywords in _KEYWORDS_BY_KIND if any(keyword in text for keyword in keywords)), None),
        max(other_dates, default=None),
        due_day,
        _parse_count(days_match[1]) if days_match else None,
        document_match[0] if document_match else "",
        number_match[0] if number_match else "",
        tuple(name for name in filing_names if re.sub(r"\s", "", name) in text),
    )


def _parse_date(match: re.Match[str]) -> date | None:
    """Return the date in a match; None if the digits are no date."""
    try:
        return date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        # Digits such as 2026.13.40 are no date, perhaps a version number.
        return None


def _parse_count(text: str) -> int | None:
    """Return a number of days: 15 for 十五, 20 for 二十; None for anything else."""
    if text.isdigit():
        return int(text)
    tens, ten, ones = text.partition("十")
    if not ten:
        return _CHINESE_DIGITS.get(text)
    if len(tens) > 1 or len(ones) > 1:
        return None
    return 10 * (_CHINESE_DIGITS[tens] if tens else 1) + (_CHINESE_DIGITS[ones] if ones else 0)
