"""The base class for the details of each kind of event, a dataclass with a rule for each member."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from typing import Any, ClassVar, NamedTuple, Protocol, Self, TypeVar

from archiver.store.events.attached_files import AttachedFile
from archiver.store.events.event_kinds import Action
from archiver.store.events.value_kinds import TEXT, ValueKind

Value = TypeVar("Value")
#: Maximum length of details as canonical JSON, in characters. If it were lower, 100 paths of the maximum length
#: would not fit, because JSON can need six characters for one. If it were higher, one event could fill the memory
#: of every reader.
_MAX_DETAILS_LENGTH = 1 << 24
#: The maximum for kinds of events that list versions, refs or objects, of which there can be any number.
MAX_LISTING_LENGTH = 1 << 26
#: The key of the MemberRule in the metadata of a dataclass field.
_RULE = "rule"
#: The member of ``details`` that has the filing's name, as in refs, if the ``object`` of the event does not.
FILING_MEMBER = "of_filing"
_FILING_MEANING = "name of the filing, as in refs, that the event is about"
_ACT_MEANING = "id that ties the events of one act on several filings, 128 random bits in hexadecimal"


class MemberRule(NamedTuple):
    """The rule for one member of ``details``."""

    kind: ValueKind
    #: A description of the value, for docs/journal.md.
    meaning: str
    #: The name in the journal; None if it is the name of the attribute.
    name: str | None
    #: True if an event that breaks the rule is unreadable.
    is_checked: bool
    #: True if an event may lack the member. A new event lacks it if the attribute is None.
    is_optional: bool
    #: True if a person typed the member's texts. In format 2, their only control character is the line feed.
    is_typed: bool = False

    def to_python(self, value: Any) -> Any:
        """Convert a JSON value from the journal to Python; null and a value of another kind stay unchanged."""
        return self.kind.read(value) if value is not None and self.kind.accepts(value) else value

    def to_json(self, value: Any) -> Any:
        """Convert a Python value to JSON, for the journal; None becomes null."""
        return None if value is None else self.kind.write(value)


class _DeclaredMember(NamedTuple):
    """A member of ``details`` and the corresponding attribute."""

    #: The name in Python.
    attribute: str
    #: The name in the journal.
    name: str
    rule: MemberRule
    #: True if the attribute has a default, which applies to an event without the member.
    has_default: bool


def checked_member(
    kind: ValueKind, meaning: str, *, name: str | None = None, optional: bool = False, typed: bool = False
) -> dict[str, Any]:
    """Return the metadata of a dataclass field that declares a checked member of ``details``.

    An event is unreadable if the value is not of ``kind``. ``meaning`` describes the value for docs/journal.md.
    ``name`` is the name in the journal; None if it is the name of the attribute. An ``optional`` member may be
    absent or null. ``typed`` means that a person typed the texts of the member.
    """
    return {_RULE: MemberRule(kind, meaning, name, is_checked=True, is_optional=optional, is_typed=typed)}


def noted_member(
    kind: ValueKind, meaning: str, *, name: str | None = None, optional: bool = False, typed: bool = False
) -> dict[str, Any]:
    """Return the metadata of a dataclass field that declares a noted member of ``details``.

    The member is written with a value of ``kind``, and read with any value. An event that is read may lack the
    member: the attribute then has its default, or None. A new event lacks the member only if it is ``optional``
    and the attribute is None. The other parameters are those of :func:`checked_member`.
    """
    return {_RULE: MemberRule(kind, meaning, name, is_checked=False, is_optional=optional, is_typed=typed)}


def filing_member() -> Any:
    """Return a dataclass field for the name of the filing, in events whose ``object`` does not begin with it.

    In format 2, such an event belongs to the chain of this filing.
    """
    return field(default=None, metadata=noted_member(TEXT, _FILING_MEANING, name=FILING_MEMBER, optional=True))


def act_member() -> Any:
    """Return a dataclass field for the id that is the same in all events of one act, one event for each filing."""
    return field(default=None, metadata=noted_member(TEXT, _ACT_MEANING, optional=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class EventDetails:
    """Base class of the details of each kind of event.

    The docstring of a subclass states when the event is written, and becomes a part of docs/journal.md.
    """

    #: The word for this kind in the journal.
    action: ClassVar[Action]
    #: A description of the event's ``object``, for docs/journal.md.
    object_meaning: ClassVar[str]
    #: The attachments that an event of this kind may have.
    attached_files: ClassVar[tuple[AttachedFile, ...]] = ()
    #: Maximum length of the details as canonical JSON in format 2, in characters.
    max_details_length: ClassVar[int] = _MAX_DETAILS_LENGTH

    @classmethod
    def _own_members(cls) -> tuple[_DeclaredMember, ...]:
        """Return the members that this class declares, in the order of the attributes."""
        # mypy confuses the __hash__ of the instances with that of the class.
        return _declared_members(cls)  # type: ignore[arg-type]

    @classmethod
    def member_rules(cls) -> Mapping[str, MemberRule]:
        """Return the rule of each member, by the member's name in the journal, in the order of the attributes."""
        return {member.name: member.rule for member in cls._own_members()}

    @classmethod
    def known_names(cls) -> frozenset[str]:
        """Return the names in the journal of all members."""
        # mypy confuses the __hash__ of the instances with that of the class.
        return _known_names(cls)  # type: ignore[arg-type]

    @classmethod
    def typed_members(cls) -> tuple[str, ...]:
        """Return the names in the journal of the members whose texts a person typed."""
        # mypy confuses the __hash__ of the instances with that of the class.
        return _typed_members(cls)  # type: ignore[arg-type]

    @classmethod
    def check_members(cls, details: Mapping[str, Any]) -> None:
        """Raise ValueError if a checked member of a journalled event is missing or of another kind.

        An optional member may be missing or null.
        """
        # mypy confuses the __hash__ of the instances with that of the class.
        for member_name, rule in _checked_members(cls):  # type: ignore[arg-type]
            member_value = details.get(member_name)
            is_omitted = member_value is None and rule.is_optional
            if not is_omitted and not (member_name in details and rule.kind.accepts(member_value)):
                raise ValueError(f"{member_name} is missing or of another kind")

    @classmethod
    def check_attachments(cls, attachment_names: Collection[str]) -> None:
        """Raise ValueError if an attachment that this kind of event requires is not in ``attachment_names``."""
        for attached_file in cls.attached_files:
            if attached_file.is_required and attached_file.name not in attachment_names:
                raise ValueError(f"{attached_file.name} is not attached")

    @classmethod
    def from_details(cls, details: Mapping[str, Any]) -> Self:
        """Return the details of a journalled event as an object of this class.

        Members that only a newer release knows are ignored. If a member is absent, the attribute has its default,
        or None if there is no default. Raises ValueError if a checked member is missing or of another kind.
        """
        cls.check_members(details)
        value_by_attribute = {}
        for member in cls._own_members():
            if member.name in details:
                value_by_attribute[member.attribute] = member.rule.to_python(details[member.name])
            elif not member.has_default:
                value_by_attribute[member.attribute] = None
        return cls(**value_by_attribute)

    def to_details(self) -> dict[str, Any]:
        """Return the details in the form of the journal; optional members that are None are left out."""
        details = {}
        for member in self._own_members():
            attribute_value = getattr(self, member.attribute)
            if attribute_value is not None or not member.rule.is_optional:
                details[member.name] = member.rule.to_json(attribute_value)
        return details


