"""Types of values in ``archiver.toml``: each accepts or refuses a parsed value, and states a requirement.

A type knows neither key nor file, so that the table in ``schema.py`` gives one type to many settings.
"""

from __future__ import annotations

import grp
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from archiver.errors import LazyMessage
from archiver.profiles import FLOOR_YEARS, PROFILES

T = TypeVar("T")

#: Beyond any sensible interval (19 years in minutes), and far below what overflows the kernel's timers.
_MAX_NUMBER = 10**7
#: More connections at once only make a bucket answer with "slow down".
_MAX_TRANSFERS = 64


class InvalidValueError(Exception):
    """The error for a value of a setting that is refused.

    ``reason`` completes a sentence that begins with the key; ``subkey`` extends the key if only a part is wrong.
    """

    def __init__(self, reason: LazyMessage, subkey: str = "") -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.subkey = subkey


@dataclass(frozen=True)  # no slots: with them, Python 3.11 cannot make a ValueType[T]
class ValueType(Generic[T]):
    """Convert between a value of the file and a value for the program."""

    #: Completes a sentence that begins with the key: the error message, and a column in the page of settings.
    requirement: LazyMessage
    #: Decide on a value of any type; may raise InvalidValueError to give another reason.
    accepts: Callable[[Any], bool]
    #: Convert an accepted value; relative paths start in the folder of the file.
    convert: Callable[[Any, Path], T]
    #: Convert back to what a file would hold.
    to_toml: Callable[[T], object] = lambda value: value
    #: The keys below this one, if the value is a table with fixed keys.
    members: tuple[str, ...] = ()

    def parse(self, value: object, folder: Path) -> T:
        """Convert ``value`` (None: the key is missing); raises InvalidValueError for anything unacceptable."""
        if not self.accepts(value):
            raise InvalidValueError(self.requirement)
        return self.convert(value, folder)


def decode_file_name(name: str) -> str:
    """Return ``name`` as Python spells a file name in this locale: the file is always UTF-8, a path is bytes."""
    return os.fsdecode(name.encode("utf-8"))


def encode_file_name(path: str | Path) -> str:
    """Return a file name in the form of the file; other bytes than UTF-8 stay escaped."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def _keep_value(value: T, _folder: Path) -> T:
    return value


def _as_path(value: str, folder: Path) -> Path:
    return Path(os.path.abspath(folder / decode_file_name(value)))


def _as_optional_path(value: str, folder: Path) -> Path | None:
    return _as_path(value, folder) if value else None


def _path_to_toml(path: Path | None) -> str | None:
    return None if path is None else encode_file_name(path)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_whole(value: object) -> bool:
    # True is an int in Python, but a mistake in the file.
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, float) or _is_whole(value)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and item for item in value)


def _is_web_address(value: object) -> bool:
    return isinstance(value, str) and (not value or value.startswith(("http://", "https://")))


# --- numbers and switches

SWITCH = ValueType[bool](LazyMessage("must be true or false"), lambda value: isinstance(value, bool), _keep_value)


def _accepts_sm3(value: object) -> bool:
    if value is True and "sm3" not in hashlib.algorithms_available:
        raise InvalidValueError(LazyMessage("is true, but this system's OpenSSL has no SM3"))
    return isinstance(value, bool)


SM3_SWITCH = ValueType[bool](SWITCH.requirement, _accepts_sm3, _keep_value)


def number(at_least: float) -> ValueType[float]:
    """Accept a number with a lower limit."""
    return ValueType(
        LazyMessage("must be a number of at least {least:g}", least=at_least),
        lambda value: _is_number(value) and at_least <= value <= _MAX_NUMBER,
        lambda value, _: float(value),
        lambda value: int(value) if value == int(value) else value,
    )


def whole_number(at_least: int, at_most: int, requirement: LazyMessage | None = None) -> ValueType[int]:
    """Accept a whole number with two limits; ``requirement`` replaces the usual wording."""
    usual_requirement = LazyMessage("must be a whole number from {least} to {most}", least=at_least, most=at_most)
    return ValueType(
        requirement or usual_requirement,
        lambda value: _is_whole(value) and at_least <= value <= at_most,
        _keep_value,
    )


def count(at_least: int) -> ValueType[int]:
    """Accept a number of things or of days."""
    return whole_number(at_least, 100_000, LazyMessage("must be a whole number, {least} or more", least=at_least))


def retention_years(at_most: int) -> ValueType[int]:
    """Accept a period from the program's floor on, with a separate reason for a shorter period."""

    def accepts_years(value: Any) -> bool:
        if _is_whole(value) and value < FLOOR_YEARS:
            raise InvalidValueError(
                LazyMessage(
                    "is {value}, but filing materials are kept at least {floor} years",
                    value=value,
                    floor=FLOOR_YEARS,
                )
            )
        return _is_whole(value) and value <= at_most

    return ValueType(
        LazyMessage("must be a whole number of years, {floor} or more", floor=FLOOR_YEARS),
        accepts_years,
        _keep_value,
    )


