"""Read the clocks of this machine, and advance the compliance clock. No other module reads the time.

There are two times. *Wall time* is for people. The *compliance clock* counts retention. It gains only the time on
which several clocks agree within one boot, so that nobody can make content disposable by setting a clock forward.
docs/format.md defines the rule in "The compliance clock".
"""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, NamedTuple

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_UPTIME = Path("/proc/uptime")
_TIMENS_OFFSETS = Path("/proc/self/timens_offsets")


class ClockReading(NamedTuple):
    """The clocks of this machine, read at one moment."""

    wall: datetime  # UTC
    boot_id: str  # the kernel's random number of this boot; empty if it cannot be read
    boottime_ns: int  # nanoseconds since that boot, suspended time included
    uptime_ns: int  # the same from /proc/uptime, which a time namespace does not shift; 0 if it cannot be read
    shifted: bool  # True inside a time namespace that shifts the clocks


class ClockState(NamedTuple):
    """The compliance clock, and the underlying reading of the machine's clocks."""

    compliance_time: datetime
    reading: ClockReading


class WallClockMark(NamedTuple):
    """The lag of the wall clock at an event: the clock had been set back, or its battery was empty.

    The mark is only a hint for people: the order of events comes from the journal, and retention counts by the
    compliance clock. A lag of less than a second is not marked. NTP steps a clock by that much at any time, and
    after such a step, every event until the next boot would have a mark.
    """

    behind_previous_event: int  # in whole seconds; 0 if the wall clock was not behind
    behind_compliance_clock: int  # in whole seconds; 0 if the wall clock was not behind

    @property
    def seconds(self) -> int:
        """The larger of the two lags."""
        return max(self)

    def as_json(self) -> dict[str, int]:
        """Return the mark for ``--json`` and for a package; the keys must never change."""
        return {
            "behind_previous_event_seconds": self.behind_previous_event,
            "behind_compliance_clock_seconds": self.behind_compliance_clock,
        }


def read_clocks() -> ClockReading:
    """Read every clock once."""
    return ClockReading(
        wall=datetime.now(UTC),
        boot_id=_read_proc_file(_BOOT_ID),
        boottime_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME),
        uptime_ns=_parse_uptime_ns(_read_proc_file(_UPTIME)),
        shifted=_has_clock_offsets(_read_proc_file(_TIMENS_OFFSETS)),
    )


def wall_time_ns() -> int:
    """Return wall time in nanoseconds since 1970, to compare with the times of files."""
    return time.time_ns()


def monotonic_seconds() -> float:
    """Return seconds since an arbitrary start, to measure periods. Setting the wall clock does not change them."""
    return time.monotonic()


def today(zone: tzinfo) -> date:
    """Return today's date in the time zone ``zone``, by wall time."""
    return read_clocks().wall.astimezone(zone).date()


