"""Define the types of values in ``archiver.toml``, which check and convert the parsed values.

A type is independent of the key and the file, and several settings in ``settings.py`` share a type.
"""

from __future__ import annotations

import grp
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from archiver.errors import LazyMessage
from archiver.profiles import FLOOR_YEARS, PROFILES

T = TypeVar("T")

#: Longer than any sensible interval (19 years in minutes), and short enough for the kernel's timers.
_MAX_NUMBER = 10**7
#: More simultaneous transfers only make a bucket reply with "slow down".
_MAX_TRANSFERS = 64
_MAX_PORT = 0xFFFF  # of TCP


class InvalidValueError(Exception):
    """The value of a setting is not valid. The reason lacks the key, which the caller adds."""

    def __init__(self, reason: LazyMessage, subkey: str = "") -> None:
        """Refuse a value.

        ``reason`` completes a sentence that begins with the key. ``subkey`` is ".NAME" if only the member NAME of
        a table is wrong, and empty otherwise.
        """
        super().__init__(str(reason))
        self.reason = reason
        self.subkey = subkey


@dataclass(frozen=True)  # no slots: with them, Python 3.11 cannot make a ValueType[T]
class ValueType(Generic[T]):
    """Check a value of the file, and convert it to the value for the program and back."""

    #: Completes a sentence that begins with the key, such as "must be a text", in errors and docs/settings.md.
    requirement: LazyMessage
    #: Return True if a value of any type is valid. May raise InvalidValueError to give a more precise reason.
    accepts: Callable[[Any], bool]
    #: Convert an accepted value; the second argument is the folder of the file, where relative paths start.
    convert: Callable[[Any, Path], T]
    #: Convert a value for the program back to the form of the file.
    to_toml: Callable[[T], object] = lambda value: value
    #: The keys of the value if it is a table with fixed keys; empty for all other types.
    members: tuple[str, ...] = ()

    def parse(self, value: object, folder: Path) -> T:
        """Return the value for the program; ``value`` is None if a required key is missing.

        Relative paths start in ``folder``. Raises InvalidValueError if the value is invalid.
        """
        if not self.accepts(value):
            raise InvalidValueError(self.requirement)
        return self.convert(value, folder)


def decode_file_name(name: str) -> str:
    """Convert a name in the configuration file, which is UTF-8, to a file name for Python in this locale."""
    return os.fsdecode(name.encode("utf-8"))


