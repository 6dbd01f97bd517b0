"""Read the clocks of this machine, and advance the compliance clock; no other module asks for the time.

Two times are kept apart.  *Wall time* is for people.  The *compliance clock* counts retention: it gains only what
several clocks of one boot agree on, so that setting a clock forward never makes anything disposable.  The rule is
that of docs/format.md, "The compliance clock".
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_UPTIME = Path("/proc/uptime")
_TIMENS_OFFSETS = Path("/proc/self/timens_offsets")


@dataclass(frozen=True, slots=True)
class Reading:
    """The clocks of this machine, read together."""

    wall: datetime  # UTC
    boot_id: str  # the kernel's random number of this boot; empty if it cannot be read
    boottime_ns: int  # since that boot, time in suspend included
    uptime_ns: int  # the same from another source, which a time namespace does not shift
    shifted: bool  # inside a time namespace with offsets


def read() -> Reading:
    """Read every clock once."""
    return Reading(
        wall=datetime.now(UTC),
        boot_id=_read_proc_file(_BOOT_ID),
        boottime_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME),
        uptime_ns=_parse_uptime_ns(_read_proc_file(_UPTIME)),
        shifted=_has_offsets(_read_proc_file(_TIMENS_OFFSETS)),
    )


def wall_ns() -> int:
    """Return wall time in nanoseconds, to compare with the times of files."""
    return time.time_ns()


def monotonic() -> float:
    """Return seconds for measuring periods; changes of the system clock do not affect them."""
    return time.monotonic()


def today(zone: tzinfo) -> date:
    """Return today's date in ``zone``, by wall time."""
    return read().wall.astimezone(zone).date()


def advance(clock: datetime, before: Reading, now: Reading) -> datetime:
    """Return the compliance clock at ``now``, given its value ``clock`` at ``before``.

    Within one boot it gains the least of what BOOTTIME, uptime and wall time gained.  Across boots, and inside a
    time namespace with offsets, it gains nothing: the time in between cannot be proven, and retention only gets
    longer.
    """
    if not before.boot_id or before.boot_id != now.boot_id or before.shifted or now.shifted:
        return clock
    gained = min(
        timedelta(microseconds=(now.boottime_ns - before.boottime_ns) // 1000),
        timedelta(microseconds=(now.uptime_ns - before.uptime_ns) // 1000),
        now.wall - before.wall,
    )
    return clock + max(gained, timedelta(0))


def stamp(moment: datetime) -> str:
    """Format a time as RFC 3339 in UTC with microseconds, the form of all journalled times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse(text: str) -> datetime:
    """Parse a journalled time; raises ValueError for text that is no time or has no zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time without a zone: {text}")
    return moment


def evidence(clock: datetime, reading: Reading) -> dict[str, Any]:
    """Return the ``clock`` member of an event: the compliance clock, and the reading that it was derived from."""
    return {
        "time": stamp(clock),
        "wall": stamp(reading.wall),
        "boot_id": reading.boot_id,
        "boottime_ns": reading.boottime_ns,
        "uptime_ns": reading.uptime_ns,
        "shifted": reading.shifted,
    }


def from_evidence(member: dict[str, Any]) -> tuple[datetime, Reading]:
    """Return the compliance clock and the reading that :func:`evidence` was given.

    Raises ValueError, KeyError or TypeError for a member of another form.
    """
    return parse(member["time"]), Reading(
        wall=parse(member["wall"]),
        boot_id=member["boot_id"],
        boottime_ns=member["boottime_ns"],
        uptime_ns=member["uptime_ns"],
        shifted=member["shifted"],
    )


def _read_proc_file(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        # No /proc, or a kernel without the file: without a boot's number the compliance clock gains nothing.
        return ""


def _parse_uptime_ns(text: str) -> int:
    uptime = text.split(" ", 1)[0]
    seconds, _, fraction = uptime.partition(".")
    if not seconds.isdigit():
        return 0
    return int(seconds) * 10**9 + int((fraction + "0" * 9)[:9])


def _has_offsets(text: str) -> bool:
    offset_lines = [line.split() for line in text.splitlines()]
    return any(value not in ("0", "") for fields in offset_lines for value in fields[1:])
