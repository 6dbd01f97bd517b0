"""How the fields of a request cross the socket: wire names, kinds and checks, read from the dataclass itself.

Every field carries an :class:`Argument`, so that its name in Python may change while its name on the wire stays::

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

#: Lower, and a reason of a page is refused; higher, and one event of the journal is as long as a document.
_LONGEST_TEXT = 4000
#: Of a name that nobody knows, so much is shown.
_LONGEST_QUOTE = 100


class TextRule(enum.Enum):
    """Treatment of a text before an action gets it."""

    TYPED = "typed"  # a person wrote it and the journal keeps it: control characters are refused
    LOOKED_UP = "looked up"  # the name of something that exists: only what it leads to is journalled
    NAMES_ATTACHMENT = "names attachment"  # a file's name: never without the file, nor the file without it


@dataclass(frozen=True, slots=True)
class Argument:
    """The wire form of a field of a request.  ``name`` is part of the protocol and never changes."""

    name: str
    text_rule: TextRule = TextRule.TYPED
    #: Left out when empty, because daemons of the first release do not know the name.
    is_omitted_when_empty: bool = False


class Request:
    """The arguments of an action.  Subclasses are frozen dataclasses; a type without fields takes none."""

    __slots__ = ()


RequestType = TypeVar("RequestType", bound=Request)

#: The type of a field -> the type of its value in JSON.
_WIRE_TYPES: Mapping[object, type] = {str: str, int: int, bool: bool, date: str, tuple: list, Mapping: dict}


@dataclass(frozen=True, slots=True)
class RequestField:
    """A field of a request class: name in Python, wire form, type."""

    attribute: str
    argument: Argument
    value_type: object
    is_optional: bool

    def accepts(self, wire_value: object) -> bool:
        """Return True if a value from the socket has the kind of this field."""
        if wire_value is None:
            return self.is_optional
        return isinstance(wire_value, _WIRE_TYPES[self.value_type])

    def from_wire(self, wire_value: Any) -> Any:
        """Return the value for Python.  Raises UsageError if a text is not a day, where one is expected."""
        if wire_value is None:
            return None
        if self.value_type is date:
            return None if self.is_optional and not wire_value else parse_day(wire_value)
        return tuple(map(str, wire_value)) if self.value_type is tuple else wire_value

    def to_wire(self, value: Any) -> Any:
        """Return the value for JSON, the inverse of :meth:`from_wire`."""
        if isinstance(value, date):
            return value.isoformat()
        return list(value) if isinstance(value, tuple) else value


def request_fields(request_type: type[Request]) -> tuple[RequestField, ...]:
    """Return the fields of a request class.

    Raises TypeError if the class is no frozen dataclass, or a field of it has no :class:`Argument`, a type that
    does not cross the socket, or the wire name of another.
    """
    parameters = getattr(request_type, "__dataclass_params__", None)
    if parameters is None or not parameters.frozen:
        raise TypeError(f"{request_type.__name__} is not a frozen dataclass")
    hints = typing.get_type_hints(request_type, include_extras=True)
    fields = tuple(
        _describe_field(field, hints[field.name]) for field in dataclasses.fields(typing.cast("Any", request_type))
    )
    if len({field.argument.name for field in fields}) < len(fields):
        raise TypeError(f"{request_type.__name__} gives a wire name twice")
    return fields


def _describe_field(field: dataclasses.Field[Any], hint: Any) -> RequestField:
    """Read a field's wire form and type from the annotation.  Raises TypeError if either is missing."""
    argument = next((mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, Argument)), None)
    if argument is None:
        raise TypeError(f"{field.name} has no wire name")
    choices = [hint.__origin__]
    if isinstance(hint.__origin__, types.UnionType) or typing.get_origin(hint.__origin__) is typing.Union:
        choices = list(typing.get_args(hint.__origin__))
    is_optional = type(None) in choices
    value_types = [typing.get_origin(choice) or choice for choice in choices if choice is not type(None)]
    if len(value_types) != 1 or value_types[0] not in _WIRE_TYPES:
        raise TypeError(f"{field.name} has a type that does not cross the socket")
    return RequestField(field.name, argument, value_types[0], is_optional)


def encode_request(request: Request) -> dict[str, Any]:
    """Return the arguments of a request in their wire form."""
    arguments = {}
    for field in request_fields(type(request)):
        value = getattr(request, field.attribute)
        if value or not field.argument.is_omitted_when_empty:
            arguments[field.argument.name] = field.to_wire(value)
    return arguments


def decode_request(action_name: str, request_type: type[RequestType], arguments: Mapping[str, Any]) -> RequestType:
    """Build a request from arguments in their wire form.

    Raises UsageError if an argument is unknown, missing, of the wrong kind, or not a day where one is expected.
    """
    fields = {field.argument.name: field for field in request_fields(request_type)}
    for name in [*fields, *arguments]:
        if name not in fields or not fields[name].accepts(arguments.get(name)):
            raise UsageError(
                "{name}: {key} is unknown, missing or of the wrong kind. Nothing was changed. The command and the "
                "daemon may be of different releases.",
                name=action_name,
                key=str(name)[:_LONGEST_QUOTE],
            )
    return request_type(
        **{field.attribute: field.from_wire(arguments.get(name)) for name, field in fields.items()}
    )


def normalize_texts(request: RequestType) -> RequestType:
    """Return the request with typed texts in the form for the journal.

    Raises UsageError if a text is too long, not UTF-8, or holds control characters: once journalled, it would
    stay for ever.
    """
    texts = {
        field: value
        for field in request_fields(type(request))
        if isinstance(value := getattr(request, field.attribute), str)
    }
    if any(len(text) > _LONGEST_TEXT for text in texts.values()):
        raise UsageError(
            "A text is longer than {longest} characters. Nothing was changed. Say it shorter.",
            longest=_LONGEST_TEXT,
        )
    normalized: dict[str, Any] = {
        field.attribute: names.typed(text, field.argument.name)
        for field, text in texts.items()
        if field.argument.text_rule is TextRule.TYPED
    }
    return typing.cast("RequestType", dataclasses.replace(typing.cast("Any", request), **normalized))


def attachment_name(request: Request) -> str | None:
    """Return the name of the attachment in the request, or None without a name."""
    for field in request_fields(type(request)):
        if field.argument.text_rule is TextRule.NAMES_ATTACHMENT:
            return typing.cast("str | None", getattr(request, field.attribute))
    return None
