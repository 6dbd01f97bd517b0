"""The bounds of format 2: what is too long or invisible is refused before it is written, and found after it."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver.errors import UsageError
from archiver.store import names
from archiver.store.events import validation
from archiver.store.events.canonical_json import encode_canonical
from archiver.store.events.event_details import GivenDetails
from archiver.store.events.event_kinds import Action
from archiver.store.events.filing_events import FilingEnded, FilingUpdated
from archiver.store.events.retention_events import HoldPlaced
from archiver.store.events.vocabulary import DETAILS_BY_ACTION
from archiver.store.writing.drafts import Draft
from tests.support import forged
from tests.support.site import Site

LONGEST = names.MAX_TEXT_LENGTH
LONGEST_TYPED = names.MAX_TYPED_LENGTH
HOLD = {"name": "n", "reason": "r", "by": None}
#: Details of a hold beyond the bounds, and the path of the value that the error names.
BEYOND_BOUNDS: dict[str, tuple[dict[str, Any], str]] = {
    "a reason of two pages": ({**HOLD, "reason": "长" * (LONGEST_TYPED + 1)}, "details.reason"),
    "a reason with the escape that begins a command to a terminal": (
        {**HOLD, "reason": "\x1b[2J"},
        "details.reason",
    ),
    "a tab in a name": ({**HOLD, "name": "a\tb"}, "details.name"),
    "a carriage return, which hides the line before it": ({**HOLD, "by": "Li\rWang"}, "details.by"),
    "a control character of Latin-1": ({**HOLD, "reason": "\x85"}, "details.reason"),
    "a member for others that holds a file": ({**HOLD, "x-a": "a" * (LONGEST + 1)}, "details.x-a"),
    "a name of a member that holds a file": ({**HOLD, "x-" + "a" * LONGEST: 1}, "details"),
    "a list in a list in a list in a list": ({**HOLD, "x-a": [[[[]]]]}, "details.x-a.0.0.0"),
    "a number that no database holds": ({**HOLD, "x-a": 1 << 63}, "details.x-a"),
    "many texts, each of which fits": ({**HOLD, "x-a": ["a" * LONGEST] * 1030}, "details"),
}


@pytest.mark.parametrize("name", BEYOND_BOUNDS)
def test_what_is_beyond_the_bounds_is_refused_with_the_name_of_the_field(name: str) -> None:
    details, path = BEYOND_BOUNDS[name]
    with pytest.raises(UsageError, match=rf"^{re.escape(path)} cannot be recorded because it contains ") as raised:
        validation.check_new_event(Action.HOLD, "f", details, ())
    if len(str(details)) > LONGEST_TYPED:
        limit = raised.value.message.fields["most"]
        assert limit in ("4,000", "16,384", "16,777,216")


@pytest.mark.needs("processes")
@pytest.mark.parametrize("name", BEYOND_BOUNDS)
def test_a_stored_event_beyond_the_bounds_is_a_finding_and_only_disposals_stop(site: Site, name: str) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    details, path = BEYOND_BOUNDS[name]
    seq = forged.append(
        site, forged.in_chain_of(site, "f", "hold", **details), head=forged.SignedBy(site.archive / "keys")
    )
    (finding,) = site.findings()
    assert (finding["code"], finding["object"]) == ("A030", f"event {seq}")
    assert f"{path} contains " in str(finding)
    # Everything else goes on.
    site.write("f/s/a", "2")
    site.catch_up()
    assert site.tags() == ["f/s/v2", "f/s/v1"]
    site.run("hold", "place", "inspection", "f", "--reason", "r")
    assert f"event {seq}" in site.run("dispose", "plan", code=4).stderr


@pytest.mark.needs("processes")
def test_the_verifier_of_a_package_finds_it_too(site: Site, tmp_path: Path) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    details = {**HOLD, "reason": "a" * (LONGEST_TYPED + 1)}
    seq = forged.append(
        site, forged.in_chain_of(site, "f", "hold", **details), head=forged.SignedBy(site.archive / "keys")
    )
    site.run("audit", "--to", tmp_path / "package")
    command = [sys.executable, "-I", "-S", "verify.py", "--lang", "en"]
    done = subprocess.run(command, cwd=tmp_path / "package", capture_output=True, text=True)
    assert done.returncode == 1
    assert f"event {seq} cannot be read" in done.stdout


def test_an_event_of_format_1_has_no_bounds() -> None:
    document = {
        "seq": 1,
        "at": "2026-01-01T00:00:00.000000Z",
        "clock": {
            "time": "2026-01-01T00:00:00.000000Z",
            "wall": "2026-01-01T00:00:00.000000Z",
            "boot_id": "b",
            "boottime_ns": 1,
            "uptime_ns": 1,
            "shifted": False,
        },
        "actor": {"uid": 1, "user": "a" * (LONGEST + 1)},
        "action": "hold",
        "object": "f" * (LONGEST + 1),
        "details": {**HOLD, "reason": "\x1b" * (LONGEST + 1), "deep": [[[[[]]]]]},
        "refs": {},
        "attachments": [],
        "prev": "0" * 64,
    }
    assert validation.parse_event_document(encode_canonical(document)) == document


@pytest.mark.needs("processes")
def test_a_text_of_the_greatest_length_is_recorded(site: Site) -> None:
    archive = site.open()
    try:
        with archive.writing(5) as writer:
            reason = "长" * LONGEST_TYPED
            writer.append(Draft("f", HoldPlaced(name="n", reason=reason, reported_by=None)))
            writer.append(Draft("f", GivenDetails(Action.RESTORE, {"x-a": "\x1b" * LONGEST, "of_filing": "f"})))
            object_of_bounds = "f/" + "s" * (LONGEST - 2)
            writer.append(Draft(object_of_bounds, HoldPlaced(name="m", reason="r", reported_by=None)))
            with pytest.raises(UsageError, match=r"^object .* more than 16,384 characters"):
                writer.append(Draft(object_of_bounds + "s", HoldPlaced(name="m", reason="r", reported_by=None)))
        assert [hold.reason for hold in archive.index.holds()] == [reason, "r"]
        assert archive.index.unread_events() == []
    finally:
        archive.close()


@pytest.mark.needs("processes")
@pytest.mark.parametrize(
    ("arguments", "field", "limit"),
    [
        (("hold", "place", "n", "f", "--reason", "a" * 4001), "reason", "4,000"),
        (("filing", "set", "f", "--company", "a" * 1001), "company", "1,000"),
        (("filing", "set", "f", "--portal-text", "a" * 4001, "--status", "filed"), "portal_text", "4,000"),
        (("key", "rotate", "--reason", "a" * 4001), "reason", "4,000"),
        (("audit", "--to", "package", "--reason", "a" * 4001), "reason", "4,000"),
    ],
)
def test_a_command_names_the_field_and_the_limit(
    site: Site, arguments: tuple[str, ...], field: str, limit: str
) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    before = site.git("rev-parse", "journal").stdout
    said = site.run(*arguments, code=2).stderr
    assert f"{field} cannot be recorded because it contains more than {limit} characters" in said
    assert site.git("rev-parse", "journal").stdout == before


# --- properties

TEXTS = st.text(max_size=30) | st.sampled_from(
    ["a\r\nb", "a\tb", "\x00", "\x1b[2J", "\x7f", "\x9b", "\ud800", "长" * 4001]
)


@given(typed_text=TEXTS)
@settings(max_examples=200, deadline=None)
def test_what_is_cleaned_is_within_the_bounds(typed_text: str) -> None:
    """A text is refused at once, or recorded: the writer never refuses what the command has accepted."""
    try:
        clean_text = names.clean_typed_text(typed_text, "reason")
    except UsageError:
        return
    details = FilingEnded(ended_on=date(2026, 1, 1), reason=clean_text, reported_by=None)
    validation.check_new_event(Action.FILING_END, "f", details.to_details(), ())
    assert "\t" not in clean_text
    assert "\r" not in clean_text


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 65), 1 << 65) | st.floats() | TEXTS,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(TEXTS, values, max_size=3),
    max_leaves=12,
)


@given(action=st.sampled_from(list(DETAILS_BY_ACTION)), details=st.dictionaries(TEXTS, VALUES, max_size=4))
@settings(max_examples=200, deadline=None)
def test_what_the_writer_accepts_a_reader_accepts(action: str, details: dict[str, Any]) -> None:
    """Both use one check, and what passes it is JSON that comes back."""
    try:
        validation.check_bounds(action, details)
    except validation.UnfitValue:
        return
    data = encode_canonical(details)
    read_details = validation.load_json_object(data)
    validation.check_bounds(action, read_details, len(data))
    assert encode_canonical(read_details) == data


@given(text=TEXTS)
@settings(max_examples=100, deadline=None)
def test_a_sheet_is_typed_in_every_part(text: str) -> None:
    is_clean = not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]", text) and len(text) <= LONGEST_TYPED
    for fields in ({"company": text}, {"products": ["a", text]}):
        details = FilingUpdated(fields=fields, recorded_on=date(2026, 1, 1), reported_by=None, number_reason=None)
        try:
            validation.check_bounds(Action.FILING_SET, details.to_details())
            assert is_clean
        except validation.UnfitValue:
            assert not is_clean
