"""Check an event before it is written, and after it is read.

An event that fails the check after reading is replaced by a stand-in with the action ``event_kinds.UNREADABLE``,
which keeps the event's place in the chain. Everything continues except disposals: the event may have been a hold.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from archiver.errors import LazyMessage, UsageError
from archiver.store import names
from archiver.store.events.canonical_json import encode_canonical
from archiver.store.events.value_kinds import ENVELOPE, LARGEST, SMALLEST, fits_refs
from archiver.store.events.vocabulary import DETAILS_BY_ACTION

#: Maximum nesting of ``details`` in format 2. If it were lower, some records would not fit, because records need
#: up to three levels. If it were higher, it would cost every reader time.
_MAX_DETAILS_LEVELS = 4
#: Maximum nesting of an event that is read: more than any release writes. Without a limit, Python's parser fails
#: at a depth that depends on its caller, so that one command could read an event that stopped another command.
_MAX_READ_LEVELS = 100
#: Maximum number of characters of a member's path that an error quotes. The names in the path may come from
#: another process, and be of any length.
_MAX_PATH_LENGTH = 100

#: A string in JSON, with its quotes and escapes.
_JSON_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")
#: Control characters other than the line feed, which a typed text must not have.
_TYPED_CONTROL_CHARACTER = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


class UnfitValue(ValueError):
    """A value that exceeds the bounds of format 2, so that no event may have it."""

    def __init__(self, member_path: str, unfit_part: LazyMessage, max_characters: int = 0) -> None:
        """Describe the value at ``member_path``, such as ``details.items.0``.

        ``unfit_part`` is a noun such as "a NUL character".  ``max_characters`` is the limit that a text exceeds,
        or 0 for any other fault.
        """
        self.member_path = member_path[:_MAX_PATH_LENGTH]
        self.unfit_part = unfit_part
        self.max_characters = max_characters
        super().__init__(f"{self.member_path} contains {unfit_part}")


# --- before an event is written


def check_new_event(
    action: str, object_name: str, details: Mapping[str, Any], attachment_names: Collection[str]
) -> None:
    """Raise UsageError if some program could not read a new event; the error names the member and the limit.

    ``object_name`` is the event's ``object``, and ``details`` are in the form of the journal.
    """
    try:
        _check_text(object_name, "object", names.MAX_TEXT_LENGTH)
        if _CONTROL_CHARACTER.search(object_name):
            raise UnfitValue("object", LazyMessage("a control character"))
        check_bounds(action, details)
    except UnfitValue as error:
        raise _build_usage_error(error) from None
    try:
        check_details(action, details, attachment_names)
    except ValueError as error:
        raise UsageError(
            "The journal event {action} cannot be recorded because it would not be readable ({reason}). Nothing "
            "was recorded.",
            action=action,
            reason=error,
        ) from None


def check_new_details(details: Mapping[str, Any]) -> None:
    """Raise UsageError if a value in the ``details`` of a new event exceeds the bounds of format 2.

    Such a value is a text that is too long, or a value that JSON, SQLite or a parser cannot represent.  The error
    names the member.
    """
    try:
        check_value(details, "details")
    except UnfitValue as error:
        raise _build_usage_error(error) from None


def _build_usage_error(unfit_value: UnfitValue) -> UsageError:
    """Return the error that tells the user which value cannot be recorded, and why."""
    if unfit_value.max_characters:
        return names.too_long_error(unfit_value.member_path, unfit_value.max_characters)
    return UsageError(
        "{field} cannot be recorded because it contains {what}. Nothing was recorded. Use plain text.",
        field=unfit_value.member_path,
        what=unfit_value.unfit_part,
    )


# --- bounds of format 2


def check_bounds(action: str, details: Mapping[str, Any], json_size: int | None = None) -> None:
    """Raise UnfitValue, a ValueError, for the first value in ``details`` that exceeds the bounds of format 2.

    The bounds limit the length of each text, the size of numbers, the nesting, and the total length.  In texts
    that a person typed, the line feed is the only control character.  Events of format 1 have no bounds.

    ``json_size`` is the size in bytes of the details as canonical JSON, or more than that; None if it is not
    known.
    """
    check_value(details, "details")
    details_class = DETAILS_BY_ACTION.get(action)
    if details_class is None:
        return
    for member_name in details_class.typed_members():
        for member_path, text in _iterate_texts(details.get(member_name), f"details.{member_name}"):
            _check_typed_text(text, member_path)
    max_length = details_class.max_details_length
    # A character has at least one byte: if the bytes are within the limit, so are the characters.
    is_surely_short = json_size is not None and json_size <= max_length
    if not is_surely_short and len(encode_canonical(details).decode()) > max_length:
        raise _build_too_long_error("details", max_length)


def check_value(value: object, member_path: str) -> None:
    """Raise UnfitValue if a value of an event, or any value in it, exceeds the bounds of format 2.

    ``member_path`` names the value in the error, such as ``details.items.0``.
    """
    if not _is_plainly_fit(value, 0):
        _check_value(value, member_path, 0)


def _is_plainly_fit(value: object, depth: int) -> bool:
    """Return True for a value that is certainly within the bounds, as nearly all values are.

    Quick, because no path to an unfit part is built. A value for which this returns False may be fit or not:
    :func:`_check_value` decides. ``depth`` is the number of objects and lists around the value.
    """
    if isinstance(value, str):
        is_short = len(value) <= names.MAX_TEXT_LENGTH
        return is_short and "\0" not in value and (value.isascii() or names.is_utf8(value))
    if isinstance(value, int):
        return SMALLEST <= value <= LARGEST
    if isinstance(value, dict):
        members_depth = depth + 1
        return depth < _MAX_DETAILS_LEVELS and all(
            isinstance(name, str) and _is_plainly_fit(name, depth) and _is_plainly_fit(member, members_depth)
            for name, member in value.items()
        )
    if isinstance(value, list):
        return depth < _MAX_DETAILS_LEVELS and all(_is_plainly_fit(item, depth + 1) for item in value)
    return value is None


def _check_value(value: object, member_path: str, depth: int) -> None:
    """Raise UnfitValue if a value, or any value in it, exceeds the bounds of format 2.

    ``member_path`` names the value in the error, such as ``details.items.0``. ``depth`` is the number of objects
    and lists around it.
    """
    if isinstance(value, str):
        _check_text(value, member_path, names.MAX_TEXT_LENGTH)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise UnfitValue(member_path, LazyMessage("a number that is not finite"))
    elif isinstance(value, int):
        if not SMALLEST <= value <= LARGEST:
            raise UnfitValue(member_path, LazyMessage("a number larger than 64 bits"))
    elif isinstance(value, dict | list | tuple | Mapping):  # dict first: Mapping is slow to check.
        if depth == _MAX_DETAILS_LEVELS:
            raise UnfitValue(
                member_path, LazyMessage("more than {levels} levels of nesting", levels=_MAX_DETAILS_LEVELS)
            )
        for member_name, member in _iterate_checked_items(value, member_path):
            _check_value(member, f"{member_path}.{member_name}", depth + 1)
    elif value is not None:
        raise UnfitValue(member_path, LazyMessage("a value of type {kind}", kind=type(value).__name__))


def _iterate_checked_items(
    value: Mapping[Any, Any] | Sequence[Any], member_path: str
) -> Iterable[tuple[Any, Any]]:
    """Return the (name, value) pairs of a mapping, or the (index, value) pairs of a list.

    Raises UnfitValue if a name is not a text, or exceeds the bounds of a text.
    """
    if not isinstance(value, dict | Mapping):
        return enumerate(value)
    for member_name in value:
        if not isinstance(member_name, str):
            # JSON would convert the name to a text, so that a different document would be read back.
            raise UnfitValue(member_path, LazyMessage("a name that is not a string"))
        _check_text(member_name, member_path, names.MAX_TEXT_LENGTH)
    return value.items()


def _iterate_texts(value: object, member_path: str) -> Iterator[tuple[str, str]]:
    """Yield (path, text) for each text in ``value``; the name of a member counts as a text of its object."""
    if isinstance(value, str):
        yield member_path, value
    elif isinstance(value, Mapping):
        for member_name, member in value.items():
            yield member_path, member_name
            yield from _iterate_texts(member, f"{member_path}.{member_name}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _iterate_texts(item, f"{member_path}.{index}")


def _check_text(text: str, member_path: str, max_characters: int) -> None:
    """Raise UnfitValue for a text that is too long, contains NUL, or cannot be encoded in UTF-8."""
    if len(text) > max_characters:
        raise _build_too_long_error(member_path, max_characters)
    if "\0" in text:
        raise UnfitValue(member_path, LazyMessage("a NUL character"))
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise UnfitValue(member_path, LazyMessage("bytes that are not UTF-8")) from None


def _check_typed_text(text: str, member_path: str) -> None:
    """Raise UnfitValue for a typed text with too many characters, or with a control character."""
    if len(text) > names.MAX_TYPED_LENGTH:
        raise _build_too_long_error(member_path, names.MAX_TYPED_LENGTH)
    if _TYPED_CONTROL_CHARACTER.search(text):
        raise UnfitValue(member_path, LazyMessage("a control character"))


def _build_too_long_error(member_path: str, max_characters: int) -> UnfitValue:
    """Return the error for a text, or for details, of more than ``max_characters``."""
    unfit_part = LazyMessage("more than {most} characters", most=f"{max_characters:,}")
    return UnfitValue(member_path, unfit_part, max_characters)


# --- after an event is read


def parse_event_document(json_bytes: bytes) -> dict[str, Any]:
    """Return the members of an event of format 1 from the bytes of its ``event.json``.

    Raises ValueError if the bytes are not a valid JSON object, or if a member or a required attachment is missing
    or of another kind.
    """
    document = load_json_object(json_bytes)
    check_event_document(document)
    return document


def load_json_object(json_bytes: bytes) -> dict[str, Any]:
    """Return the JSON object in ``json_bytes``, by stricter rules than those of Python's parser.

    Raises ValueError if ``json_bytes`` is not a JSON object in UTF-8, contains a number that is not finite or half
    of a surrogate pair, or is nested too deeply: programs disagree about such documents.
    """
    # Most events have so few brackets that the nesting cannot be too deep, and need not be measured.
    bracket_count = json_bytes.count(b"[") + json_bytes.count(b"{")
    if bracket_count > _MAX_READ_LEVELS and _measure_nesting(json_bytes) > _MAX_READ_LEVELS:
        raise ValueError("nested too deeply")
    try:
        document = _DECODER.decode(json_bytes.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if b"\\u" in json_bytes:
        # An escape may be half of a surrogate pair, which is not a character: encoding it raises ValueError.
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    if not isinstance(document, dict):
        raise ValueError("not an object")
    return document


def _refuse_constant(text: str) -> float:
    """Raise ValueError for NaN or Infinity, which are not JSON although Python accepts them."""
    raise ValueError(f"{text} is no number")


def _parse_finite(text: str) -> float:
    """Return a number from JSON. Raises ValueError if it is too large for a float."""
    value = float(text)
    return value if math.isfinite(value) else _refuse_constant(text)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_parse_finite)


def _measure_nesting(json_bytes: bytes) -> int:
    """Return how many objects and lists of a JSON document are inside each other, without parsing it."""
    current_depth = max_depth = 0
    for character in _JSON_STRING.sub(b"", json_bytes):
        if character in b"[{":
            current_depth += 1
            max_depth = max(max_depth, current_depth)
        elif character in b"]}":
            current_depth -= 1
    return max_depth


def check_event_document(document: Mapping[str, Any]) -> None:
    """Raise ValueError if a member or attachment that an event must have is missing or of another kind.

    These are the members that every event has, and those of ``details`` that its action requires.
    """
    for member_name, (member_kind, _) in ENVELOPE.items():
        if member_name not in document or not member_kind.accepts(document[member_name]):
            raise ValueError(f"{member_name} is missing or of another kind")
    attachment_names = [attachment["name"] for attachment in document["attachments"]]
    check_details(document["action"], document["details"], attachment_names)


def check_details(action: str, details: Mapping[str, Any], attachment_names: Collection[str]) -> None:
    """Raise ValueError if a checked member or a required attachment is missing or of another kind.

    An event with an unknown action passes the check, because only a newer release knows its members.
    """
    details_class = DETAILS_BY_ACTION.get(action)
    if details_class is not None:
        details_class.check_members(details)
        details_class.check_attachments(attachment_names)


def check_known_members(action: str, details: Mapping[str, Any]) -> None:
    """Raise ValueError for a member of ``details`` that this release does not know.

    Such a member may change the meaning of the others.  Members that begin with ``x-`` pass the check, and so does
    an event with an unknown action.  Only for format 2: in format 1, unknown members are ignored.
    """
    details_class = DETAILS_BY_ACTION.get(action)
    if details_class is None:
        return
    for member_name in details.keys() - details_class.known_names():
        if not member_name.startswith("x-"):
            raise ValueError(f"the member {member_name} is unknown")


def read_moved_refs(document: Mapping[str, Any]) -> dict[str, str]:
    """Return ref -> object id for the refs that an event of format 1 moved, even if the rest is unreadable.

    Returns an empty dict if the refs are missing or of another form.
    """
    refs = document.get("refs")
    return dict(refs) if isinstance(refs, dict) and fits_refs(refs) else {}
