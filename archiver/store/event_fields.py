"""What each member of an event has to be for those who rely on it, as tables.  Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from archiver import clock

#: What SQLite stores.
SMALLEST, LARGEST = -(1 << 63), (1 << 63) - 1
#: Numbers of events, far below what SQLite stores: the ones after a forged one have to fit too.
_LAST_SEQ = 10**12 - 1
#: The compliance clock is added to, and must not run over the calendar's end.
_LAST_YEAR = 9000
#: Far more than any period; counted day by day, more would keep everybody waiting.
_MOST_DAYS = 100_000

_REF = re.compile(r"refs/[^\x00-\x20\x7f]+")
_OID = re.compile(r"[0-9a-f]{40}")
_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[^\s?#]*)?")

ABSENT = object()
#: Whether a value is of its kind; also any error of looking at it means that it is not.
Fits = Callable[[Any], object]


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _any(value: Any) -> bool:
    return value is not ABSENT


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and SMALLEST <= value <= LARGEST


def _maybe(fits: Fits) -> Fits:
    return lambda value: value is None or fits(value)


def _optional(fits: Fits) -> Fits:
    return lambda value: value is None or value is ABSENT or fits(value)


def _list(fits: Fits) -> Fits:
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


def fits_refs(value: Any) -> bool:
    """Whether it is an object of full ref names with object ids."""
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


MEMBERS: Mapping[str, Fits] = {
    "seq": _number,
    "at": _moment,
    "clock": _clock,
    "actor": _actor,
    "action": _text,
    "object": _text,
    "details": lambda value: isinstance(value, dict),
    "refs": fits_refs,
    "attachments": _list(_attachment),
    "prev": _text,
}
_PROMISE: Mapping[str, Fits] = {
    "retention_years": _whole,
    "scopes": _optional(_years),
    "timezone": _optional(_zone),
}
#: Action -> the details that somebody relies on.  What nobody looks at may be anything, as it may be of
#: another release.
DETAILS: Mapping[str, Mapping[str, Fits]] = {
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
ATTACHED: Mapping[str, tuple[str, ...]] = {
    "init": ("allowed_signers",),
    "key-rotate": ("allowed_signers",),
    "key-replace": ("allowed_signers",),
    "dispose-plan": ("plan.json",),
}
