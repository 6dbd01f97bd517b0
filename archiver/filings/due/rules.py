"""What a company has to do after handing in, by when, and who says so.  Data.

《互联网信息服务算法推荐管理规定》 is in force since 2022-03-01.  Where no statute states a time
the basis is ``policy``: this program's advice, which a person may override with a stated date.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

_IN_FORCE = date(2022, 3, 1)
COMPANY, REGULATOR = "company", "regulator"
STATUTE, POLICY, STATED = "statute", "policy", "stated"


@dataclass(frozen=True, slots=True)
class Rule:
    """``days`` are working days from the trigger; ``source`` is put into the reader's language."""

    key: str
    days: int
    who: str
    basis: str
    source: str
    effective_from: date = _IN_FORCE


RULES = (
    Rule("start", 10, COMPANY, STATUTE, "Algorithm Recommendation Provisions, art. 24(1)"),
    Rule("change", 10, COMPANY, STATUTE, "Algorithm Recommendation Provisions, art. 24(2)"),
    Rule("end", 20, COMPANY, STATUTE, "Algorithm Recommendation Provisions, art. 24(3)"),
    Rule("review", 30, REGULATOR, STATUTE, "Algorithm Recommendation Provisions, art. 25"),
    Rule("display", 5, COMPANY, POLICY, "Algorithm Recommendation Provisions, art. 26"),
    Rule("notice", 5, COMPANY, POLICY, ""),
    Rule("inspection", 0, COMPANY, POLICY, "Algorithm Recommendation Provisions, art. 28"),
    Rule("check", 2, COMPANY, POLICY, ""),
)

#: Sentences for people, by rule.
SENTENCES = {
    "start": "hand in the first filing",
    "change": "hand in the change",
    "decide": "decide whether the change is material",
    "end": "hand in the deregistration",
    "review": "the regulator's answer is due",
    "display": "display the filing number, and record the check",
    "notice": "answer notice {number} ({kind})",
    "inspection": "answer inspection {number}: export the package",
    "check": "look at the review status on the portal",
}


def rule(key: str, on: date) -> Rule:
    """The rule in force on that day; the oldest one for days before any."""
    known = sorted((each for each in RULES if each.key == key), key=lambda each: each.effective_from)
    return next((each for each in reversed(known) if each.effective_from <= on), known[0])
