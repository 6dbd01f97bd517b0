"""List the duties of a filing, with periods and sources.  Data.

《互联网信息服务算法推荐管理规定》 is in force since 2022-03-01.  Where no statute states a time
the basis is ``policy``: this program's advice, which a person may override with a stated date.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from archiver.errors import LazyMessage

_IN_FORCE = date(2022, 3, 1)
COMPANY, REGULATOR = "company", "regulator"
STATUTE, POLICY, STATED = "statute", "policy", "stated"


@dataclass(frozen=True, slots=True)
class DeadlineRule:
    """A duty, the period for it, and the source of both."""

    key: str
    days: int  # working days from the trigger
    who: str  # COMPANY or REGULATOR
    basis: str  # STATUTE or POLICY
    source: LazyMessage | None  # the article of the statute, if one says so
    effective_from: date = _IN_FORCE


RULES = (
    DeadlineRule("start", 10, COMPANY, STATUTE, LazyMessage("Algorithm Recommendation Provisions, art. 24(1)")),
    DeadlineRule("change", 10, COMPANY, STATUTE, LazyMessage("Algorithm Recommendation Provisions, art. 24(2)")),
    DeadlineRule("end", 20, COMPANY, STATUTE, LazyMessage("Algorithm Recommendation Provisions, art. 24(3)")),
    DeadlineRule("review", 30, REGULATOR, STATUTE, LazyMessage("Algorithm Recommendation Provisions, art. 25")),
    DeadlineRule("display", 5, COMPANY, POLICY, LazyMessage("Algorithm Recommendation Provisions, art. 26")),
    DeadlineRule("notice", 5, COMPANY, POLICY, None),
    DeadlineRule("inspection", 0, COMPANY, POLICY, LazyMessage("Algorithm Recommendation Provisions, art. 28")),
    DeadlineRule("check", 2, COMPANY, POLICY, None),
)

#: Sentences for people, by rule.
SENTENCES: Mapping[str, LazyMessage] = {
    "start": LazyMessage.define("hand in the first filing", code="due.start"),
    "change": LazyMessage.define("hand in the change", code="due.change"),
    "decide": LazyMessage.define("decide whether the change is material", code="due.decide"),
    "end": LazyMessage.define("hand in the deregistration", code="due.end"),
    "review": LazyMessage.define("the regulator's answer is due", code="due.review"),
    "display": LazyMessage.define("display the filing number, and record the check", code="due.display"),
    "notice": LazyMessage.define("answer notice {number} ({kind})", code="due.notice"),
    "inspection": LazyMessage.define("answer inspection {number}: export the package", code="due.inspection"),
    "check": LazyMessage.define("look at the review status on the portal", code="due.check"),
}


def rule_in_force(key: str, on: date) -> DeadlineRule:
    """Return the rule in force on a day; the oldest rule for a day before the first."""
    candidates = sorted(
        (candidate for candidate in RULES if candidate.key == key), key=lambda candidate: candidate.effective_from
    )
    in_force = (candidate for candidate in reversed(candidates) if candidate.effective_from <= on)
    return next(in_force, candidates[0])
