"""The kinds of values in events, with limits that keep forged values harmless."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, NamedTuple

from archiver import clock
from archiver.naming.ref_names import RefName
from archiver.store.events.digests import parse_sha256

#: The integers that SQLite stores.
SMALLEST, LARGEST = -(1 << 63), (1 << 63) - 1
#: Far below the largest integer of SQLite, because the numbers of the events after a forged one must fit as well.
_MAX_EVENT_NUMBER = 10**12 - 1
#: Periods of up to 1000 years are added to a date, and the sum must stay below the year 10000, Python's limit.
_MAX_YEAR = 9000
#: Longer than any period. Working days are counted one by one, and more of them would take seconds.
_MAX_DAYS = 100_000

#: A full ref name without spaces and control characters.
_REF = re.compile(r"refs/[^\x00-\x20\x7f]+")
#: A git object id (SHA-1).
_OID = re.compile(r"[0-9a-f]{40}")
#: s3://BUCKET/PREFIX, without a query or a fragment.
_BUCKET_URL = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[^\s?#]*)?")
#: The name of a time zone, such as America/Argentina/Ushuaia or Etc/GMT+12.
_TIMEZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,31}(?:/[A-Za-z0-9_+-]{1,32}){0,3}")
_ATTACHMENT_MEMBERS = frozenset({"name", "sha256", "size"})
_SUBMISSION_FILE_MEMBERS = frozenset({"path", "digest", "role"})
#: Fields of a filing's sheet whose values are days.
_SHEET_DAYS = ("issued_on", "service_start", "service_end")


def _unchanged(value: Any) -> Any:
    return value


class ValueKind(NamedTuple):
    """A kind of JSON value, with the conversion to a Python value and back."""

    #: The name of the kind in docs/journal.md.
    label: str
    #: Return a true value for a JSON value of this kind. May raise for one of another kind; see :meth:`accepts`.
    fits: Callable[[Any], object]
    #: Convert a JSON value that fits to the Python value.
    read: Callable[[Any], Any] = _unchanged
    #: Convert a Python value to the JSON value.
    write: Callable[[Any], Any] = _unchanged

    def accepts(self, value: Any) -> bool:
        """Return True if the JSON value is of this kind; False also if ``fits`` raises, as for a wrong type."""
        try:
            return bool(self.fits(value))
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError):
            # The value is of another kind.
            return False


def nullable(kind: ValueKind) -> ValueKind:
    """Return the kind of values that are null or of ``kind``; null is None in Python."""
    return ValueKind(
        f"{kind.label} or null",
        lambda value: value is None or kind.fits(value),
        lambda value: None if value is None else kind.read(value),
        lambda value: None if value is None else kind.write(value),
    )


def list_of(kind: ValueKind, label: str) -> ValueKind:
    """Return the kind of lists with items of ``kind``, which are tuples in Python. Items are not converted."""
    return ValueKind(label, lambda value: isinstance(value, list) and all(map(kind.fits, value)), tuple, list)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


# bool is a subclass of int, but true and false are not integers in JSON.
def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and SMALLEST <= value <= LARGEST


def _is_time(value: Any) -> bool:
    """Return True for a time in RFC 3339. Raises ValueError or TypeError for anything else."""
    clock.parse_time(value)
    return True


def _is_compliance_clock(json_value: Any) -> bool:
    """Return True if the value is a compliance clock with its readings, and not too late to add periods to.

    May raise for a value of another kind.
    """
    clock_time, clock_reading = clock.parse_evidence(json_value)
    return (
        clock_time.year <= _MAX_YEAR
        and isinstance(clock_reading.boot_id, str)
        and _is_integer(clock_reading.boottime_ns)
        and _is_integer(clock_reading.uptime_ns)
        and isinstance(clock_reading.shifted, bool)
    )


def fits_refs(json_value: Any) -> bool:
    """Return True if the value maps full ref names to object ids; the ids have 40 hexadecimal digits."""
    return isinstance(json_value, dict) and all(
        _REF.fullmatch(ref_name) and isinstance(object_id, str) and _OID.fullmatch(object_id)
        for ref_name, object_id in json_value.items()
    )


def _is_attachment(json_value: Any) -> bool:
    """Return True if the value describes an attachment, with no further members. Raises for another type."""
    return (
        json_value.keys() == _ATTACHMENT_MEMBERS
        and _is_text(json_value["name"])
        and _is_text(json_value["sha256"])
        and _is_integer(json_value["size"])
    )


def _is_sheet(json_value: Any) -> bool:
    """Return True if the value is a filing's sheet: texts and lists of texts, with valid or empty days.

    Raises for another type.
    """
    entered_days = (json_value[field_name] for field_name in _SHEET_DAYS if json_value.get(field_name))
    return all(map(DAY.fits, entered_days)) and all(
        _is_text(sheet_value) or TEXTS.fits(sheet_value) for sheet_value in json_value.values()
    )


def _is_submission_file(json_value: Any) -> bool:
    """Return True if the value names a file about a submission, with no further members. Raises otherwise."""
    return (
        json_value.keys() == _SUBMISSION_FILE_MEMBERS
        and bool(parse_sha256(json_value["digest"]))
        and _is_text(json_value["path"])
        and _is_text(json_value["role"])
    )


ANYTHING = ValueKind("any value", lambda _value: True)
TEXT = ValueKind("text", _is_text)
TEXTS = list_of(TEXT, "list of texts")
#: A filing, a submission or a tag, as in refs.
REF_NAME = ValueKind("text", _is_text, RefName)
REF_NAMES = ValueKind(TEXTS.label, TEXTS.fits, lambda names: tuple(map(RefName, names)), list)
FLAG = ValueKind("true or false", lambda value: isinstance(value, bool))
INTEGER = ValueKind("integer", _is_integer)
OBJECT = ValueKind("object", lambda value: isinstance(value, dict))
OBJECTS = list_of(OBJECT, "list of objects")
#: Other forms of ISO 8601 are read, too: earlier releases journalled the days of a sheet as they were typed.
DAY = ValueKind(
    "day (YYYY-MM-DD)",
    lambda value: date.fromisoformat(value).year <= _MAX_YEAR,
    date.fromisoformat,
    date.isoformat,
)
TIME = ValueKind("time (RFC 3339)", _is_time)
#: The length of a period in days.
DAYS = ValueKind(f"integer from 0 to {_MAX_DAYS:,}", lambda value: _is_integer(value) and 0 <= value <= _MAX_DAYS)
#: Only the form of the name is checked: machines know different zones, but must find the same events readable.
TIMEZONE = ValueKind("time zone (IANA)", lambda value: value == "" or _TIMEZONE.fullmatch(value) is not None)
YEARS_BY_SCOPE = ValueKind(
    "object of integers",
    lambda value: isinstance(value, dict) and all(map(_is_text, value)) and all(map(_is_integer, value.values())),
)
BUCKET_URL = ValueKind("s3://BUCKET/PREFIX", lambda value: _BUCKET_URL.fullmatch(value) is not None)
#: No user name, password or query, because the journal is permanent and must not hold secrets.
ENDPOINT = ValueKind("URL", lambda value: _is_text(value) and not set("@?") & set(value))
FILING_SHEET = ValueKind("object of texts and lists of texts", _is_sheet)
DIGEST = ValueKind("digest", lambda value: bool(parse_sha256(value)))
SUBMISSION_FILES = list_of(ValueKind("object", _is_submission_file), "list of objects with path, digest and role")
REMINDER_STEPS = list_of(
    ValueKind("object", lambda value: _is_text(value["uid"]) and _is_text(value["step"])),
    "list of objects with uid and step",
)

EVENT_NUMBER = ValueKind("integer from 1", lambda value: _is_integer(value) and 0 < value <= _MAX_EVENT_NUMBER)
COMPLIANCE_CLOCK = ValueKind("object", _is_compliance_clock)
ACTOR = ValueKind("object", lambda value: _is_integer(value["uid"]) and _is_text(value["user"]))
REFS = ValueKind("object of object ids", fits_refs)
ATTACHMENTS = list_of(ValueKind("object", _is_attachment), "list of objects with name, sha256 and size")


class EnvelopeMember(NamedTuple):
    """A member that every event has."""

    kind: ValueKind
    #: A description of the value, for docs/journal.md.
    meaning: str


#: The members that every event has, whatever its action, by name.
ENVELOPE: Mapping[str, EnvelopeMember] = {
    "seq": EnvelopeMember(EVENT_NUMBER, "number of the event, from 1 and without gaps"),
    "at": EnvelopeMember(TIME, "wall-clock time of the server, for people; no period counts from it"),
    "clock": EnvelopeMember(
        COMPLIANCE_CLOCK,
        "compliance clock (`time`) and the readings it was derived from: `wall`, `boot_id`, `boottime_ns`, "
        "`uptime_ns`, and `shifted` (true inside a time namespace with offsets, where the clock gains no time)",
    ),
    "actor": EnvelopeMember(
        ACTOR,
        "caller, as named by the kernel: `uid` and `user` (empty for a number without a name); `program` is the "
        "release that wrote the event",
    ),
    "action": EnvelopeMember(TEXT, "kind of the event, one of those below"),
    "object": EnvelopeMember(TEXT, "subject of the event, as described for each kind"),
    "details": EnvelopeMember(OBJECT, "members that only this kind of event has"),
    "refs": EnvelopeMember(REFS, "every ref that the event creates or moves, with its new object id"),
    "attachments": EnvelopeMember(
        ATTACHMENTS, "the other files of the commit: `name`, `sha256` and `size` of each"
    ),
    "prev": EnvelopeMember(TEXT, "SHA-256 of the preceding `event.json`, 64 zeros in the first event"),
}
