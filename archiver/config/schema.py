"""Declare each setting once, as the field of a dataclass, with its key, type, default and summary.

``settings.py`` is the table of all settings. The loader, the template of a new file, ``archiver config`` and
docs/settings.md iterate over these fields, so a new setting needs one new field and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field, fields, is_dataclass
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar

from archiver.config.value_types import ValueType
from archiver.errors import LazyMessage

T = TypeVar("T")  # the type of a value
D = TypeVar("D")  # the type of a default: T, or None where a missing key has no value


class Effect(StrEnum):
    """When a change of a setting takes effect."""

    #: Immediately for commands, and after a reload for the service.
    RELOAD = "reload"
    #: After a stop and a start of the service.
    RESTART = "restart"
    #: Never: the value was fixed when the archive was created.
    NEVER = "never"


class Setting(NamedTuple):
    """The declaration of a setting, in the metadata of a field."""

    #: TABLE.KEY; only TABLE if the setting is a whole table; only KEY in the table of a filing.
    key: str
    value_type: ValueType[Any]
    #: Help text for the file, and for docs/settings.md.
    summary: LazyMessage
    effect: Effect
    #: A value for the template, in the form of the file: the default, or a more helpful value.
    example: object
    #: In the form of the file. None if there is no default.
    default: object
    is_required: bool

    @property
    def table(self) -> str:
        """Return the name of the setting's table; for a setting of a filing, its key."""
        return self.key.partition(".")[0]

    @property
    def keys_in_table(self) -> tuple[str, ...]:
        """Return the keys that the setting occupies in its table."""
        return self.value_type.members or (self.key.rpartition(".")[2],)


class SettingValue(NamedTuple):
    """A setting with the configured value."""

    #: The key of the setting. For a setting of a filing, the table of the filing comes first.
    full_key: str
    setting: Setting
    #: In the form for the program; ``setting.value_type.to_toml`` converts the value to the form of the file.
    value: Any


def setting(
    key: str,
    value_type: ValueType[T],
    *,
    default: D,
    summary: LazyMessage,
    example: object = None,
    effect: Effect = Effect.RELOAD,
) -> T | D:
    """Declare the field of a dataclass as a setting with a default.

    ``default`` is a value in the form for the program, and ``example`` a value in the form of the file. Without an
    example, the template shows the default. The field must be annotated with the type of ``value_type``; if the
    default is None, the annotation must also allow None.
    """
    default_in_file = None if default is None else value_type.to_toml(default)  # type: ignore[arg-type]
    declared_setting = Setting(
        key=key,
        value_type=value_type,
        summary=summary,
        effect=effect,
        example=default_in_file if example is None else example,
        default=default_in_file,
        is_required=False,
    )
    metadata = {"setting": declared_setting}
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=metadata)  # type: ignore[return-value]
    return field(default=default, metadata=metadata)


def required_setting(
    key: str, value_type: ValueType[T], *, summary: LazyMessage, example: object, effect: Effect
) -> T:
    """Declare the field of a dataclass as a setting that every file must contain.

    ``example`` is a value for the template, in the form of the file. ``effect`` states when a change takes effect.
    """
    declared_setting = Setting(
        key=key,
        value_type=value_type,
        summary=summary,
        effect=effect,
        example=example,
        default=None,
        is_required=True,
    )
    declared_field: T = field(metadata={"setting": declared_setting})
    return declared_field


def tables_by_name(key: str, settings_class: type) -> Any:
    """Declare the field of a dataclass as a table of tables: [KEY.NAME] holds the settings of ``settings_class``.

    The value of the field maps each name to an object of ``settings_class``.
    """
    return field(default_factory=dict, metadata={"tables": key, "settings_class": settings_class})


def declared_settings(settings_class: type) -> Iterator[Setting]:
    """Yield the settings of a class and of its parts, in the order of their declaration.

    A part is a field whose default factory is another class of settings, such as ``Config.desk``. Settings of
    single filings are left out.
    """
    for declared_field in fields(settings_class):
        if "setting" in declared_field.metadata:
            yield declared_field.metadata["setting"]
        elif is_dataclass(part_class := declared_field.default_factory):
            yield from declared_settings(part_class)


def setting_values(settings_object: Any, prefix: str = "") -> Iterator[SettingValue]:
    """Yield every setting of ``settings_object``, of its parts and of single filings, each with its value.

    The settings come in the order of their declaration. ``prefix``, such as ``filings.NAME.`` for the settings of
    a filing, is put in front of each key.
    """
    for declared_field in fields(settings_object):
        field_value = getattr(settings_object, declared_field.name)
        if "setting" in declared_field.metadata:
            declared_setting: Setting = declared_field.metadata["setting"]
            yield SettingValue(f"{prefix}{declared_setting.key}", declared_setting, field_value)
        elif is_dataclass(field_value):
            yield from setting_values(field_value, prefix)
        elif "tables" in declared_field.metadata:
            for table_name, named_settings in field_value.items():
                yield from setting_values(named_settings, f"{declared_field.metadata['tables']}.{table_name}.")
