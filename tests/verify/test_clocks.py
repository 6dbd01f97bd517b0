"""Wall clocks that jump are marked, and only a time that the event's own reading denies is a finding."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver import clock
from archiver.verify.chain_replay import largest_clock_gain, parse_microseconds, seconds_behind, seconds_claimed
from archiver.verify.clocks import EventClock, check_clock
from archiver.verify.findings import VerifyReport
from tests.support import faketime, forged
from tests.support.site import Site

START = datetime(2026, 1, 1, tzinfo=UTC)
NS = 10**9
#: What happens between two events, how many seconds pass, and by how much somebody sets the wall clock.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["run", "off", "wall", "ntp", "battery", "namespace", "no boot id", "token"]),
        st.integers(min_value=0, max_value=400 * 86400),
        st.integers(min_value=-20 * 365 * 86400, max_value=20 * 365 * 86400),
    ),
    max_size=20,
)
History = list[tuple[str, int, int]]


def events_of(history: History) -> list[dict[str, Any]]:
    """The events that the writer would write, one after each step, on a machine with these clocks."""
    true, wall, boot, since_boot = START, START, 0, 0
    reading = clock.ClockReading(wall, "0", 0, 0, False)
    value = START
    events = [event_of(1, "init", value, reading)]
    for what, seconds, shift in history:
        true += timedelta(seconds=seconds)
        wall += timedelta(seconds=seconds)
        since_boot += seconds
        if what in ("off", "battery"):
            boot, since_boot = boot + 1, 0
        if what == "battery":
            wall = datetime(2000, 1, 1, tzinfo=UTC)
        if what == "wall":
            wall = max(datetime(1970, 1, 1, tzinfo=UTC), wall + timedelta(seconds=shift))
        if what == "ntp":
            wall += timedelta(microseconds=shift // 1000)
        now = clock.ClockReading(
            wall,
            "" if what == "no boot id" else str(boot),
            (since_boot + (abs(shift) if what == "namespace" else 0)) * NS,
            since_boot * NS,
            what == "namespace",
        )
        value, reading = clock.advance_compliance_time(value, reading, now), now
        if what == "token":
            value = max(value, true)
        events.append(event_of(len(events) + 1, "timestamp" if what == "token" else "tick", value, now, true))
    return events


def event_of(
    seq: int, action: str, value: datetime, reading: clock.ClockReading, true: datetime = START
) -> dict[str, Any]:
    details = {"time": clock.format_time(true), "seq": 1} if action == "timestamp" else {}
    return {
        "seq": seq,
        "at": clock.format_time(reading.wall),
        "action": action,
        "clock": clock.make_evidence(value, reading),
        "details": details,
    }


def checked(events: list[dict[str, Any]]) -> VerifyReport:
    report, previous = VerifyReport(), None
    for event in events:
        previous = check_clock(event, previous, report)
    return report


@given(STEPS)
def test_an_honest_archive_has_no_finding_whatever_its_wall_clock_does(history: History) -> None:
    assert checked(events_of(history)).findings == []


@given(STEPS, st.sets(st.integers(min_value=0, max_value=20)))
def test_nor_has_it_any_if_only_some_of_the_events_are_disclosed(history: History, left_out: set[int]) -> None:
    """Tokens are in every package.  Between the others, the wall clock may have been set back and forth."""
    disclosed = [
        event
        for event in events_of(history)
        if event["seq"] not in left_out or event["action"] in ("init", "timestamp")
    ]
    assert checked(disclosed).findings == []


@given(STEPS)
def test_the_clock_of_a_token_is_all_that_gains_without_evidence(history: History) -> None:
    """A clock that gains one second more than the clocks of the machine is a finding, at every event."""
    events = events_of(history)
    for event in events[1:]:
        value = clock.parse_time(event["clock"]["time"])
        later = {**event["clock"], "time": clock.format_time(value + timedelta(seconds=1))}
        before = events[event["seq"] - 2]
        if event["action"] != "timestamp":
            report = checked([before, {**event, "clock": later}])
            gain = largest_clock_gain(before["clock"], event["clock"], True)
            gained = value - clock.parse_time(before["clock"]["time"])
            assert gain == gained // timedelta(microseconds=1)
            assert [finding.code for finding in report.findings] == ["A034"]


@given(STEPS)
def test_the_index_and_verify_mark_the_same_events(history: History) -> None:
    previous_at = None
    for event in events_of(history):
        mark = clock.mark_wall_clock(event["at"], previous_at, event["clock"]["time"])
        assert (mark or (0, 0)) == seconds_behind(event["at"], previous_at, event["clock"])
        previous_at = event["at"]


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(8999, 1, 1)))
def test_both_read_a_time_in_the_same_way(time: datetime) -> None:
    text = clock.format_time(time.replace(tzinfo=UTC))
    assert parse_microseconds(text) == (clock.parse_time(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
        microseconds=1
    )


@pytest.mark.parametrize(
    ("earlier", "claimed"), [(0, 0), (600, 0), (601, 601), (86400, 86400), (-86400, 0)], ids=str
)
def test_up_to_ten_minutes_are_no_claim(earlier: int, claimed: int) -> None:
    evidence = clock.make_evidence(START, clock.ClockReading(START, "b", 0, 0, False))
    assert seconds_claimed(clock.format_time(START - timedelta(seconds=earlier)), evidence) == claimed


@pytest.mark.parametrize("text", ["2026-01-01T00:00:00", "yesterday", ""])
def test_a_time_without_a_zone_is_no_time(text: str) -> None:
    with pytest.raises(ValueError):
        parse_microseconds(text)


# --- through the installed command


@pytest.fixture
def set_back(site: Site) -> Site:
    """The second of three versions was captured and submitted with the wall clock two days behind."""
    site.write("f/s/a", "1")
    site.catch_up()
    site.write("f/s/a", "2")
    back = faketime.at(-2)
    site.run("run", "--once", "--settle", "0.05", env=back)
    site.run("submit", "f/s", "--on", "2025-01-02", "--version", "2", env=back)
    site.write("f/s/a", "3")
    site.catch_up()
    return site


def test_a_version_is_marked_with_the_size(set_back: Site) -> None:
    third, second, first = set_back.json("log")
    assert "clock_mark" not in first
    assert "clock_mark" not in third
    sizes = second["clock_mark"]
    assert 172_700 < sizes["behind_compliance_clock_seconds"] <= 172_900
    assert 172_700 < sizes["behind_previous_event_seconds"] <= 172_900
    assert 172_700 < second["submitted"][0]["clock_mark"]["behind_compliance_clock_seconds"] <= 172_900
    listed = set_back.run("log").stdout
    assert listed.count(" [-") == 1
    assert "[-] the system clock was behind by this much" in listed
    assert "behind the compliance clock." in set_back.run("show", "f/s/v2").stdout
    assert "behind the compliance clock." not in set_back.run("show", "f/s/v3").stdout
    set_back.run("reindex")
    assert set_back.json("log")[1]["clock_mark"] == sizes
    report = set_back.verified()
    assert [note["code"] for note in report["notes"]] == ["note.system-clock-behind"]
    status = set_back.run("status", env=faketime.at(-2)).stdout
    assert "behind the compliance clock. New versions are marked" in status


def test_an_archive_whose_clock_was_right_has_no_mark(site: Site) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    assert "clock_mark" not in site.json("log")[0]
    assert "[-" not in site.run("log").stdout
    assert site.verified()["notes"] == []
    assert "New versions are marked" not in site.run("status").stdout


def a_day_earlier(event: dict[str, Any]) -> None:
    event["at"] = clock.format_time(clock.parse_time(event["at"]) - timedelta(days=1))


@pytest.mark.needs("processes")
def test_an_earlier_day_than_the_clock_showed_is_a_finding(site: Site) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    forged.replace_newest(site, a_day_earlier, key=site.archive / "keys")
    site.forget_databases()
    site.run("reindex")
    assert [finding["code"] for finding in site.findings()] == ["A049"]
    site.run("audit", "--to", "package")
    done = run_verifier(site)
    assert (done.returncode, "claims to be earlier than its reading" in done.stdout) == (1, True)


@pytest.mark.needs("processes")
def test_a_package_is_marked_as_well(set_back: Site) -> None:
    set_back.run("audit", "--to", "package")
    done = run_verifier(set_back)
    assert done.returncode == 0, done.stdout
    assert "the system clock at " in done.stdout
    (second,) = (
        version
        for version in json.loads((set_back.root / "package/data/versions.json").read_text("utf-8"))
        if version["tag"] == "f/s/v2"
    )
    assert second["clock_mark"]["behind_compliance_clock_seconds"] > 172_700
    assert "clock_mark" in second["submitted"][0]
    page = (set_back.root / "package/report.html").read_text("utf-8")
    assert "system clock behind by " in page


def ahead(seconds: int) -> Any:
    def change(event: dict[str, Any]) -> None:
        value = clock.parse_time(event["clock"]["time"]) + timedelta(seconds=seconds)
        event["clock"]["time"] = clock.format_time(value)

    return change


@pytest.mark.needs("processes")
@pytest.mark.parametrize(
    ("seconds", "code", "sentence"),
    [(3600, "A034", "ran ahead of its evidence"), (-3600, "A033", "is behind that of the event before")],
)
def test_the_verifier_of_a_package_checks_the_compliance_clock(
    site: Site, seconds: int, code: str, sentence: str
) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    forged.replace_newest(site, ahead(seconds), key=site.archive / "keys")
    site.forget_databases()
    site.run("reindex")
    assert [finding["code"] for finding in site.findings()] == [code]
    site.run("audit", "--to", "package")
    assert sentence in run_verifier(site).stdout


def run_verifier(site: Site) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-S", "verify.py", "--lang", "en"],
        cwd=site.root / "package",
        capture_output=True,
        text=True,
    )


def test_an_event_that_cannot_be_read_hides_what_the_wall_clock_did() -> None:
    """Set back by an hour at the hidden event, and forth again: the gain after it is more than that of the wall."""

    def event(seq: int, wall_minutes: int, boot_minutes: int, value_minutes: int) -> Mapping[str, Any]:
        reading = clock.ClockReading(
            START + timedelta(minutes=wall_minutes), "b", boot_minutes * 60 * NS, boot_minutes * 60 * NS, False
        )
        return event_of(seq, "tick", START + timedelta(minutes=value_minutes), reading)

    report = VerifyReport()
    first = check_clock(event(1, 60, 0, 0), None, report)
    assert isinstance(first, EventClock)
    check_clock(event(3, 30, 31, 30), first, report)
    assert report.findings == []
    check_clock(event(3, 30, 31, 32), first, report)
    assert [finding.code for finding in report.findings] == ["A034"]
