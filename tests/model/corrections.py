"""Which records can be corrected, by a simple statement of docs/format.md and docs/desk.md, and what results."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from archiver.filings.register import filings_from_events
from archiver.store.archive import Archive
from tests.model.commands import read_json
from tests.model.expectations import Expectation, ExpectedEvent, one_event
from tests.model.reference import ReferenceState
from tests.model.reference_records import ReferenceCorrection, ReferenceRecord
from tests.model.world import World

#: The members that a correction may replace, by the act; besides them each field of a sheet.
_MEMBERS: Mapping[str, frozenset[str]] = {
    "submit": frozenset({"on", "kind", "number", "by", "reason"}),
    "filing-set": frozenset({"on", "status", "portal_text", "by"}),
    "filing-end": frozenset({"on", "reason", "by"}),
    "notice": frozenset({"kind", "issuer", "document", "received", "due", "days", "owner", "by"}),
    "notice-answer": frozenset({"submission", "on", "by"}),
    "change-decision": frozenset({"material", "reason", "on", "by"}),
}
_SHEET = "fields"
#: The members that hold the day of a record.
_DAY_MEMBERS = ("on", "received")
#: Words for the values of these members; any other word is refused.
_CODES = {
    "kind": {"submit": {"first", "change"}, "notice": {"inquiry", "inspection"}},
    "material": {"change-decision": {"yes", "no"}},
    "status": {"filing-set": {"returned", "filed"}},
}
_FIRST_YEAR = 2000
_LAST_YEAR = 9000
VALID_NUMBER = "网信算备110108823483901230031号"


def values_of(record: ReferenceRecord) -> dict[str, Any]:
    """Return the values that can be corrected, by the name that a person types."""
    details, names = record.corrected_details, _MEMBERS[record.action]
    sheet = details.get(_SHEET, {}) if record.action == "filing-set" else {}
    return sheet | {name: value for name, value in details.items() if name in names}


def find_record(state: ReferenceState, seq: int) -> ReferenceRecord | None:
    """Return the record of an event, or the one that the event corrects."""
    for record in state.correctable.values():
        if seq in (record.seq, *(correction.seq for correction in record.corrections)):
            return record
    return None


# --- what must happen


def expect_correction(world: World, seq: int, typed_values: Mapping[str, str], reason: str) -> Expectation:
    """Expect the event of a correction; without ``typed_values``, that of a void record."""
    state = world.state
    record = find_record(state, seq)
    if not reason.strip():
        return Expectation(error="UsageError")
    if record is None:
        return Expectation(error="UsageError" if 0 < seq <= state.seq else "NotFoundError")
    if record.is_void or any(
        name not in values_of(record) or not _is_value(record.action, name, value)
        for name, value in typed_values.items()
    ):
        return Expectation(error="UsageError")
    new_values = {
        f"{_SHEET}.{name}" if name not in _MEMBERS[record.action] else name: _value_of(record.action, name, typed)
        for name, typed in typed_values.items()
        if _value_of(record.action, name, typed) != values_of(record)[name]
    }
    event = ExpectedEvent(
        "correct",
        record.filing,
        record.filing,
        {"corrects": record.seq, "kind": record.action, "fields": new_values, "void": not typed_values},
    )
    if typed_values and (not new_values or _is_contradiction(world, record, new_values)):
        return Expectation(error="UsageError")
    return one_event(event)


def _is_value(action: str, name: str, typed: str) -> bool:
    """Return True if a person may type this value for the member of an event of this kind."""
    if name in _DAY_MEMBERS:
        return _is_day(typed)
    if name in _CODES:
        return typed in _CODES[name][action]
    if name == "number":
        return typed in ("", VALID_NUMBER)
    # A reason is required where the act itself requires one.
    return bool(typed) or name != "reason" or action == "submit"


def _is_day(text: str) -> bool:
    try:
        # Another year is a slip, or the day of a clock that is far behind.
        return date.fromisoformat(text).isoformat() == text and _FIRST_YEAR <= int(text[:4]) <= _LAST_YEAR
    except ValueError:
        return False


def _value_of(action: str, name: str, typed: str) -> Any:
    """Return what the journal has for a typed value."""
    if name == "material":
        return typed == "yes"
    is_empty_null = name in ("by", "number", "reason") and name in _MEMBERS[action]
    return None if not typed and is_empty_null else typed


def _is_contradiction(world: World, record: ReferenceRecord, new_values: Mapping[str, Any]) -> bool:
    """Return True if the corrected record, or what it says of the filing, cannot be true."""
    state = copy.copy(world.state)
    correction = ReferenceCorrection(0, "", "", None, is_void=False, new_values=dict(new_values))
    corrected = ReferenceRecord(**{**vars(record), "corrections": [*record.corrections, correction]})
    state.correctable = {**state.correctable, record.seq: corrected}
    details = corrected.corrected_details
    today = world.clocks.wall.astimezone(ZoneInfo(world.settings.time_zone)).date()
    if any(details[name] > today.isoformat() for name in _DAY_MEMBERS if name in details):
        return True
    if record.action == "notice" and details["due"] is not None and details["due"] < details["received"]:
        return True
    if record.action == "notice-answer" and not any(
        other.details["tag"].startswith(f"{details['submission']}/")
        for other in submissions_of(state, record.filing)
    ):
        return True
    if record.action in ("notice", "notice-answer"):
        return _is_answered_before(state, record.filing, details["number"])
    return record.action == "filing-set" and is_sheet_contradictory(state, record.filing)


def _is_answered_before(state: ReferenceState, filing: str, number: int) -> bool:
    """Return True if the notice with this number was answered before it was received."""
    valid = [r for r in state.correctable.values() if r.filing == filing and not r.is_void]
    received = [
        r.corrected_details["received"] for r in valid if r.action == "notice" and r.details["number"] == number
    ]
    answered = [
        r.corrected_details["on"] for r in valid if r.action == "notice-answer" and r.details["number"] == number
    ]
    return bool(received and answered) and answered[-1] < received[-1]


def submissions_of(state: ReferenceState, filing: str) -> list[ReferenceRecord]:
    """Return the submissions of a filing that are not void, oldest first."""
    records = state.correctable.values()
    return [each for each in records if (each.action, each.filing) == ("submit", filing) and not each.is_void]


def sheet_of(state: ReferenceState, filing: str) -> dict[str, Any]:
    """Return the fields of a filing's sheet, as the newest records and corrections say."""
    sheet: dict[str, Any] = {}
    for record in state.correctable.values():
        details = record.corrected_details
        if record.filing != filing or record.is_void:
            continue
        if record.action == "filing-set":
            sheet |= details[_SHEET]
        elif record.action == "submit" and details["number"]:
            sheet["number"] = details["number"]
            sheet.setdefault("issued_on", details["on"])
    return sheet