def encode_file_name(path: str | Path) -> str:
    """Return a file name in the form of the configuration file; bytes that are not UTF-8 become surrogates."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def _keep_value(value: T, _folder: Path) -> T:
    return value


def _parse_path(value: str, folder: Path) -> Path:
    return Path(os.path.abspath(folder / decode_file_name(value)))


def _parse_optional_path(value: str, folder: Path) -> Path | None:
    return _parse_path(value, folder) if value else None


def _path_to_toml(path: Path | None) -> str | None:
    return None if path is None else encode_file_name(path)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_whole_number(value: object) -> bool:
    # In Python, True is an int; in the file, true is not a number.
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, float) or _is_whole_number(value)


def _is_text_list(value: object) -> bool:
    """Return True for a list, even an empty one, of texts that are not empty."""
    return isinstance(value, list) and all(isinstance(text, str) and text for text in value)


def _is_web_address(value: object) -> bool:
    return isinstance(value, str) and (not value or value.startswith(("http://", "https://")))


# --- numbers and switches

SWITCH = ValueType[bool](LazyMessage("must be true or false"), lambda value: isinstance(value, bool), _keep_value)


def _check_sm3_switch(toml_value: object) -> bool:
    """Return True if the value is a bool. Raises InvalidValueError for true if OpenSSL lacks SM3."""
    if toml_value is True and "sm3" not in hashlib.algorithms_available:
        raise InvalidValueError(LazyMessage("is true, but this system's OpenSSL does not support SM3"))
    return isinstance(toml_value, bool)


SM3_SWITCH = ValueType[bool](SWITCH.requirement, _check_sm3_switch, _keep_value)


def number(at_least: float) -> ValueType[float]:
    """Return the type of a number from ``at_least`` to ``_MAX_NUMBER``, with or without a fraction."""
    return ValueType(
        LazyMessage("must be a number, at least {least:g}", least=at_least),
        lambda value: _is_number(value) and at_least <= value <= _MAX_NUMBER,
        lambda value, _: float(value),
        # A whole number is written without a fraction, as people write it.
        lambda value: int(value) if value == int(value) else value,
    )


def whole_number(at_least: int, at_most: int, requirement: LazyMessage | None = None) -> ValueType[int]:
    """Return the type of a whole number from ``at_least`` to ``at_most``; ``requirement`` replaces the message."""
    usual_requirement = LazyMessage("must be a whole number from {least} to {most}", least=at_least, most=at_most)
    return ValueType(
        requirement or usual_requirement,
        lambda value: _is_whole_number(value) and at_least <= value <= at_most,
        _keep_value,
    )


def count(at_least: int) -> ValueType[int]:
    """Return the type of a number of days or items, from ``at_least`` to 100,000, which no real value exceeds."""
    return whole_number(at_least, 100_000, LazyMessage("must be a whole number, at least {least}", least=at_least))


def retention_years(at_most: int) -> ValueType[int]:
    """Return the type of a retention period in whole years, from the legal minimum FLOOR_YEARS to ``at_most``."""

    def check_years(toml_value: Any) -> bool:
        """Return True if the value is valid. Raises InvalidValueError for a period below the legal minimum."""
        if _is_whole_number(toml_value) and toml_value < FLOOR_YEARS:
            raise InvalidValueError(
                LazyMessage(
                    "is {value}, but filing materials must be retained for at least {floor} years",
                    value=toml_value,
                    floor=FLOOR_YEARS,
                )
            )
        return _is_whole_number(toml_value) and toml_value <= at_most

    return ValueType(
        LazyMessage("must be a whole number of years, at least {floor}", floor=FLOOR_YEARS),
        check_years,
        _keep_value,
    )


#: Fractions are accepted and cut off, because files for earlier releases may contain them.
TRANSFERS = ValueType[int](
    number(1).requirement, number(1).accepts, lambda value, _: min(_MAX_TRANSFERS, int(value))
)


# --- texts

TEXT = ValueType[str](LazyMessage("must be a string"), _is_text, _keep_value)
WEB_ADDRESS = ValueType[str](
    LazyMessage("must be an address that starts with http:// or https://"), _is_web_address, _keep_value
)
TEXTS = ValueType[tuple[str, ...]](
    LazyMessage("must be a list of strings"), _is_text_list, lambda value, _: tuple(value), list
)


def choice(choices: Sequence[str], requirement: LazyMessage, when_empty: str | None = None) -> ValueType[str]:
    """Return the type of a text in ``choices``; an empty text means ``when_empty``, and is invalid without."""
    return ValueType(
        requirement,
        lambda value: value in choices or (value == "" and when_empty is not None),
        lambda value, _: value or when_empty or "",
    )


def _is_time_zone(toml_value: Any) -> bool:
    """Return True if the value is the name of a time zone on this system."""
    try:
        ZoneInfo(toml_value)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        # ZoneInfo raises all of these, for example for another type, or for a path to a folder of the database.
        return False
    return True


TIME_ZONE = ValueType[str](
    LazyMessage("must be a time zone such as Asia/Shanghai"), _is_time_zone, lambda value, _: ZoneInfo(value).key
)


def _check_group(toml_value: object) -> bool:
    """Return True if the value is empty or a group's name. Raises InvalidValueError for an unknown group."""
    if not isinstance(toml_value, str):
        return False
    try:
        if toml_value:
            grp.getgrnam(toml_value)
    except KeyError:
        raise InvalidValueError(
            LazyMessage("refers to {group}, which is not a group on this server", group=toml_value)
        ) from None
    return True


GROUP = ValueType[str](LazyMessage("must be a group name"), _check_group, _keep_value)


class HostAndPort(NamedTuple):
    """A TCP address to listen on."""

    #: A name or address, without the brackets of IPv6.
    host: str
    port: int


