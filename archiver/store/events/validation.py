"""Checks of an event's document, before writing and after reading.

An event that does not fit when it is read becomes a stand-in, of the action
:data:`archiver.store.events.actions.UNREADABLE`: it keeps its place in the chain, and everything but disposals
goes on.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from archiver.errors import LazyMessage, UsageError
from archiver.store.events.value_kinds import ENVELOPE, LARGEST, SMALLEST, fits_refs
from archiver.store.events.vocabulary import DETAILS_BY_ACTION

#: Levels of ``details`` that are written; what people and programs record needs three.
_DEEPEST = 4
#: Levels of a whole event that are read.  Python's parser gives up at a depth that depends on who calls it:
#: the same event was readable for one command and ended the next one.  More than any release wrote by itself.
_DEEPEST_READ = 100
_LONGEST_PATH = 100

_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


# --- before it is written


def check_new(action: str, about: str, details: Mapping[str, Any], attached: Collection[str]) -> None:
    """Refuse an event that could not be read back, or not by every program; raises UsageError with the field."""
    check_text(about, "object")
    if _CONTROL.search(about):
        raise _unfit("object", LazyMessage("a control character"))
    check_values(details)
    try:
        _check_details(action, details, attached)
    except ValueError as error:
        raise UsageError(
            "The event {action} could not be read back ({reason}). Nothing was recorded.",
            action=action,
            reason=error,
        ) from None


def check_values(details: Mapping[str, Any]) -> None:
    """Refuse details that JSON, SQLite or a parser could not carry; raises UsageError with the field."""
    _check_value(details, "details", 0)


def _check_value(value: object, path: str, depth: int) -> None:
    if isinstance(value, str):
        check_text(value, path)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise _unfit(path, LazyMessage("a number that is not finite"))
    elif isinstance(value, int):
        if not SMALLEST <= value <= LARGEST:
            raise _unfit(path, LazyMessage("a number of more than 64 bits"))
    elif isinstance(value, Mapping | list | tuple):
        if depth == _DEEPEST:
            raise _unfit(path, LazyMessage("more than {levels} levels", levels=_DEEPEST))
        for key, inner in _members(value, path):
            _check_value(inner, f"{path}.{key}", depth + 1)
    elif value is not None:
        raise _unfit(path, LazyMessage("a value of the kind {kind}", kind=type(value).__name__))


def _members(value: Mapping[Any, Any] | Sequence[Any], path: str) -> Iterable[tuple[Any, Any]]:
    if not isinstance(value, Mapping):
        return enumerate(value)
    for key in value:
        if not isinstance(key, str):
            # JSON would make text of it, and read another document back.
            raise _unfit(path, LazyMessage("a name that is no text"))
        check_text(key, path)
    return value.items()


def check_text(text: str, path: str) -> None:
    """Refuse a text with NUL or without a UTF-8 form; raises UsageError with ``path``."""
    if "\0" in text:
        raise _unfit(path, LazyMessage("a NUL character"))
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise _unfit(path, LazyMessage("bytes that are not UTF-8")) from None


def _unfit(path: str, what: LazyMessage) -> UsageError:
    return UsageError(
        "{field} cannot be journalled: it has {what} in it. Nothing was recorded. Say it in plain text.",
        field=path[:_LONGEST_PATH],
        what=what,
    )


# --- before anybody relies on it


def parse(data: bytes) -> dict[str, Any]:
    """Read the bytes of an event; raises ValueError as :func:`load` and :func:`check` do."""
    document = load(data)
    check(document)
    return document


def load(data: bytes) -> dict[str, Any]:
    """Read JSON as every program reads it: finite numbers, whole characters, not too deep; raises ValueError."""
    # Most events have few brackets: these cannot be too deep.
    if data.count(b"[") + data.count(b"{") > _DEEPEST_READ and _depth(data) > _DEEPEST_READ:
        raise ValueError("nested too deeply")
    try:
        document = _DECODER.decode(data.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if b"\\u" in data:
        # Half a surrogate pair can be written down, but is no text.
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    if not isinstance(document, dict):
        raise ValueError("not an object")
    return document


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_number(text)


_DECODER = json.JSONDecoder(parse_constant=_no_number, parse_float=_finite)


def _depth(data: bytes) -> int:
    depth = deepest = 0
    for byte in _STRINGS.sub(b"", data):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def check(document: Mapping[str, Any]) -> None:
    """Raise ValueError if a checked member or a required attachment is missing or unfit."""
    for name, (kind, _) in ENVELOPE.items():
        if name not in document or not kind.accepts(document[name]):
            raise ValueError(f"{name} is missing or of another kind")
    _check_details(document["action"], document["details"], [item["name"] for item in document["attachments"]])


def _check_details(action: str, details: Mapping[str, Any], attached: Collection[str]) -> None:
    details_class = DETAILS_BY_ACTION.get(action)
    if details_class is not None:
        details_class.check(details)
        details_class.check_attached(attached)


def refs_of(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the refs of an event, even of an unreadable one; empty if these are unreadable too."""
    refs = document.get("refs")
    return dict(refs) if isinstance(refs, dict) and fits_refs(refs) else {}
