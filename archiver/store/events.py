"""What an event's document must be: before it is written, and before anybody relies on it.  Pure.

Whatever does not fit when it is read becomes a stand-in (:data:`UNREADABLE`): it keeps its place in the
chain, and everything but disposals goes on.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from archiver import clock
from archiver.errors import Phrase, UsageProblem

#: The action of a stand-in; no release writes it.
UNREADABLE = "unreadable"
#: Levels of ``details`` that are written; what people and programs record needs three.
_DEEPEST = 4
#: Levels of a whole event that are read.  Python's parser gives up at a depth that depends on who calls it:
#: the same event was readable for one command and ended the next one.  More than any release wrote by itself.
_DEEPEST_READ = 100
#: What SQLite stores.
_SMALLEST, _LARGEST = -(1 << 63), (1 << 63) - 1
#: Numbers of events, far below what SQLite stores: the ones after a forged one have to fit too.
_LAST_SEQ = 10**12 - 1
#: The compliance clock is added to, and must not run over the calendar's end.
_LAST_YEAR = 9000
#: Far more than any period; counted day by day, more would keep everybody waiting.
_MOST_DAYS = 100_000
_LONGEST_PATH = 100

_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_REF = re.compile(r"refs/[^\x00-\x20\x7f]+")
_OID = re.compile(r"[0-9a-f]{40}")
_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[^\s?#]*)?")


# --- before it is written


def check_new(action: str, about: str, details: Mapping[str, Any], attached: Iterable[str]) -> None:
    """Refuse an event that could not be read back, or not by every program; raises UsageProblem with the field."""
    check_text(about, "object")
    if _CONTROL.search(about):
        raise _unfit("object", Phrase("a control character"))
    check_values(details)
    try:
        _check_details(action, details, attached)
    except ValueError as error:
        raise UsageProblem(
            "The event {action} could not be read back ({reason}). Nothing was recorded.",
            action=action,
            reason=error,
        ) from None


def check_values(details: Mapping[str, Any]) -> None:
    """Refuse details that JSON, SQLite or a parser could not carry; raises UsageProblem with the field."""
    _check_value(details, "details", 0)


def _check_value(value: object, path: str, depth: int) -> None:
    if isinstance(value, str):
        check_text(value, path)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise _unfit(path, Phrase("a number that is not finite"))
    elif isinstance(value, int):
        if not _SMALLEST <= value <= _LARGEST:
            raise _unfit(path, Phrase("a number of more than 64 bits"))
    elif isinstance(value, Mapping | list | tuple):
        if depth == _DEEPEST:
            raise _unfit(path, Phrase("more than {levels} levels", levels=_DEEPEST))
        for key, inner in _members(value, path):
            _check_value(inner, f"{path}.{key}", depth + 1)
    elif value is not None:
        raise _unfit(path, Phrase("a value of the kind {kind}", kind=type(value).__name__))


def _members(value: Mapping[Any, Any] | Sequence[Any], path: str) -> Iterable[tuple[Any, Any]]:
    if not isinstance(value, Mapping):
        return enumerate(value)
    for key in value:
        if not isinstance(key, str):
            # JSON would make text of it, and read another document back.
            raise _unfit(path, Phrase("a name that is no text"))
        check_text(key, path)
    return value.items()


def check_text(text: str, path: str) -> None:
    """Refuse a text that is none for every program; raises UsageProblem with ``path``."""
    if "\0" in text:
        raise _unfit(path, Phrase("a NUL character"))
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise _unfit(path, Phrase("bytes that are not UTF-8")) from None


def _unfit(path: str, what: Phrase) -> UsageProblem:
    return UsageProblem(
        "{field} cannot be journalled: it has {what} in it. Nothing was recorded. Say it in plain text.",
        field=path[:_LONGEST_PATH],
        what=what,
    )


# --- before anybody relies on it


def parse(data: bytes) -> dict[str, Any]:
    """Read the bytes of an event; raises ValueError for what is none, or lacks what its action needs."""
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
    """Raise ValueError where the members, or the details that its action needs, are missing or of another kind."""
    for name, fits in _MEMBERS.items():
        _check_member(document, name, fits)
    attached = [item["name"] for item in document["attachments"]]
    _check_details(document["action"], document["details"], attached)


def _check_details(action: str, details: Mapping[str, Any], attached: Iterable[str]) -> None:
    for name, fits in _DETAILS.get(action, {}).items():
        _check_member(details, name, fits)
    if missing := set(_ATTACHED.get(action, ())).difference(attached):
        raise ValueError(f"{min(missing)} is not attached")


def _check_member(document: Mapping[str, Any], name: str, fits: _Fits) -> None:
    try:
        if fits(document.get(name, _ABSENT)):
            return
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, OSError):
        # Looking at a value of any kind; a time zone that is a folder among the zones is an OSError.
        pass
    raise ValueError(f"{name} is missing or of another kind")


def refs_of(document: Mapping[str, Any]) -> dict[str, str]:
    """The refs of an event that is otherwise of no use; empty where these are of no use either."""
    refs = document.get("refs")
    return dict(refs) if isinstance(refs, dict) and _refs(refs) else {}


_ABSENT = object()
_Fits = Callable[[Any], object]


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _any(value: Any) -> bool:
    return value is not _ABSENT


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and _SMALLEST <= value <= _LARGEST


def _maybe(fits: _Fits) -> _Fits:
    return lambda value: value is None or fits(value)


def _optional(fits: _Fits) -> _Fits:
    return lambda value: value is None or value is _ABSENT or fits(value)


def _list(fits: _Fits) -> _Fits:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _number(value: Any) -> bool:
    return _whole(value) and 0 < value <= _LAST_SEQ


def _moment(value: Any) -> bool:
    clock.parse(value)
    return True


def _day(value: Any) -> bool:
    return date.fromisoformat(value).year <= _LAST_YEAR


def _days(value: Any) -> bool:
    """Days of a period: working days are counted one by one."""
    return _whole(value) and 0 <= value <= _MOST_DAYS


def _zone(value: Any) -> bool:
    return value == "" or bool(ZoneInfo(value).key)


def _address(value: Any) -> bool:
    return isinstance(value, str) and _BUCKET.fullmatch(value) is not None


def _endpoint(value: Any) -> bool:
    return isinstance(value, str) and not set("@?") & set(value)


def _years(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_text, value)) and all(map(_whole, value.values()))


def _clock(value: Any) -> bool:
    now, reading = clock.from_evidence(value)
    return (
        now.year <= _LAST_YEAR
        and isinstance(reading.boot_id, str)
        and _whole(reading.boottime_ns)
        and _whole(reading.uptime_ns)
        and isinstance(reading.shifted, bool)
    )


def _actor(value: Any) -> bool:
    return _whole(value["uid"]) and _text(value["user"])


def _refs(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _REF.fullmatch(ref) and isinstance(oid, str) and _OID.fullmatch(oid) for ref, oid in value.items()
    )


def _attachment(value: Any) -> bool:
    is_known = value.keys() == {"name", "sha256", "size"}
    return is_known and _text(value["name"]) and _text(value["sha256"]) and _whole(value["size"])


def _sheet(value: Any) -> bool:
    dates = (value[name] for name in ("issued_on", "service_start", "service_end") if value.get(name))
    return all(map(_day, dates)) and all(_text(each) or _texts(each) for each in value.values())


_texts = _list(_text)


def _steps(value: Any) -> bool:
    return isinstance(value, list) and all(_text(each["uid"]) and _text(each["step"]) for each in value)


_MEMBERS: Mapping[str, _Fits] = {
    "seq": _number,
    "at": _moment,
    "clock": _clock,
    "actor": _actor,
    "action": _text,
    "object": _text,
    "details": lambda value: isinstance(value, dict),
    "refs": _refs,
    "attachments": _list(_attachment),
    "prev": _text,
}
_PROMISE: Mapping[str, _Fits] = {
    "retention_years": _whole,
    "scopes": _optional(_years),
    "timezone": _optional(_zone),
}
#: Action -> the details that somebody relies on.  What nobody looks at may be anything, as it may be of
#: another release.
_DETAILS: Mapping[str, Mapping[str, _Fits]] = {
    "init": {"layout": _text, "watch": _optional(_text), **_PROMISE},
    "adopt": {"watch": _optional(_text), **_PROMISE},
    "watch-path": {"to": _text},
    "policy": _PROMISE,
    "capture": {
        "filing": _text,
        "submission": _text,
        **dict.fromkeys(("version", "files", "bytes", "added", "modified", "deleted"), _whole),
    },
    "submit": {
        "version": _text,
        "tag": _text,
        "on": _day,
        "kind": _text,
        **dict.fromkeys(("number", "by", "receipt"), _maybe(_text)),
        "reason": _optional(_text),
    },
    "hold": {"name": _text, "reason": _text, "by": _maybe(_text)},
    "lift": {"name": _text, "reason": _text},
    "filing-set": {
        "fields": _sheet,
        "on": _day,
        **dict.fromkeys(("status", "portal_text", "evidence"), _optional(_text)),
    },
    "filing-end": {"on": _day},
    "notice": {
        "number": _whole,
        **dict.fromkeys(("kind", "issuer", "document", "owner"), _text),
        "received": _day,
        "due": _maybe(_day),
        "days": _maybe(_days),
        "file": _maybe(_text),
        "sha256": _maybe(_text),
    },
    "notice-answer": {"number": _whole, "submission": _text, "on": _day},
    "change-question": {
        "number": _whole,
        "since": _text,
        "first": _day,
        "kinds": _texts,
        "materials": _texts,
        "signal": _text,
    },
    "change-decision": {
        "number": _whole,
        "material": _flag,
        "reason": _text,
        "on": _day,
        "by": _maybe(_text),
    },
    "display-check": {
        "on": _day,
        "source": _text,
        "problem": _text,
        "number_found": _any,
        "link_found": _any,
    },
    "signal": {"signal": _text, "value": _text},
    "reminder": {"to": _text, "channel": _whole, "items": _steps},
    "timestamp": {"time": _moment},
    "dispose-plan": {"plan_sha256": _text, "cooling_off_days": _days},
    "dispose-approve": {"reason": _text},
    "dispose-begin": {"versions": _texts},
    "replica-init": {
        "url": _address,
        "lock": _any,
        "endpoint": _optional(_endpoint),
        **dict.fromkeys(("region", "style"), _optional(_text)),
    },
}
_ATTACHED: Mapping[str, tuple[str, ...]] = {
    "init": ("allowed_signers",),
    "key-rotate": ("allowed_signers",),
    "key-replace": ("allowed_signers",),
    "dispose-plan": ("plan.json",),
}