def advance_compliance_time(compliance_time: datetime, previous: ClockReading, now: ClockReading) -> datetime:
    """Return the time of the compliance clock at the reading ``now``.

    ``compliance_time`` is the time of the compliance clock at the reading ``previous``. Within one boot, the clock
    gains the smallest of three gains, those of BOOTTIME, uptime and wall time, and never goes back. Across boots,
    and inside a time namespace that shifts the clocks, the clock gains nothing: nobody can prove how much time
    passed, and a slow clock only makes retention longer.
    """
    if not previous.boot_id or previous.boot_id != now.boot_id or previous.shifted or now.shifted:
        return compliance_time
    gained_time = min(
        timedelta(microseconds=(now.boottime_ns - previous.boottime_ns) // 1000),
        timedelta(microseconds=(now.uptime_ns - previous.uptime_ns) // 1000),
        now.wall - previous.wall,
    )
    return compliance_time + max(gained_time, timedelta(0))


def mark_wall_clock(at: str, previous_at: str | None, compliance_time: str) -> WallClockMark | None:
    """Return the mark for an event's wall clock; None if the wall clock was less than one second behind.

    ``at`` is the wall time of the event, ``previous_at`` the wall time of the previous event (None for the first
    event), and ``compliance_time`` the event's time by the compliance clock, all as in the journal. Raises
    ValueError if one of the texts is not a time with a zone.
    """
    wall_time = parse_time(at)
    behind_previous = timedelta(0) if previous_at is None else parse_time(previous_at) - wall_time
    behind_compliance = parse_time(compliance_time) - wall_time
    mark = WallClockMark(
        *(max(0, behind // timedelta(seconds=1)) for behind in (behind_previous, behind_compliance))
    )
    return mark if mark.seconds else None


def measure_waiting(previous: ClockReading, now: ClockReading, credit_per_boot: timedelta) -> timedelta:
    """Return how much waiting time passed between two readings; never negative, and not proof of anything.

    Within one boot, the result is the smallest of three gains, those of BOOTTIME, uptime and wall time, so setting
    the wall clock forward ends no waiting. Across boots, the result is the gain of wall time, but at most the
    uptime of the present boot plus ``credit_per_boot``. So a machine that starts often makes progress, and a wrong
    clock at a start ends no waiting either. Unlike :func:`advance_compliance_time`, this function also counts time
    inside a time namespace.
    """
    wall_gain = now.wall - previous.wall
    boottime_gain = timedelta(microseconds=(now.boottime_ns - previous.boottime_ns) // 1000)
    uptime_gain = timedelta(microseconds=(now.uptime_ns - previous.uptime_ns) // 1000)
    if previous.boot_id == now.boot_id and boottime_gain >= timedelta(0):
        # A container may count its own uptime, which begins again with the container: leave out a negative gain.
        gains = [wall_gain, boottime_gain, *([uptime_gain] if uptime_gain >= timedelta(0) else [])]
        return max(min(gains), timedelta(0))
    present_boot = timedelta(microseconds=(now.uptime_ns or now.boottime_ns) // 1000)
    return max(min(wall_gain, present_boot + credit_per_boot), timedelta(0))


def format_time(time_to_format: datetime) -> str:
    """Return a time as RFC 3339 in UTC with microseconds, the form of all journalled times."""
    return time_to_format.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(time_text: str) -> datetime:
    """Return the time in ``time_text`` (RFC 3339). Raises ValueError if the text is not a time with a zone."""
    parsed_time = datetime.fromisoformat(time_text)
    if parsed_time.tzinfo is None:
        raise ValueError(f"time without a zone: {time_text}")
    return parsed_time


def make_evidence(compliance_time: datetime, reading: ClockReading) -> dict[str, Any]:
    """Return the member ``clock`` of a journal event: the compliance clock, and the underlying reading."""
    return {
        "time": format_time(compliance_time),
        "wall": format_time(reading.wall),
        "boot_id": reading.boot_id,
        "boottime_ns": reading.boottime_ns,
        "uptime_ns": reading.uptime_ns,
        "shifted": reading.shifted,
    }


def parse_evidence(clock_member: dict[str, Any]) -> ClockState:
    """Return the compliance clock and the clock reading in ``clock_member``, the member ``clock`` of an event.

    This is the reverse of :func:`make_evidence`. The times are checked, and so is the presence of each key. The
    types of the other values are not checked.

    Raises ValueError if a text is not a time with a zone, KeyError if a key is missing, and TypeError if a time is
    not a text or ``clock_member`` is not a JSON object.
    """
    clock_reading = ClockReading(
        wall=parse_time(clock_member["wall"]),
        boot_id=clock_member["boot_id"],
        boottime_ns=clock_member["boottime_ns"],
        uptime_ns=clock_member["uptime_ns"],
        shifted=clock_member["shifted"],
    )
    return ClockState(parse_time(clock_member["time"]), clock_reading)


def _read_proc_file(path: Path) -> str:
    """Return the text of a file below /proc, or an empty text if it cannot be read."""
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        # There is no /proc, or the kernel lacks the file. Without a boot id the compliance clock gains nothing.
        return ""


def _parse_uptime_ns(uptime_text: str) -> int:
    """Return the uptime in the text of /proc/uptime, in nanoseconds; 0 if the text has another form."""
    uptime_seconds = uptime_text.split(" ", 1)[0]
    whole_seconds, _, fraction_digits = uptime_seconds.partition(".")
    if not whole_seconds.isdigit():
        return 0
    nanosecond_digits = (fraction_digits + "0" * 9)[:9]
    return int(whole_seconds) * 10**9 + int(nanosecond_digits)


def _has_clock_offsets(offsets_text: str) -> bool:
    """Return True if the text of /proc/self/timens_offsets contains an offset other than 0.

    Each line holds the name of a clock, seconds, and nanoseconds.
    """
    offsets = [offset for offset_line in offsets_text.splitlines() for offset in offset_line.split()[1:]]
    return any(offset not in ("0", "") for offset in offsets)