@cache
def _declared_members(details_class: type[Any]) -> tuple[_DeclaredMember, ...]:
    """Return the members in the order of the attributes; cached, because every event read needs them."""
    members = []
    for declared_field in fields(details_class):
        rule = declared_field.metadata[_RULE]
        members.append(
            _DeclaredMember(
                attribute=declared_field.name,
                name=rule.name or declared_field.name,
                rule=rule,
                has_default=declared_field.default is not MISSING,
            )
        )
    return tuple(members)


@cache
def _checked_members(details_class: type[Any]) -> tuple[tuple[str, MemberRule], ...]:
    """Return (name in the journal, rule) for each checked member; cached, because every event read is checked."""
    return tuple((name, rule) for name, rule in details_class.member_rules().items() if rule.is_checked)


@cache
def _known_names(details_class: type[Any]) -> frozenset[str]:
    """Return the names in the journal of all members; cached, because every event read is checked."""
    return frozenset(details_class.member_rules())


@cache
def _typed_members(details_class: type[Any]) -> tuple[str, ...]:
    """Return the names in the journal of the typed members; cached, because every event read is checked."""
    return tuple(name for name, rule in details_class.member_rules().items() if rule.is_typed)


class GivenDetails(NamedTuple):
    """Details from another process or release, which are journalled unchanged.

    Only for kinds without checked members, such as the notes that commands send to the daemon.
    """

    action: Action
    details: Mapping[str, Any]

    def to_details(self) -> dict[str, Any]:
        """Return the details without change."""
        return dict(self.details)


class WritableDetails(Protocol):
    """The details of a new event: an object of EventDetails or of GivenDetails."""

    @property
    def action(self) -> Action:
        """Return the kind of the event."""

    def to_details(self) -> dict[str, Any]:
        """Return the details in the form of the journal."""


def require_member(value: Value | None, name: str) -> Value:
    """Return the value of a noted member that the caller cannot do without. Raises ValueError if it is None.

    ``name`` is the member's name, for the error.
    """
    if value is None:
        raise ValueError(f"{name} is missing")
    return value
