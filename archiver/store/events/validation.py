"""Check an event's document before it is written and after it is read.

An unfit event that is read becomes a stand-in with the action ``event_kinds.UNREADABLE``, which keeps its place in
the chain.  Everything but disposals goes on: the event may have been a hold.
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

#: Levels of ``details`` that are written: records of people and programs need three, and deeper ones only cost
#: every reader.
_MAX_WRITTEN_LEVELS = 4
#: Levels of a whole event that are read.  Python's parser gives up at a depth that depends on who calls it:
#: the same event was readable for one command and ended the next one.  More than any release wrote by itself.
_MAX_READ_LEVELS = 100
_MAX_PATH_CHARACTERS = 100

_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


# --- before it is written


def check_new(action: str, about: str, details: Mapping[str, Any], attached: Collection[str]) -> None:
    """Raise UsageError, with the field, for an event that some program could not read back."""
    check_text(about, "object")
    if _CONTROL.search(about):
        raise _unfit_error("object", LazyMessage("a control character"))
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
    """Raise UsageError, with the field, for details that JSON, SQLite or a parser cannot carry."""
    _check_value(details, "details", 0)


def _check_value(value: object, path: str, depth: int) -> None:
    if isinstance(value, str):
        check_text(value, path)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise _unfit_error(path, LazyMessage("a number that is not finite"))
    elif isinstance(value, int):
        if not SMALLEST <= value <= LARGEST:
            raise _unfit_error(path, LazyMessage("a number of more than 64 bits"))
    elif isinstance(value, Mapping | list | tuple):
        if depth == _MAX_WRITTEN_LEVELS:
            raise _unfit_error(path, LazyMessage("more than {levels} levels", levels=_MAX_WRITTEN_LEVELS))
        for key, member in _check_keys(value, path):
            _check_value(member, f"{path}.{key}", depth + 1)
    elif value is not None:
        raise _unfit_error(path, LazyMessage("a value of the kind {kind}", kind=type(value).__name__))


def _check_keys(value: Mapping[Any, Any] | Sequence[Any], path: str) -> Iterable[tuple[Any, Any]]:
    if not isinstance(value, Mapping):
        return enumerate(value)
    for key in value:
        if not isinstance(key, str):
            # JSON would turn the name into text, and another document would be read back.
            raise _unfit_error(path, LazyMessage("a name that is no text"))
        check_text(key, path)
    return value.items()


def check_text(text: str, path: str) -> None:
    """Raise UsageError, with ``path``, for a text that contains NUL or has no UTF-8 form."""
    if "\0" in text:
        raise _unfit_error(path, LazyMessage("a NUL character"))
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise _unfit_error(path, LazyMessage("bytes that are not UTF-8")) from None


def _unfit_error(path: str, what: LazyMessage) -> UsageError:
    return UsageError(
        "{field} cannot be journalled: it has {what} in it. Nothing was recorded. Say it in plain text.",
        field=path[:_MAX_PATH_CHARACTERS],
        what=what,
    )


# --- before anybody relies on it


def parse(data: bytes) -> dict[str, Any]:
    """Read and check the bytes of an event; raises ValueError as :func:`load` and :func:`check` do."""
    document = load(data)
    check(document)
    return document


def load(data: bytes) -> dict[str, Any]:
    """Read a JSON object that every program reads alike: finite numbers, whole characters, limited depth.

    Raises ValueError for anything else.
    """
    # Most events have few brackets, and so cannot be nested too deeply: skip counting the levels.
    if data.count(b"[") + data.count(b"{") > _MAX_READ_LEVELS and _nesting_depth(data) > _MAX_READ_LEVELS:
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


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _parse_finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse_constant(text)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_parse_finite)


def _nesting_depth(data: bytes) -> int:
    current_depth = max_depth = 0
    for character in _STRINGS.sub(b"", data):
        if character in b"[{":
            current_depth += 1
            max_depth = max(max_depth, current_depth)
        elif character in b"]}":
            current_depth -= 1
    return max_depth


def check(document: Mapping[str, Any]) -> None:
    """Raise ValueError if a checked member or a required attachment is missing or unfit."""
    for name, (kind, _) in ENVELOPE.items():
        if name not in document or not kind.accepts(document[name]):
            raise ValueError(f"{name} is missing or of another kind")
    _check_details(
        document["action"], document["details"], [attachment["name"] for attachment in document["attachments"]]
    )


def _check_details(action: str, details: Mapping[str, Any], attached: Collection[str]) -> None:
    details_class = DETAILS_BY_ACTION.get(action)
    if details_class is not None:
        details_class.check(details)
        details_class.check_attached(attached)


def refs_of(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the refs of an event, even of an unreadable one; empty if the refs are unfit, too."""
    refs = document.get("refs")
    return dict(refs) if isinstance(refs, dict) and fits_refs(refs) else {}
