"""The only clock of the program.

Two times are kept apart.  *Wall time* is for people.  The *compliance clock*
counts retention: it only ever gains what several clocks of one boot agree on,
so that setting a clock forward never makes anything disposable.  The rule is
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
    """What the clocks of this machine said at one moment.

    ``wall`` is UTC; ``boottime_ns`` and ``uptime_ns`` count from the boot named
    by ``boot_id``; ``shifted`` is true inside a time namespace with offsets.
    """

    wall: datetime
    boot_id: str
    boottime_ns: int
    uptime_ns: int
    shifted: bool


def read() -> Reading:
    """Read every clock once."""
    return Reading(
        wall=datetime.now(UTC),
        boot_id=_text(_BOOT_ID),
        boottime_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME),
        uptime_ns=_uptime_ns(_text(_UPTIME)),
        shifted=_has_offsets(_text(_TIMENS_OFFSETS)),
    )


def wall_ns() -> int:
    """Wall time in ns, to compare with the times that the kernel gives to files."""
    return time.time_ns()


def monotonic() -> float:
    """Seconds for quiet periods; unaffected by changes of the system clock."""
    return time.monotonic()


def today(zone: tzinfo) -> date:
    """Today's date in ``zone``, by wall time."""
    return read().wall.astimezone(zone).date()


def advance(clock: datetime, before: Reading, now: Reading) -> datetime:
    """The compliance clock at ``now``, given its value at ``before``.

    Within one boot it gains the least of what BOOTTIME, uptime and wall time
    gained.  Across boots, and inside a time namespace with offsets, it gains
    nothing: switched-off time cannot be proven and only lengthens retention.
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
    """RFC 3339 in UTC with microseconds, the form of all journalled times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse(text: str) -> datetime:
    """Read a journalled time; ``ValueError`` if it has no zone or is no time."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time without a zone: {text}")
    return moment


def evidence(clock: datetime, reading: Reading) -> dict[str, Any]:
    """The ``clock`` member of an event: the clock and what it was derived from."""
    return {
        "time": stamp(clock),
        "wall": stamp(reading.wall),
        "boot_id": reading.boot_id,
        "boottime_ns": reading.boottime_ns,
        "uptime_ns": reading.uptime_ns,
        "shifted": reading.shifted,
    }


def from_evidence(member: dict[str, Any]) -> tuple[datetime, Reading]:
    """The inverse of :func:`evidence`."""
    return parse(member["time"]), Reading(
        wall=parse(member["wall"]),
        boot_id=member["boot_id"],
        boottime_ns=member["boottime_ns"],
        uptime_ns=member["uptime_ns"],
        shifted=member["shifted"],
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _uptime_ns(text: str) -> int:
    first = text.split(" ", 1)[0]
    whole, _, fraction = first.partition(".")
    if not whole.isdigit():
        return 0
    return int(whole) * 10**9 + int((fraction + "0" * 9)[:9])


def _has_offsets(text: str) -> bool:
    fields = [line.split() for line in text.splitlines()]
    return any(value not in ("0", "") for line in fields for value in line[1:])
