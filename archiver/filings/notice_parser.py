"""Guess the kind, the days and the numbers of a notice from its text, to propose them to a person.  Pure.

Nothing is recorded without the person's consent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from archiver.filings.filing_numbers import ALGORITHM_NUMBER

#: Kind of notice -> keywords. The first kind with a keyword in the text counts, so the order matters.
_KEYWORDS_BY_KIND: Mapping[str, tuple[str, ...]] = {
    "correction": ("补正",),
    "inquiry": ("问询", "询问函"),
    "rectification": ("整改", "责令改正"),
    "inspection": ("检查通知", "抽查"),
    "revocation": ("撤销备案",),
    "refusal": ("不予备案", "不予通过"),
}
#: A date such as 2026年3月5日 or 2026-03-05; the groups are year, month and day.
_DATE = re.compile(r"(20\d{2})\s*[年\-/.]\s*(\d{1,2})\s*[月\-/.]\s*(\d{1,2})\s*日?")
#: A date followed by a word for "before" (前); the groups are the same.
_DUE_DATE = re.compile(
    r"(?:于|至|截止|期限)?[^。\n]{0,8}?(20\d{2})\s*[年\-/.]\s*(\d{1,2})\s*[月\-/.]\s*(\d{1,2})\s*日?\s*(?:之前|以前|前)"
)
#: A number of working days, such as 15个工作日 or 十五个工作日.
_WORKING_DAYS = re.compile(r"(\d{1,3}|[一二三四五六七八九十]{1,3})\s*个?工作日")
#: The number of an official document (文号), such as 网信办〔2026〕第12号.
_DOCUMENT_NUMBER = re.compile(r"[\u4e00-\u9fa5]{1,12}[〔\[（(]\s*20\d{2}\s*[〕\]）)]\s*第?\d+号")
#: 零 is 0, and so on up to 十, which is 10.
_CHINESE_DIGITS = {digit: value for value, digit in enumerate("零一二三四五六七八九十")}


@dataclass(frozen=True, slots=True)
class NoticeProposal:
    """The guesses from the text of a notice; None or empty if the text suggests nothing."""

    kind: str | None  # a key of _KEYWORDS_BY_KIND
    received_on: date | None  # the latest date in the text other than ``due_on``
    due_on: date | None  # the first date in the text before which something is due
    working_days: int | None  # the working days to answer in
    document_number: str  # the regulator's number of the document
    filing_number: str  # the filing number
    filing_names: tuple[str, ...]  # known filings whose names are in the text


def parse_notice(lines: Sequence[str], filing_names: Iterable[str]) -> NoticeProposal:
    """Guess a notice's kind, days and numbers from the lines of its text.

    Spaces are ignored.  The proposal names those of ``filing_names`` that occur in the text, in the given order.
    """
    notice_text = re.sub(r"\s", "", "\n".join(lines))
    due_day = next((day for match in _DUE_DATE.finditer(notice_text) if (day := _parse_date(match))), None)
    other_days = [day for match in _DATE.finditer(notice_text) if (day := _parse_date(match)) and day != due_day]
    working_days_match = _WORKING_DAYS.search(notice_text)
    filing_number_match = ALGORITHM_NUMBER.search(notice_text)
    return NoticeProposal(
        kind=_guess_kind(notice_text),
        received_on=max(other_days, default=None),
        due_on=due_day,
        working_days=_parse_count(working_days_match[1]) if working_days_match else None,
        document_number=_find_document_number(lines),
        filing_number=filing_number_match[0] if filing_number_match else "",
        filing_names=tuple(
            filing_name for filing_name in filing_names if re.sub(r"\s", "", filing_name) in notice_text
        ),
    )


def _guess_kind(notice_text: str) -> str | None:
    """Return the first kind of notice with a keyword in ``notice_text``; None if there is none."""
    for notice_kind, keywords in _KEYWORDS_BY_KIND.items():
        if any(keyword in notice_text for keyword in keywords):
            return notice_kind
    return None


def _find_document_number(lines: Iterable[str]) -> str:
    """Return the first document number in the lines, without spaces; empty if there is none.

    Each line is searched separately: a document number may begin with any Chinese characters, so in the joined
    text, a title would become part of the number below it.
    """
    for line in lines:
        if match := _DOCUMENT_NUMBER.search(re.sub(r"\s", "", line)):
            return match[0]
    return ""


def _parse_date(match: re.Match[str]) -> date | None:
    """Return the date that the groups year, month and day of ``match`` form.

    Returns None if no such date exists: text such as 2026.13.40 may be a version number.
    """
    try:
        return date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        # The caller tries the next match.
        return None


def _parse_count(count_text: str) -> int | None:
    """Parse a number written in digits or with Chinese characters, such as 十五 (15) and 二十 (20).

    Returns None for Chinese characters that do not form a number below 100.
    """
    if count_text.isdigit():
        return int(count_text)
    tens_digit, ten_sign, ones_digit = count_text.partition("十")
    if not ten_sign:
        return _CHINESE_DIGITS.get(count_text)
    if len(tens_digit) > 1 or len(ones_digit) > 1:
        return None
    # Without a digit before it, 十 is 10.
    tens = _CHINESE_DIGITS[tens_digit] if tens_digit else 1
    ones = _CHINESE_DIGITS[ones_digit] if ones_digit else 0
    return 10 * tens + ones