def _is_loopback(value: object) -> bool:
    """Return True if the value is a loopback address and a port, with an IPv6 address in brackets."""
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    return host in ("127.0.0.1", "localhost", "[::1]") and port.isdigit() and 0 < int(port) <= _MAX_PORT


def _parse_host_and_port(value: str, _folder: Path) -> HostAndPort | None:
    host, _, port = value.rpartition(":")
    return HostAndPort(host.strip("[]"), int(port))


def _host_and_port_to_toml(address: HostAndPort | None) -> str | None:
    """Return HOST:PORT, with an IPv6 address in brackets; None for None."""
    if address is None:
        return None
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}"


LOOPBACK = ValueType[HostAndPort | None](
    LazyMessage("must be a loopback address and a port, such as 127.0.0.1:9750"),
    _is_loopback,
    _parse_host_and_port,
    _host_and_port_to_toml,
)


# --- names of files and folders

FOLDER = ValueType[Path](
    LazyMessage("must be the path of a folder"),
    lambda value: isinstance(value, str) and value != "" and "\0" not in value,
    _parse_path,
    _path_to_toml,
)
FILE = ValueType[Path | None](
    LazyMessage("must be the path of a file"),
    lambda value: isinstance(value, str) and value != "",
    _parse_path,
    _path_to_toml,
)
#: An empty text means no file.
OPTIONAL_FILE = ValueType[Path | None](TEXT.requirement, _is_text, _parse_optional_path, _path_to_toml)
#: The textfile collector of node_exporter ignores files with another suffix.
METRICS_FILE = ValueType[Path | None](
    LazyMessage("must be the path of a file that ends in .prom"),
    lambda value: isinstance(value, str) and value.endswith(".prom"),
    _parse_path,
    _path_to_toml,
)
FOLDER_NAME = ValueType[str](
    LazyMessage("must be a folder name"),
    lambda value: isinstance(value, str) and value != "" and "/" not in value,
    _keep_value,
)
FILE_NAMES = ValueType[tuple[str, ...]](
    TEXTS.requirement,
    _is_text_list,
    lambda value, _: tuple(map(decode_file_name, value)),
    lambda names: list(map(encode_file_name, names)),
)


# --- profiles, and tables of lists


def _check_profiles(toml_value: object) -> bool:
    """Return True if the value is a list of texts. Raises InvalidValueError for the first unknown profile."""
    if not isinstance(toml_value, list) or not all(isinstance(profile_name, str) for profile_name in toml_value):
        return False
    if unknown_profiles := [profile_name for profile_name in toml_value if profile_name not in PROFILES]:
        raise InvalidValueError(
            LazyMessage(
                "contains {profile}, which is not one of: {known}",
                profile=unknown_profiles[0],
                known=", ".join(PROFILES),
            )
        )
    return True


PROFILE_NAMES = ValueType[tuple[str, ...]](
    LazyMessage("must be a list of retention profiles: {known}", known=", ".join(PROFILES)),
    _check_profiles,
    lambda value, _: tuple(value),
    list,
)


def lists_by_key(
    list_type: ValueType[tuple[str, ...]], members: tuple[str, ...] = ()
) -> ValueType[Mapping[str, tuple[str, ...]]]:
    """Return the type of a table whose values are all lists of ``list_type``.

    The keys of the table are ``members``; the value for the program has these keys in this order, and no others.
    If ``members`` is empty, each key is the name of a folder. An error names the key of the wrong list.
    """

    def convert_table(table: Mapping[str, object], folder: Path) -> Mapping[str, tuple[str, ...]]:
        """Return the converted lists by key. Raises InvalidValueError, with the key, for a wrong list."""
        converted_lists = {}
        table_keys = [member for member in members if member in table] if members else list(table)
        for table_key in table_keys:
            try:
                converted_lists[decode_file_name(table_key)] = list_type.parse(table[table_key], folder)
            except InvalidValueError as error:
                raise InvalidValueError(error.reason, f".{table_key}") from None
        return converted_lists

    return ValueType(
        list_type.requirement if members else LazyMessage("must be a table in square brackets"),
        lambda value: isinstance(value, dict),
        convert_table,
        lambda lists: {encode_file_name(key): list(list_items) for key, list_items in lists.items()},
        members,
    )
