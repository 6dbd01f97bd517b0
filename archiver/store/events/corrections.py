"""Corrections of records: the members that can be corrected, by the kind of event, and the resulting values.

A correction replaces members of an earlier event of the same filing, or voids that event, which stays in the
journal.  Events whose effect cannot be undone cannot be corrected: those that moved a ref, a key, the clock, or a
retention promise, and holds and the steps of a disposal.  A submission to the regulator is an exception, because a
person stated facts about it, such as the day, that can be wrong; its signed tag stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from archiver.naming.ref_names import RefName
from archiver.store.events.event_details import EventDetails, MemberRule, checked_member
from archiver.store.events.event_kinds import Action
from archiver.store.events.value_kinds import EVENT_NUMBER, FILING_SHEET, FLAG, OBJECT, TEXT, nullable

#: The member of a ``filing-set`` event that has the changed fields of the filing's sheet.
_SHEET_MEMBER = "fields"
#: Begins the name under which a correction replaces one field of the sheet. A name without this prefix is that of
#: a member of the details.
SHEET_PREFIX = f"{_SHEET_MEMBER}."
#: Kind of event -> members of its details that a correction may replace.
CORRECTABLE_MEMBERS: Mapping[str, frozenset[str]] = {
    Action.SUBMIT: frozenset({"on", "kind", "number", "by", "reason"}),
    Action.FILING_SET: frozenset({"on", "status", "portal_text", "by"}),
    Action.FILING_END: frozenset({"on", "reason", "by"}),
    Action.NOTICE: frozenset({"kind", "issuer", "document", "received", "due", "days", "owner", "by"}),
    Action.NOTICE_ANSWER: frozenset({"submission", "on", "by"}),
    Action.CHANGE_DECISION: frozenset({"material", "reason", "on", "by"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCorrected(EventDetails):
    """Written when somebody corrects or voids a record of a filing, which stays in the journal.

    The newest correction of a member applies. A correction moves no ref and shortens no retention.
    """

    action: ClassVar = Action.CORRECT
    object_meaning: ClassVar = "name of the filing, as in refs"
    corrected_seq: int = field(
        metadata=checked_member(EVENT_NUMBER, "number of the event that is corrected", name="corrects")
    )
    corrected_action: str = field(metadata=checked_member(TEXT, "kind of that event", name="kind"))
    new_values: Mapping[str, Any] = field(
        metadata=checked_member(
            OBJECT,
            "member of that event's details, or `fields.` and a field of the sheet -> its new value; empty if the "
            "event is voided",
            name="fields",
            typed=True,
        )
    )
    is_void: bool = field(
        metadata=checked_member(FLAG, "whether that event is void: it never applied", name="void")
    )
    reason: str = field(metadata=checked_member(TEXT, "reason, as a person gave it", typed=True))
    reported_by: str | None = field(
        metadata=checked_member(
            nullable(TEXT),
            "person who did it or for whom it was done, in addition to the user named by the kernel",
            name="by",
            typed=True,
        )
    )

    @classmethod
    def check_members(cls, details: Mapping[str, Any]) -> None:
        """Raise ValueError as the base class does, or if this is not a valid correction of that kind of event.

        A valid correction either replaces members by values that the kind of event allows, or voids the event.
        """
        # slots=True creates a second class, so super() without arguments would refer to the first one and fail.
        super(RecordCorrected, cls).check_members(details)
        if bool(details["fields"]) == details["void"]:
            raise ValueError("it has to replace a member, or to void the event, and not both")
        if details["kind"] not in CORRECTABLE_MEMBERS:
            raise ValueError("an event of this kind cannot be corrected")
        for member_name, new_value in details["fields"].items():
            if not accepts_value(details["kind"], member_name, new_value):
                raise ValueError(f"{member_name} cannot be corrected to this value")


def find_member_rule(action: str, member_name: str) -> MemberRule | None:
    """Return the rule of a member that can be corrected in an event of this kind; None for any other member.

    A field of a filing's sheet has the rule of the whole sheet.
    """
    from archiver.store.events.vocabulary import DETAILS_BY_ACTION

    rules = DETAILS_BY_ACTION[action].member_rules() if action in CORRECTABLE_MEMBERS else {}
    if action == Action.FILING_SET and member_name.startswith(SHEET_PREFIX):
        return rules[_SHEET_MEMBER]
    return rules[member_name] if member_name in CORRECTABLE_MEMBERS.get(action, ()) else None


def accepts_value(action: str, member_name: str, new_value: Any) -> bool:
    """Return True if a correction of an event of this kind may set the member to ``new_value``."""
    rule = find_member_rule(action, member_name)
    if rule is None:
        return False
    if rule.kind is FILING_SHEET:
        return FILING_SHEET.accepts({member_name.removeprefix(SHEET_PREFIX): new_value})
    return rule.kind.accepts(new_value) or (new_value is None and rule.is_optional)


#: The correctable members with a filing, a submission or a tag in the ref form.
REF_MEMBERS = frozenset({"submission"})


def read_member(details: Mapping[str, Any], member_name: str) -> Any:
    """Return the value of a correctable member in the ``details`` of an event; None if the member is absent."""
    if member_name.startswith(SHEET_PREFIX):
        return details.get(_SHEET_MEMBER, {}).get(member_name.removeprefix(SHEET_PREFIX))
    return mark_ref_name(member_name, details.get(member_name))


def mark_ref_name(member_name: str, value: Any) -> Any:
    """Return a name in the ref form as RefName, and any other value unchanged."""
    return RefName(value) if member_name in REF_MEMBERS and isinstance(value, str) else value


def correctable_values(action: str, details: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of an event's correctable members, by name, in the order of ``details``.

    Each field of a filing's sheet counts as a member. Returns an empty dict for a kind of event that cannot be
    corrected.
    """
    values: dict[str, Any] = {}
    for member_name, value in details.items():
        if action == Action.FILING_SET and member_name == _SHEET_MEMBER:
            values |= {f"{SHEET_PREFIX}{field_name}": field_value for field_name, field_value in value.items()}
        elif member_name in CORRECTABLE_MEMBERS.get(action, ()):
            values[member_name] = mark_ref_name(member_name, value)
    return values


def correct_details(details: Mapping[str, Any], new_values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of an event's ``details`` in which the ``new_values`` of a correction replace the old ones."""
    corrected_details = dict(details)
    for member_name, new_value in new_values.items():
        if member_name.startswith(SHEET_PREFIX):
            field_name = member_name.removeprefix(SHEET_PREFIX)
            corrected_details[_SHEET_MEMBER] = {**corrected_details.get(_SHEET_MEMBER, {}), field_name: new_value}
        else:
            corrected_details[member_name] = new_value
    return corrected_details
