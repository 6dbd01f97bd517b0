"""Convert requests to and from their form on the socket (*wire form*), as the request class declares it.

Every field carries an :class:`Argument`, so that its Python name may change while its name on the wire stays::

    received_on: Annotated[date, Argument("received")]
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

from archiver.errors import UsageError
from archiver.filings.typed_days import parse_day
from archiver.store import names

#: The most characters of an unknown argument's name in an error message.
_MAX_QUOTED_NAME_LENGTH = 100


class TextRule(enum.Enum):
    """The rule by which ``registry.perform_action`` checks or changes a text before the action."""

    #: A person typed the text, and the journal keeps it: it is normalized, and control characters are refused.
    TYPED = "typed"
    #: The name of an existing object. The action looks the object up, and journals the object's own name.
    LOOKED_UP = "looked up"
    #: The name of the attached file. A name without an attachment is refused, and the reverse.
    NAMES_ATTACHMENT = "names attachment"


@dataclass(frozen=True, slots=True)
class Argument:
    """The wire name of a request's field, and the rules for the value."""

    #: Part of the protocol: it never changes.
    wire_name: str
    text_rule: TextRule = TextRule.TYPED
    #: True: an empty value is not sent. Daemons of the first release do not know the name, and refuse the request.
    is_omitted_when_empty: bool = False


class Request:
    """Base class of all requests: a request is a frozen dataclass with the arguments of one action."""

    __slots__ = ()


RequestType = TypeVar("RequestType", bound=Request)

#: Type of a field in Python -> type of the value in JSON.
_WIRE_TYPES: Mapping[object, type] = {str: str, int: int, bool: bool, date: str, tuple: list, Mapping: dict}


@dataclass(frozen=True, slots=True)
class RequestField:
    """A field of a request class, as declared by its annotation."""

    #: The name in Python.
    attribute_name: str
    argument: Argument
    #: The type in Python: a key of ``_WIRE_TYPES``.
    value_type: object
    #: True if the value may be None.
    is_optional: bool

    def accepts(self, wire_value: object) -> bool:
        """Return True if a value from the socket has the type of this field."""
        if wire_value is None:
            return self.is_optional
        return isinstance(wire_value, _WIRE_TYPES[self.value_type])

    def from_wire(self, wire_value: Any) -> Any:
        """Return the Python value for ``wire_value``, which :meth:`accepts` must have accepted.

        For an optional day, an empty text means None. Raises UsageError if the text for a day is not a day.
        """
        if wire_value is None:
            return None
        if self.value_type is date:
            return None if self.is_optional and not wire_value else parse_day(wire_value)
        # Every tuple holds texts, but accepts() has not checked the members of the list.
        return tuple(map(str, wire_value)) if self.value_type is tuple else wire_value

    def to_wire(self, field_value: Any) -> Any:
        """Return the JSON value for a Python value: a day becomes an ISO 8601 text, and a tuple becomes a list."""
        if isinstance(field_value, date):
            return field_value.isoformat()
        return list(field_value) if isinstance(field_value, tuple) else field_value


def request_fields(request_type: type[Request]) -> tuple[RequestField, ...]:
    """Return the fields of a request class, in the order of their declaration.

    Raises TypeError if the class is not a frozen dataclass, or if a field has no :class:`Argument`, a type that
    cannot cross the socket, or the same wire name as another field.
    """
    dataclass_parameters = getattr(request_type, "__dataclass_params__", None)
    if dataclass_parameters is None or not dataclass_parameters.frozen:
        raise TypeError(f"{request_type.__name__} is not a frozen dataclass")
    field_annotations = typing.get_type_hints(request_type, include_extras=True)
    fields = tuple(
        _describe_field(field, field_annotations[field.name])
        for field in dataclasses.fields(typing.cast("Any", request_type))
    )
    if len({field.argument.wire_name for field in fields}) < len(fields):
        raise TypeError(f"{request_type.__name__} gives a wire name twice")
    return fields