#: A number, for releases that accepted fractions; the client takes a whole number of transfers.
TRANSFERS = ValueType[int](
    number(1).requirement, number(1).accepts, lambda value, _: min(_MAX_TRANSFERS, int(value))
)


# --- texts

TEXT = ValueType[str](LazyMessage("must be a text"), _is_text, _keep_value)
WEB_ADDRESS = ValueType[str](
    LazyMessage("must be an address that begins with http:// or https://"), _is_web_address, _keep_value
)
TEXTS = ValueType[tuple[str, ...]](
    LazyMessage("must be a list of texts"), _is_texts, lambda value, _: tuple(value), list
)


def choice(choices: Sequence[str], requirement: LazyMessage, when_empty: str | None = None) -> ValueType[str]:
    """Accept a member of ``choices``, and an empty text for ``when_empty`` unless None."""
    return ValueType(
        requirement,
        lambda value: value in choices or (value == "" and when_empty is not None),
        lambda value, _: value or when_empty or "",
    )


def _is_zone(value: Any) -> bool:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        # Unusable, whatever ZoneInfo raises: a wrong type, a path out of the database, a folder.
        return False
    return True


TIME_ZONE = ValueType[str](
    LazyMessage("must be a time zone such as Asia/Shanghai"), _is_zone, lambda value, _: ZoneInfo(value).key
)


def _accepts_group(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        if value:
            grp.getgrnam(value)
    except KeyError:
        raise InvalidValueError(
            LazyMessage("names {group}, which is no group of this server", group=value)
        ) from None
    return True


GROUP = ValueType[str](LazyMessage("must be the name of a group"), _accepts_group, _keep_value)


def _is_loopback(value: object) -> bool:
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    return host in ("127.0.0.1", "localhost", "[::1]") and port.isdigit() and 0 < int(port) < 65536


def _as_host_and_port(value: str, _folder: Path) -> tuple[str, int] | None:
    host, _, port = value.rpartition(":")
    return host.strip("[]"), int(port)


def _host_and_port_to_toml(address: tuple[str, int] | None) -> str | None:
    if address is None:
        return None
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


LOOPBACK = ValueType[tuple[str, int] | None](
    LazyMessage("must be a loopback address and a port, as in 127.0.0.1:9750"),
    _is_loopback,
    _as_host_and_port,
    _host_and_port_to_toml,
)


# --- names of files and folders

FOLDER = ValueType[Path](
    LazyMessage("must name a folder"),
    lambda value: isinstance(value, str) and value != "" and "\0" not in value,
    _as_path,
    _path_to_toml,
)
FILE = ValueType[Path | None](
    LazyMessage("must name a file"), lambda value: isinstance(value, str) and value != "", _as_path, _path_to_toml
)
#: An empty text means that there is none.
OPTIONAL_FILE = ValueType[Path | None](TEXT.requirement, _is_text, _as_optional_path, _path_to_toml)
#: node_exporter reads no other files.
METRICS_FILE = ValueType[Path | None](
    LazyMessage("must name a file that ends in .prom"),
    lambda value: isinstance(value, str) and value.endswith(".prom"),
    _as_path,
    _path_to_toml,
)
FOLDER_NAME = ValueType[str](
    LazyMessage("must be the name of a folder"),
    lambda value: isinstance(value, str) and value != "" and "/" not in value,
    _keep_value,
)
FILE_NAMES = ValueType[tuple[str, ...]](
    TEXTS.requirement,
    _is_texts,
    lambda value, _: tuple(map(decode_file_name, value)),
    lambda names: list(map(encode_file_name, names)),
)


# --- profiles, and tables of lists


def _accepts_profiles(value: object) -> bool:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        return False
    if unknown_profiles := [name for name in value if name not in PROFILES]:
        raise InvalidValueError(
            LazyMessage(
                "names {profile}, which is not one of: {known}",
                profile=unknown_profiles[0],
                known=", ".join(PROFILES),
            )
        )
    return True


PROFILE_NAMES = ValueType[tuple[str, ...]](
    LazyMessage("must be a list of profiles: {known}", known=", ".join(PROFILES)),
    _accepts_profiles,
    lambda value, _: tuple(value),
    list,
)


def lists_by_key(
    item_type: ValueType[tuple[str, ...]], members: tuple[str, ...] = ()
) -> ValueType[Mapping[str, tuple[str, ...]]]:
    """Accept a table of lists; the keys are ``members``, in the same order, or any folder names without."""

    def convert_table(table: Mapping[str, object], folder: Path) -> Mapping[str, tuple[str, ...]]:
        converted_lists = {}
        for key in [member for member in members if member in table] if members else table:
            try:
                converted_lists[decode_file_name(key)] = item_type.parse(table[key], folder)
            except InvalidValueError as error:
                raise InvalidValueError(error.reason, f".{key}") from None
        return converted_lists

    return ValueType(
        item_type.requirement if members else LazyMessage("must be a table in square brackets"),
        lambda value: isinstance(value, dict),
        convert_table,
        lambda lists: {encode_file_name(key): list(items) for key, items in lists.items()},
        members,
    )
