"""Declare a setting once, as the field of a dataclass, with key, type, default and summary.

``settings.py`` is the table of all settings.  The loader, the text of a new file, ``archiver config`` and
docs/settings.md walk through the classes, so that a new setting takes a new field and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from enum import StrEnum
from typing import Any, TypeVar

from archiver.config.value_types import ValueType
from archiver.errors import LazyMessage

T = TypeVar("T")
D = TypeVar("D")


class Effect(StrEnum):
    """When a change of a setting takes effect."""

    #: For commands at once, for the service after a reload.
    RELOAD = "reload"
    #: After a stop and a start of the service.
    RESTART = "restart"
    #: Never: it was fixed when the archive was made.
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Setting:
    """A key of the file: TABLE.KEY, only TABLE for a table of fixed keys, only KEY in the table of a filing."""

    key: str
    value_type: ValueType[Any]
    summary: LazyMessage
    effect: Effect
    #: For the text of a new file, if the default shows nothing.
    example: object
    #: In the form of the file; None for no default.
    default: object
    is_required: bool

    @property
    def table(self) -> str:
        """Return the name of the key's table."""
        return self.key.partition(".")[0]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the keys within the table."""
        return self.value_type.members or (self.key.rpartition(".")[2],)


def setting(
    key: str,
    value_type: ValueType[T],
    *,
    default: D,
    summary: LazyMessage,
    example: object = None,
    effect: Effect = Effect.RELOAD,
) -> T | D:
    """Declare a field with a default as a setting; ``value_type`` has to match the type of the field."""
    default_in_file = None if default is None else value_type.to_toml(default)  # type: ignore[arg-type]
    declared_setting = Setting(
        *(key, value_type, summary, effect),
        example=default_in_file if example is None else example,
        default=default_in_file,
        is_required=False,
    )
    metadata = {"setting": declared_setting}
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=metadata)  # type: ignore[return-value]
    return field(default=default, metadata=metadata)


def required(key: str, value_type: ValueType[T], *, summary: LazyMessage, example: object, effect: Effect) -> T:
    """Declare a field without a default as a setting."""
    declared_setting = Setting(key, value_type, summary, effect, example, default=None, is_required=True)
    declared_field: T = field(metadata={"setting": declared_setting})
    return declared_field


def table_of(key: str, group: type) -> Any:
    """Declare a field as named tables below ``key``, each with the settings of ``group``."""
    return field(default_factory=dict, metadata={"tables": key, "group": group})


def settings_of(group: type) -> Iterator[Setting]:
    """Yield the settings declared by a class and by the classes of the parts."""
    for declared_field in fields(group):
        if "setting" in declared_field.metadata:
            yield declared_field.metadata["setting"]
        elif is_dataclass(part := declared_field.default_factory):
            yield from settings_of(part)


def values_of(group: Any, prefix: str = "") -> Iterator[tuple[str, Setting, Any]]:
    """Yield full key, setting and value of everything declared in an object and in the parts."""
    for declared_field in fields(group):
        field_value = getattr(group, declared_field.name)
        if "setting" in declared_field.metadata:
            setting: Setting = declared_field.metadata["setting"]
            yield f"{prefix}{setting.key}", setting, field_value
        elif is_dataclass(field_value):
            yield from values_of(field_value, prefix)
        elif "tables" in declared_field.metadata:
            for table_name, table in field_value.items():
                yield from values_of(table, f"{declared_field.metadata['tables']}.{table_name}.")