def _describe_field(field: dataclasses.Field[Any], annotation: Any) -> RequestField:
    """Return a field as declared by the annotation, such as ``Annotated[date | None, Argument("on")]``.

    Raises TypeError if the annotation has no :class:`Argument`, or if the type cannot cross the socket.
    """
    annotation_metadata = getattr(annotation, "__metadata__", ())
    argument = next((metadata for metadata in annotation_metadata if isinstance(metadata, Argument)), None)
    if argument is None:
        raise TypeError(f"{field.name} has no wire name")
    # Of Annotated[TYPE, ...], the origin is TYPE. An optional TYPE is written as X | None or as Optional[X].
    annotated_type = annotation.__origin__
    union_members = [annotated_type]
    if isinstance(annotated_type, types.UnionType) or typing.get_origin(annotated_type) is typing.Union:
        union_members = list(typing.get_args(annotated_type))
    is_optional = type(None) in union_members
    # Mapping[str, Any] is reduced to Mapping, because only the outer type of a wire value is checked.
    value_types = [
        typing.get_origin(member_type) or member_type
        for member_type in union_members
        if member_type is not type(None)
    ]
    if len(value_types) != 1 or value_types[0] not in _WIRE_TYPES:
        raise TypeError(f"{field.name} has a type that does not cross the socket")
    return RequestField(field.name, argument, value_types[0], is_optional)


def encode_request(request: Request) -> dict[str, Any]:
    """Return the arguments of a request in the wire form, by wire name."""
    arguments: dict[str, Any] = {}
    for field in request_fields(type(request)):
        field_value = getattr(request, field.attribute_name)
        if field_value or not field.argument.is_omitted_when_empty:
            arguments[field.argument.wire_name] = field.to_wire(field_value)
    return arguments


def decode_request(action_name: str, request_type: type[RequestType], arguments: Mapping[str, Any]) -> RequestType:
    """Return a request of the class ``request_type`` with ``arguments``: wire values by wire name.

    A missing argument is None if the field may be None. Raises UsageError if an argument is unknown, missing or of
    the wrong type, with ``action_name`` in the message, or if the text for a day is not a day.
    """
    field_by_wire_name = {field.argument.wire_name: field for field in request_fields(request_type)}
    for wire_name in [*field_by_wire_name, *arguments]:
        field = field_by_wire_name.get(wire_name)
        if field is None or not field.accepts(arguments.get(wire_name)):
            raise UsageError(
                "{name}: the argument {key} is unknown, missing, or of the wrong type. Nothing was changed. "
                "Check that the command and the service are the same release.",
                name=action_name,
                key=str(wire_name)[:_MAX_QUOTED_NAME_LENGTH],
            )
    return request_type(
        **{
            field.attribute_name: field.from_wire(arguments.get(wire_name))
            for wire_name, field in field_by_wire_name.items()
        }
    )


def normalize_texts(request: RequestType) -> RequestType:
    """Return a copy of the request, in which the texts that a person typed have the form for the journal.

    Other texts stay unchanged. All texts are checked before the action, because an event cannot be withdrawn.
    Raises UsageError if any text is too long, or if a typed text is not UTF-8 or contains control characters.
    """
    text_by_field = {
        field: field_value
        for field in request_fields(type(request))
        if isinstance(field_value := getattr(request, field.attribute_name), str)
    }
    for field, text in text_by_field.items():
        if len(text) > names.MAX_TYPED_LENGTH:
            raise names.too_long_error(field.argument.wire_name, names.MAX_TYPED_LENGTH)
    normalized_texts: dict[str, Any] = {
        field.attribute_name: names.clean_typed_text(text, field.argument.wire_name)
        for field, text in text_by_field.items()
        if field.argument.text_rule is TextRule.TYPED
    }
    return typing.cast("RequestType", dataclasses.replace(typing.cast("Any", request), **normalized_texts))


def find_attachment_name(request: Request) -> str | None:
    """Return the name that the request gives to the attachment; None if the request names no file."""
    for field in request_fields(type(request)):
        if field.argument.text_rule is TextRule.NAMES_ATTACHMENT:
            return typing.cast("str | None", getattr(request, field.attribute_name))
    return None
