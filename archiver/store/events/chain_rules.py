"""The rules of format 2 for each kind of event: the chain to which an event belongs, and its class."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

from archiver.store.events.chains import EventClass
from archiver.store.events.event_details import FILING_MEMBER
from archiver.store.events.event_kinds import Action


class ChainKind(Enum):
    """The three kinds of chains."""

    #: The one chain that every inspection package carries. So no member of its events may name a filing or a path,
    #: or hold free text.
    ARCHIVE = "archive"
    #: The one chain that no package for a filing carries.
    HOUSE = "house"
    #: One chain for each filing.
    FILING = "filing"


class ChainRule(NamedTuple):
    """The kind of chain, and the class, of the events of one kind."""

    kind: ChainKind
    event_class: EventClass


_ARCHIVE_ACT = ChainRule(ChainKind.ARCHIVE, EventClass.ACT)
_HOUSE_ACT = ChainRule(ChainKind.HOUSE, EventClass.ACT)
_HOUSE_NOTE = ChainRule(ChainKind.HOUSE, EventClass.NOTE)
_FILING_ACT = ChainRule(ChainKind.FILING, EventClass.ACT)
_FILING_NOTE = ChainRule(ChainKind.FILING, EventClass.NOTE)

#: The rule of each kind of event. For the kinds in :data:`_RULES_WITHOUT_FILING`, it is the rule of events that
#: name a filing.
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
    Action.WATCH_FOLDER: _HOUSE_NOTE,
    Action.WATCH_ACCEPT: _HOUSE_NOTE,
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
    # An act, because a correction can void the end of a filing: a release that does not know corrections must not
    # ignore this event as it ignores unknown notes.
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
#: The rule of the events of these kinds that name no filing. A promise of retention for the whole archive is in
#: every package. The other events are in no package for a filing.
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
    """Return the rule for an event with these ``details``; None for an action that this release does not know."""
    if details.get(FILING_MEMBER) is None and action in _RULES_WITHOUT_FILING:
        return _RULES_WITHOUT_FILING[action]
    return CHAIN_RULES.get(action)


def filing_of_event(action: str, object_name: str, details: Mapping[str, Any]) -> str:
    """Return the name, as in refs, of the filing that an event in a filing's chain is about.

    The member :data:`FILING_MEMBER` of ``details`` has the name. Without that member, the name is the part of
    ``object_name``, the event's ``object``, before the first slash. In the steps of a disposal the object is a
    plan, so these always need the member.

    Raises ValueError if there is no name, or if it is not valid.
    """
    filing_name = details.get(FILING_MEMBER)
    if filing_name is None and action not in _PLAN_ACTIONS:
        filing_name = object_name.split("/", 1)[0]
    if not isinstance(filing_name, str) or not filing_name or "/" in filing_name:
        raise ValueError(f"{FILING_MEMBER} is missing or of another kind")
    return filing_name


def filing_in_object(action: str, object_name: str) -> str | None:
    """Return the name of the filing with which ``object_name``, the ``object`` of an event, begins.

    Returns None for a kind of event whose object begins with something else.
    """
    rule = CHAIN_RULES.get(action)
    is_about_filing = (
        rule is not None
        and rule.kind is ChainKind.FILING
        and action not in _PLAN_ACTIONS
        and action not in _RULES_WITHOUT_FILING
    )
    return object_name.split("/", 1)[0] or None if is_about_filing else None


def check_position(action: str, details: Mapping[str, Any], chain: str, event_class: EventClass) -> None:
    """Raise ValueError if an event of this kind cannot be in ``chain``, or cannot have ``event_class``.

    An event of an unknown kind passes the check, because only a newer release knows the rule.
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
