"""To which chain an event of each kind belongs, and whether it is an act or a note (format 2)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

from archiver.store.events.chains import EventClass
from archiver.store.events.event_details import FILING_MEMBER
from archiver.store.events.event_kinds import Action


class ChainKind(Enum):
    """The three kinds of chains."""

    #: One chain, carried by every package: no member may name a filing, a path, or free text.
    ARCHIVE = "archive"
    #: One chain, carried by no filing's package.
    HOUSE = "house"
    #: A chain for each filing.
    FILING = "filing"


class ChainRule(NamedTuple):
    """Where an event of one kind belongs."""

    kind: ChainKind
    event_class: EventClass


_ARCHIVE_ACT = ChainRule(ChainKind.ARCHIVE, EventClass.ACT)
_HOUSE_ACT = ChainRule(ChainKind.HOUSE, EventClass.ACT)
_HOUSE_NOTE = ChainRule(ChainKind.HOUSE, EventClass.NOTE)
_FILING_ACT = ChainRule(ChainKind.FILING, EventClass.ACT)
_FILING_NOTE = ChainRule(ChainKind.FILING, EventClass.NOTE)

#: The rule of each kind of event. An event of the kinds in :data:`_RULES_WITHOUT_FILING` needs a filing for it.
CHAIN_RULES: Mapping[str, ChainRule] = {
    Action.INIT: _ARCHIVE_ACT,
    Action.FORMAT: _ARCHIVE_ACT,
    Action.TIMESTAMP: _ARCHIVE_ACT,
    Action.TICK: _ARCHIVE_ACT,
    Action.KEY_ROTATE: _ARCHIVE_ACT,
    Action.KEY_REPLACE: _ARCHIVE_ACT,
    Action.ADOPT: _HOUSE_ACT,
    Action.WATCH_PATH: _HOUSE_ACT,
    Action.REPLICA_INIT: _HOUSE_ACT,
    Action.RECOVER: _HOUSE_ACT,
    Action.CHECKPOINT: _HOUSE_NOTE,
    Action.WATCH_LOST: _HOUSE_NOTE,
    Action.WATCH_DEAF: _HOUSE_NOTE,
    Action.REFUSE: _HOUSE_NOTE,
    Action.KEY_REASON: _HOUSE_NOTE,
    Action.KEY_BACKUP: _HOUSE_NOTE,
    Action.PROTECT: _HOUSE_NOTE,
    Action.DRILL: _HOUSE_NOTE,
    Action.REPOSITORY_SETTINGS: _HOUSE_NOTE,
    Action.POLICY: _FILING_ACT,
    Action.EARLIER_EVENTS: _FILING_ACT,
    Action.CAPTURE: _FILING_ACT,
    Action.SUBMIT: _FILING_ACT,
    Action.FILING_END: _FILING_ACT,
    # The end of a filing can be void, so that an older release must not pass a correction over.
    Action.CORRECT: _FILING_ACT,
    Action.HOLD: _FILING_ACT,
    Action.LIFT: _FILING_ACT,
    Action.RESTRICT: _FILING_ACT,
    Action.UNRESTRICT: _FILING_ACT,
    Action.DISPOSE_PLAN: _FILING_ACT,
    Action.DISPOSE_APPROVE: _FILING_ACT,
    Action.DISPOSE_BEGIN: _FILING_ACT,
    Action.DISPOSE_CERTIFY: _FILING_ACT,
    Action.SUBMISSION_FILE: _FILING_NOTE,
    Action.FILING_SET: _FILING_NOTE,
    Action.NOTICE: _FILING_NOTE,
    Action.NOTICE_ANSWER: _FILING_NOTE,
    Action.CHANGE_QUESTION: _FILING_NOTE,
    Action.CHANGE_DECISION: _FILING_NOTE,
    Action.SIGNAL: _FILING_NOTE,
    Action.DISPLAY_CHECK: _FILING_NOTE,
    Action.REMINDER: _FILING_NOTE,
    Action.EXPORT: _FILING_NOTE,
    Action.RESTORE: _FILING_NOTE,
    Action.RECORD: _FILING_NOTE,
}
#: The rule of an event of these kinds that names no filing: the retention of everything is in every package, and
#: what is about no filing in none.
_RULES_WITHOUT_FILING: Mapping[str, ChainRule] = {
    Action.POLICY: _ARCHIVE_ACT,
    Action.REMINDER: _HOUSE_NOTE,
    Action.EXPORT: _HOUSE_NOTE,
    Action.RESTORE: _HOUSE_NOTE,
    Action.RECORD: _HOUSE_NOTE,
}
#: Kinds of events whose ``object`` is the name of a plan.
_PLAN_ACTIONS = frozenset(
    {Action.DISPOSE_PLAN, Action.DISPOSE_APPROVE, Action.DISPOSE_BEGIN, Action.DISPOSE_CERTIFY}
)


def find_chain_rule(action: str, details: Mapping[str, Any]) -> ChainRule | None:
    """Return the rule for an event; None for a kind that this release does not know."""
    if details.get(FILING_MEMBER) is None and action in _RULES_WITHOUT_FILING:
        return _RULES_WITHOUT_FILING[action]
    return CHAIN_RULES.get(action)


def filing_of_event(action: str, object_name: str, details: Mapping[str, Any]) -> str:
    """Return the filing, as in refs, that an event of a filing's chain is about.

    The details name it if ``object_name`` does not begin with it.  Raises ValueError if neither does.
    """
    filing_name = details.get(FILING_MEMBER)
    if filing_name is None and action not in _PLAN_ACTIONS:
        filing_name = object_name.split("/", 1)[0]
    if not isinstance(filing_name, str) or not filing_name or "/" in filing_name:
        raise ValueError(f"{FILING_MEMBER} is missing or of another kind")
    return filing_name


def filing_in_object(action: str, object_name: str) -> str | None:
    """Return the filing with which the ``object`` of an event of this kind begins; None for all other events."""
    rule = CHAIN_RULES.get(action)
    is_about_filing = (
        rule is not None
        and rule.kind is ChainKind.FILING
        and action not in _PLAN_ACTIONS
        and action not in _RULES_WITHOUT_FILING
    )
    return object_name.split("/", 1)[0] or None if is_about_filing else None


def check_position(action: str, details: Mapping[str, Any], chain: str, event_class: EventClass) -> None:
    """Raise ValueError if the chain or the class of an event does not fit the kind.

    An event of an unknown kind passes, because only a newer release knows its place.
    """
    rule = find_chain_rule(action, details)
    if rule is None:
        return
    expected_chain = None if rule.kind is ChainKind.FILING else rule.kind.value
    is_in_filing_chain = chain not in (ChainKind.ARCHIVE.value, ChainKind.HOUSE.value)
    if (expected_chain is None) != is_in_filing_chain or expected_chain not in (None, chain):
        raise ValueError("it is in the chain of another kind of event")
    if rule.event_class is not event_class:
        raise ValueError("its class is that of another kind of event")
