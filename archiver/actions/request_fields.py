"""Convert requests to and from their wire form, as declared by the fields of the request class.

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

#: Characters. Lower, and a reason of one page is refused; higher, and a pasted document stays in the journal.
_MAX_TEXT_LENGTH = 4000
#: How many characters of an unknown argument's name an error quotes.
_MAX_QUOTE_LENGTH = 100


class TextRule(enum.Enum):
    """The treatment of a text by ``registry.perform_action`` before the action."""

    #: A person typed the text, and the journal keeps it: it is normalized, and control characters are refused.
    TYPED = "typed"
    #: The name of an existing object. The action looks the object up, and journals the object's own name.
    LOOKED_UP = "looked up"
    #: The name of the attached file. The name and the attachment require each other.
    NAMES_ATTACHMENT = "names attachment"


@dataclass(frozen=True, slots=True)
class Argument:
    """The wire form of a field of a request."""

    #: Part of the protocol: it never changes.
    wire_name: str
    text_rule: TextRule = TextRule.TYPED
    #: An empty value is not sent. Daemons of the first release refuse the request if they see the unknown name.
    is_omitted_when_empty: bool = False


class Request:
    """Base class of the requests, each a frozen dataclass with the arguments of one action."""

    __slots__ = ()


RequestType = TypeVar("RequestType", bound=Request)

#: Type of a field in Python -> type of its value in JSON.
_WIRE_TYPES: Mapping[object, type] = {str: str, int: int, bool: bool, date: str, tuple: list, Mapping: dict}


@dataclass(frozen=True, slots=True)
class RequestField:
    """A field of a request class, as read from the annotation."""

    #: The name in Python.
    attribute_name: str
    argument: Argument
    #: The type in Python: a key of ``_WIRE_TYPES``.
    value_type: object
    #: The value may be None.
    is_optional: bool

    def accepts(self, wire_value: object) -> bool:
        """Return True if a value from the socket has the type of this field."""
        if wire_value is None:
            return self.is_optional
        return isinstance(wire_value, _WIRE_TYPES[self.value_type])

    def from_wire(self, wire_value: Any) -> Any:
        """Return the Python value for a value that :meth:`accepts` has accepted.

        An empty text in place of an optional day means None. Raises UsageError if a text is not a day.
        """
        if wire_value is None:
            return None
        if self.value_type is date:
            return None if self.is_optional and not wire_value else parse_day(wire_value)
        return tuple(map(str, wire_value)) if self.value_type is tuple else wire_value

    def to_wire(self, value: Any) -> Any:
        """Return the JSON value for a Python value: a day becomes ISO 8601, and a tuple becomes a list."""
        if isinstance(value, date):
            return value.isoformat()
        return list(value) if isinstance(value, tuple) else value


def request_fields(request_type: type[Request]) -> tuple[RequestField, ...]:
    """Return the fields of a request class, in the order of their declaration.

    Raises TypeError if the class is not a frozen dataclass, or if a field has no :class:`Argument`, a type that
    cannot cross the socket, or the same wire name as another field.
    """
    dataclass_parameters = getattr(request_type, "__dataclass_params__", None)
    if dataclass_parameters is None or not dataclass_parameters.frozen:
        raise TypeError(f"{request_type.__name__} is not a frozen dataclass")
    hints = typing.get_type_hints(request_type, include_extras=True)
    fields = tuple(
        _describe_field(field, hints[field.name]) for field in dataclasses.fields(typing.cast("Any", request_type))
    )
    if len({field.argument.wire_name for field in fields}) < len(fields):
        raise TypeError(f"{request_type.__name__} gives a wire name twice")
    return fields


def _describe_field(field: dataclasses.Field[Any], annotation: Any) -> RequestField:
    """Return a field as described by its annotation, such as ``Annotated[date | None, Argument("on")]``.

    Raises TypeError if the annotation has no :class:`Argument`, or the type cannot cross the socket.
    """
    annotated_values = getattr(annotation, "__metadata__", ())
    argument = next((value for value in annotated_values if isinstance(value, Argument)), None)
    if argument is None:
        raise TypeError(f"{field.name} has no wire name")
    annotated_type = annotation.__origin__
    alternatives = [annotated_type]
    if isinstance(annotated_type, types.UnionType) or typing.get_origin(annotated_type) is typing.Union:
        alternatives = list(typing.get_args(annotated_type))
    is_optional = type(None) in alternatives
    # A generic type such as Mapping[str, Any] is reduced to Mapping: a wire value is only checked for its outer
    # type.
    value_types = [
        typing.get_origin(alternative) or alternative
        for alternative in alternatives
        if alternative is not type(None)
    ]
    if len(value_types) != 1 or value_types[0] not in _WIRE_TYPES:
        raise TypeError(f"{field.name} has a type that does not cross the socket")
    return RequestField(field.name, argument, value_types[0], is_optional)


def encode_request(request: Request) -> dict[str, Any]:
    """Return the arguments of a request in their wire form, by wire name."""
    arguments: dict[str, Any] = {}
    for field in request_fields(type(request)):
        value = getattr(request, field.attribute_name)
        if value or not field.argument.is_omitted_when_empty:
            arguments[field.argument.wire_name] = field.to_wire(value)
    return arguments


def decode_request(action_name: str, request_type: type[RequestType], arguments: Mapping[str, Any]) -> RequestType:
    """Return the request with these arguments, which are in their wire form, by wire name.

    A missing argument is None if the field allows None. Raises UsageError, with ``action_name``, if an argument is
    unknown, missing or of the wrong type, or if a text should be a day and is not.
    """
    field_by_wire_name = {field.argument.wire_name: field for field in request_fields(request_type)}
    for wire_name in [*field_by_wire_name, *arguments]:
        field = field_by_wire_name.get(wire_name)
        if field is None or not field.accepts(arguments.get(wire_name)):
            raise UsageError(
                "{name}: the argument {key} is unknown, missing, or of the wrong type. Nothing was changed. "
                "Check that the command and the daemon are the same release.",
                name=action_name,
                key=str(wire_name)[:_MAX_QUOTE_LENGTH],
            )
    return request_type(
        **{
            field.attribute_name: field.from_wire(arguments.get(wire_name))
            for wire_name, field in field_by_wire_name.items()
        }
    )


def normalize_texts(request: RequestType) -> RequestType:
    """Return the request with the texts that a person typed in the form for the journal.

    Other texts are returned unchanged. Raises UsageError if any text exceeds ``_MAX_TEXT_LENGTH`` characters, or
    if a typed text is not UTF-8 or contains control characters. Checked here because an event cannot be taken
    back.
    """
    text_by_field = {
        field: value
        for field in request_fields(type(request))
        if isinstance(value := getattr(request, field.attribute_name), str)
    }
    if any(len(text) > _MAX_TEXT_LENGTH for text in text_by_field.values()):
        raise UsageError(
            "A text is longer than {longest} characters. Nothing was changed. Shorten it and try again.",
            longest=_MAX_TEXT_LENGTH,
        )
    normalized_texts: dict[str, Any] = {
        field.attribute_name: names.clean_typed_text(text, field.argument.wire_name)
        for field, text in text_by_field.items()
        if field.argument.text_rule is TextRule.TYPED
    }
    return typing.cast("RequestType", dataclasses.replace(typing.cast("Any", request), **normalized_texts))


def attachment_name(request: Request) -> str | None:
    """Return the request's name for the attachment; None if no file is named."""
    for field in request_fields(type(request)):
        if field.argument.text_rule is TextRule.NAMES_ATTACHMENT:
            return typing.cast("str | None", getattr(request, field.attribute_name))
    return None
