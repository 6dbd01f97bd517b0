"""Declare the details of events: one dataclass for each kind, with a rule for each member."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Any, ClassVar, Protocol, Self, TypeVar

from archiver.store.events.attached_files import AttachedFile
from archiver.store.events.event_kinds import Action
from archiver.store.events.value_kinds import ValueKind

Value = TypeVar("Value")
_RULE = "rule"


@dataclass(frozen=True, slots=True)
class MemberRule:
    """The rule for one member of ``details``."""

    kind: ValueKind
    meaning: str
    #: The name in the journal; None for that of the attribute.
    name: str | None
    #: An event that breaks the rule is unreadable.
    is_checked: bool
    #: An event may lack the member, and does if the attribute is None.
    is_optional: bool

    def read(self, value: Any) -> Any:
        """Convert a value of the journal; a noted value of another kind stays unchanged."""
        return self.kind.read(value) if value is not None and self.kind.accepts(value) else value

    def write(self, value: Any) -> Any:
        """Convert a value for the journal."""
        return None if value is None else self.kind.write(value)


def checked(kind: ValueKind, meaning: str, *, name: str | None = None, optional: bool = False) -> dict[str, Any]:
    """Return the metadata of a checked member: an event is unreadable without a fitting value."""
    return {_RULE: MemberRule(kind, meaning, name, is_checked=True, is_optional=optional)}


def noted(kind: ValueKind, meaning: str, *, name: str | None = None, optional: bool = False) -> dict[str, Any]:
    """Return the metadata of a noted member: written with this kind of value, and read with any value.

    An older event may lack it; the attribute is None then.
    """
    return {_RULE: MemberRule(kind, meaning, name, is_checked=False, is_optional=optional)}


@dataclass(frozen=True, slots=True, kw_only=True)
class EventDetails:
    """The details of one kind of event; the docstring of each class says when the event is written."""

    #: The word of this kind.
    action: ClassVar[Action]
    #: The event's ``object``, for docs/journal.md.
    about: ClassVar[str]
    #: The files that travel with the event.
    attached: ClassVar[tuple[AttachedFile, ...]] = ()

    @classmethod
    def _own_members(cls) -> tuple[tuple[str, str, MemberRule, bool], ...]:
        # mypy mistakes the __hash__ of the instances for that of the class, as in check.
        return _declared_members(cls)  # type: ignore[arg-type]

    @classmethod
    def rules(cls) -> Mapping[str, MemberRule]:
        """Return the rules by the members' names in the journal."""
        return {name: rule for _, name, rule, _ in cls._own_members()}

    @classmethod
    def check(cls, details: Mapping[str, Any]) -> None:
        """Raise ValueError if a checked member is missing or of another kind."""
        # mypy mistakes the __hash__ of the instances for that of the class.
        for name, rule in _checked_members(cls):  # type: ignore[arg-type]
            value = details.get(name)
            # Null stands for an absent member that is optional; any other absent one is missing.
            is_left_out = value is None and rule.is_optional
            if not is_left_out and not (name in details and rule.kind.accepts(value)):
                raise ValueError(f"{name} is missing or of another kind")

    @classmethod
    def check_attached(cls, names: Collection[str]) -> None:
        """Raise ValueError if a required attachment is missing."""
        for file in cls.attached:
            if file.is_required and file.name not in names:
                raise ValueError(f"{file.name} is not attached")

    @classmethod
    def from_details(cls, details: Mapping[str, Any]) -> Self:
        """Read the details of a journalled event; members of a newer release are passed over.

        Raises ValueError as :meth:`check` does.
        """
        cls.check(details)
        values_by_attribute = {}
        for attribute, name, rule, has_default in cls._own_members():
            if name in details:
                values_by_attribute[attribute] = rule.read(details[name])
            elif not has_default:
                values_by_attribute[attribute] = None
        return cls(**values_by_attribute)

    def to_details(self) -> dict[str, Any]:
        """Return the details in the form of the journal."""
        details = {}
        for attribute, name, rule, _ in self._own_members():
            value = getattr(self, attribute)
            if value is not None or not rule.is_optional:
                details[name] = rule.write(value)
        return details


@cache
def _declared_members(details_class: type[Any]) -> tuple[tuple[str, str, MemberRule, bool], ...]:
    """Return attribute, name in the journal, rule, and whether the attribute has a default, of each member."""
    return tuple(
        (field.name, rule.name or field.name, rule, field.default is not MISSING)
        for field in fields(details_class)
        for rule in (field.metadata[_RULE],)
    )


@cache
def _checked_members(details_class: type[Any]) -> tuple[tuple[str, MemberRule], ...]:
    """Return name and rule of each checked member; cached, because every event is checked when read."""
    return tuple((name, rule) for name, rule in details_class.rules().items() if rule.is_checked)


@dataclass(frozen=True, slots=True)
class GivenDetails:
    """Details from another process or release, journalled without change.

    Only for kinds without checked members, such as a note that a command sends to the daemon.
    """

    action: Action
    details: Mapping[str, Any]

    def to_details(self) -> dict[str, Any]:
        """Return the details without change."""
        return dict(self.details)


class WritableDetails(Protocol):
    """The details of a new event: one of the classes, or given details."""

    @property
    def action(self) -> Action:
        """The kind of the event."""

    def to_details(self) -> dict[str, Any]:
        """Return the details in the form of the journal."""


def require_member(value: Value | None, name: str) -> Value:
    """Return the value of a noted member that the caller relies on; raises ValueError if absent."""
    if value is None:
        raise ValueError(f"{name} is missing")
    return value
