"""List the duties of a filing, with their periods and the authority behind each. Data.

《互联网信息服务算法推荐管理规定》 has been in force since 2022-03-01.  If no statute states a period, the basis is
``policy``: advice of this program.  A date stated in a notice overrides the advice.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from archiver.errors import LazyMessage

_PROVISIONS_IN_FORCE_FROM = date(2022, 3, 1)
#: The party with a duty.
COMPANY, REGULATOR = "company", "regulator"
#: The authority behind a deadline; STATED is a date or time in a notice.
STATUTE, POLICY, STATED = "statute", "policy", "stated"


class DeadlineRule(NamedTuple):
    """A duty, its period, and the authority behind both."""

    key: str  # the name of the duty, and of its sentence in DUTY_SENTENCES
    working_days: int  # the last day, in working days after the day from which the period counts; 0: that very day
    party: str  # COMPANY or REGULATOR
    basis: str  # STATUTE or POLICY
    article: LazyMessage | None  # the article of the statute behind the duty; None if there is no such article
    effective_from: date = _PROVISIONS_IN_FORCE_FROM  # periods that count from this day or later have this rule


#: If a duty changes, a rule with the same key and a later ``effective_from`` is added.
DEADLINE_RULES = (
    DeadlineRule("start", 10, COMPANY, STATUTE, LazyMessage("Algorithm Recommendation Provisions, art. 24(1)")),
    DeadlineRule("change", 10, COMPANY, STATUTE, LazyMessage("Algorithm Recommendation Provisions, art. 24(2)")),
    DeadlineRule("end", 20, COMPANY, STATUTE, LazyMessage("Algorithm Recommendation Provisions, art. 24(3)")),
    DeadlineRule("review", 30, REGULATOR, STATUTE, LazyMessage("Algorithm Recommendation Provisions, art. 25")),
    DeadlineRule("display", 5, COMPANY, POLICY, LazyMessage("Algorithm Recommendation Provisions, art. 26")),
    DeadlineRule("notice", 5, COMPANY, POLICY, None),
    DeadlineRule("inspection", 0, COMPANY, POLICY, LazyMessage("Algorithm Recommendation Provisions, art. 28")),
    DeadlineRule("check", 2, COMPANY, POLICY, None),
)

#: Key of a rule -> the duty, for people.  "decide" is a second duty with the period of the rule "change".
DUTY_SENTENCES: Mapping[str, LazyMessage] = {
    "start": LazyMessage.define("submit the first filing", code="due.start"),
    "change": LazyMessage.define("submit the change", code="due.change"),
    "decide": LazyMessage.define("decide whether the change is material", code="due.decide"),
    "end": LazyMessage.define("submit the deregistration", code="due.end"),
    "review": LazyMessage.define("the regulator must reply", code="due.review"),
    "display": LazyMessage.define("display the filing number and record the check", code="due.display"),
    "notice": LazyMessage.define("answer notice {number} ({kind})", code="due.notice"),
    "inspection": LazyMessage.define(
        "answer notice {number} (inspection): export the inspection package", code="due.inspection"
    ),
    "check": LazyMessage.define("check the review status on the portal", code="due.check"),
}


def rule_in_force(rule_key: str, day: date) -> DeadlineRule:
    """Return the rule with ``rule_key`` in force on ``day``; the oldest such rule if none was in force yet.

    Raises IndexError if no rule has the key.
    """
    rules_by_age = sorted(
        (rule for rule in DEADLINE_RULES if rule.key == rule_key), key=lambda rule: rule.effective_from
    )
    rules_in_force = (rule for rule in reversed(rules_by_age) if rule.effective_from <= day)
    return next(rules_in_force, rules_by_age[0])
