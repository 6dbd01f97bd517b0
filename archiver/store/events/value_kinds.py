"""The kinds of values in events, with the bounds that keep forged values harmless."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from archiver import clock

#: The integers that SQLite stores.
SMALLEST, LARGEST = -(1 << 63), (1 << 63) - 1
#: Far below the integers of SQLite: the numbers after a forged one have to fit, too.
_MAX_EVENT_NUMBER = 10**12 - 1
#: Periods are added to the compliance clock, and the sum must not pass the end of Python's calendar, year 9999.
_MAX_YEAR = 9000
#: Far more than any period; working days are counted one by one, and more of them would take seconds.
_MAX_DAYS = 100_000

_REF = re.compile(r"refs/[^\x00-\x20\x7f]+")
_OID = re.compile(r"[0-9a-f]{40}")
_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[^\s?#]*)?")
_ATTACHMENT_MEMBERS = frozenset({"name", "sha256", "size"})
_SHEET_DAYS = ("issued_on", "service_start", "service_end")


def _unchanged(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class ValueKind:
    """A kind of JSON value, with the conversion to a Python value and back.

    ``fits`` may raise any error that examining a value of another kind causes; :meth:`accepts` returns False then.
    """

    label: str
    fits: Callable[[Any], object]
    read: Callable[[Any], Any] = _unchanged
    write: Callable[[Any], Any] = _unchanged

    def accepts(self, value: Any) -> bool:
        """Return True if the value is of this kind; never raises."""
        try:
            return bool(self.fits(value))
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, OSError):
            # A value of another kind; a time zone that is a folder among the zones is an OSError.
            return False


def nullable(kind: ValueKind) -> ValueKind:
    """Return the kind of the same values and null."""
    return ValueKind(
        f"{kind.label} or null",
        lambda value: value is None or kind.fits(value),
        lambda value: None if value is None else kind.read(value),
        lambda value: None if value is None else kind.write(value),
    )


def list_of(kind: ValueKind, label: str) -> ValueKind:
    """Return the kind of lists of ``kind``, read as tuples."""
    return ValueKind(label, lambda value: isinstance(value, list) and all(map(kind.fits, value)), tuple, list)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and SMALLEST <= value <= LARGEST


def _is_time(value: Any) -> bool:
    clock.parse(value)
    return True


def _is_compliance_clock(value: Any) -> bool:
    clock_time, clock_reading = clock.from_evidence(value)
    return (
        clock_time.year <= _MAX_YEAR
        and isinstance(clock_reading.boot_id, str)
        and _is_integer(clock_reading.boottime_ns)
        and _is_integer(clock_reading.uptime_ns)
        and isinstance(clock_reading.shifted, bool)
    )


def fits_refs(value: Any) -> bool:
    """Return True if the value is an object of full ref names with object ids."""
    return isinstance(value, dict) and all(
        _REF.fullmatch(ref) and isinstance(oid, str) and _OID.fullmatch(oid) for ref, oid in value.items()
    )


def _is_attachment(value: Any) -> bool:
    return (
        value.keys() == _ATTACHMENT_MEMBERS
        and _is_text(value["name"])
        and _is_text(value["sha256"])
        and _is_integer(value["size"])
    )


def _is_sheet(value: Any) -> bool:
    days = (value[name] for name in _SHEET_DAYS if value.get(name))
    return all(map(DAY.fits, days)) and all(_is_text(field) or TEXTS.fits(field) for field in value.values())


ANYTHING = ValueKind("any value", lambda _value: True)
TEXT = ValueKind("text", _is_text)
TEXTS = list_of(TEXT, "list of texts")
FLAG = ValueKind("true or false", lambda value: isinstance(value, bool))
INTEGER = ValueKind("integer", _is_integer)
OBJECT = ValueKind("object", lambda value: isinstance(value, dict))
OBJECTS = list_of(OBJECT, "list of objects")
DAY = ValueKind(
    "day (YYYY-MM-DD)",
    lambda value: date.fromisoformat(value).year <= _MAX_YEAR,
    date.fromisoformat,
    date.isoformat,
)
TIME = ValueKind("time (RFC 3339)", _is_time)
#: The days of a period: working days are counted one by one.
DAYS = ValueKind(f"integer from 0 to {_MAX_DAYS:,}", lambda value: _is_integer(value) and 0 <= value <= _MAX_DAYS)
TIMEZONE = ValueKind("time zone (IANA)", lambda value: value == "" or bool(ZoneInfo(value).key))
YEARS_BY_SCOPE = ValueKind(
    "object of integers",
    lambda value: isinstance(value, dict) and all(map(_is_text, value)) and all(map(_is_integer, value.values())),
)
BUCKET_URL = ValueKind("s3://BUCKET/PREFIX", lambda value: _BUCKET.fullmatch(value) is not None)
#: Without a name, a password or a query: the journal is for good.
ENDPOINT = ValueKind("URL", lambda value: _is_text(value) and not set("@?") & set(value))
FILING_SHEET = ValueKind("object of texts and lists of texts", _is_sheet)
REMINDER_STEPS = list_of(
    ValueKind("object", lambda value: _is_text(value["uid"]) and _is_text(value["step"])),
    "list of objects with uid and step",
)

EVENT_NUMBER = ValueKind("integer from 1", lambda value: _is_integer(value) and 0 < value <= _MAX_EVENT_NUMBER)
COMPLIANCE_CLOCK = ValueKind("object", _is_compliance_clock)
ACTOR = ValueKind("object", lambda value: _is_integer(value["uid"]) and _is_text(value["user"]))
REFS = ValueKind("object of object ids", fits_refs)
ATTACHMENTS = list_of(ValueKind("object", _is_attachment), "list of objects with name, sha256 and size")

#: Member -> its kind and its meaning, of every event whatever its action.
ENVELOPE: Mapping[str, tuple[ValueKind, str]] = {
    "seq": (EVENT_NUMBER, "number of the event; the first one is 1, and none is left out"),
    "at": (TIME, "wall time of the server, for people; nothing is counted from it"),
    "clock": (
        COMPLIANCE_CLOCK,
        "compliance clock (`time`) and what it was derived from: `wall`, `boot_id`, `boottime_ns`, `uptime_ns`, "
        "and `shifted` (inside a time namespace, where it gains nothing)",
    ),
    "actor": (
        ACTOR,
        "who did it, as the kernel named the caller: `uid` and `user` (empty for a number without a name); "
        "`program` is the release that wrote the event",
    ),
    "action": (TEXT, "kind of the event, one of those below"),
    "object": (TEXT, "what the event is about, by kind"),
    "details": (OBJECT, "members that only this kind of event has"),
    "refs": (REFS, "every ref that the event creates or moves, with its new object id"),
    "attachments": (ATTACHMENTS, "the other files of the commit: `name`, `sha256` and `size` of each"),
    "prev": (TEXT, "SHA-256 of the `event.json` before, 64 zeros in the first event"),
}