def is_sheet_contradictory(state: ReferenceState, filing: str) -> bool:
    """Return True if the filing number was issued before the first submission."""
    issued_on, submissions = sheet_of(state, filing).get("issued_on"), submissions_of(state, filing)
    return bool(issued_on and submissions) and issued_on < submissions[0].corrected_details["on"]


# --- the program's answers


def compare_corrections(world: World, archive: Archive) -> None:
    """Compare the records, the submissions of versions, and the sheets with those of the index."""
    state, events = world.state, archive.index.life_events()
    records = {event.seq: event for event in events if event.action in _MEMBERS}
    assert list(records) == list(state.correctable)
    for seq, record in records.items():
        reference = state.correctable[seq]
        assert (record.action, record.filing, record.at) == (reference.action, reference.filing, reference.at), seq
        assert record.details == reference.corrected_details, seq
        stated = [(each.seq, each.at, each.reason, each.by, each.is_void) for each in record.corrections]
        assert stated == [each[:5] for each in reference.corrections], seq
        assert record.is_void == reference.is_void, seq
    for version in archive.index.versions():
        for submission in version.submitted:
            reference = state.correctable[submission.seq]
            details = reference.corrected_details
            shown = (submission.on, submission.kind, submission.number, submission.by, submission.is_void)
            assert shown == (*(details[name] for name in ("on", "kind", "number", "by")), reference.is_void)
    for name, filing in filings_from_events(events).items():
        assert filing.sheet_fields == sheet_of(state, name), name


def _with_display_names(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values as listed: beside a submission in its ref form, its name as people read it.

    Both are the same text for all names of the model.
    """
    submission = values.get("submission")
    return values | {"submission_name": submission} if submission else values


def compare_correction_answers(world: World) -> None:
    """Compare what ``log --records`` shows: the newest values, and beside them each correction with the old ones."""
    state = world.state
    listed = {item["seq"]: item for item in read_json(world.root, "log", "--records")}
    assert list(listed) == list(state.correctable)
    for seq, item in listed.items():
        record = state.correctable[seq]
        assert (item["kind"], item["filing"], item["void"]) == (record.action, record.filing, record.is_void), seq
        assert item["fields"] == _with_display_names(values_of(record)), seq
        earlier = ReferenceRecord(record.seq, record.at, record.action, record.filing, record.details)
        for shown, correction in zip(item["corrections"], record.corrections, strict=True):
            changes = {change["field"]: (change["old"], change["new"]) for change in shown["changes"]}
            expected = {
                name.removeprefix(f"{_SHEET}."): (values_of(earlier)[name.removeprefix(f"{_SHEET}.")], value)
                for name, value in correction.new_values.items()
            }
            assert changes == expected, f"{seq}: {changes} instead of {expected}"
            assert (shown["seq"], shown["reason"], shown["void"]) == (
                correction.seq,
                correction.reason,
                correction.is_void,
            ), seq
            earlier.corrections.append(correction)
