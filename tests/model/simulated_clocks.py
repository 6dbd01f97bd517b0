"""The clocks of a machine, as people and accidents set them, and the time that really passes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from archiver import clock

MICROSECOND = timedelta(microseconds=1)
#: The wall clock stays between these, so that every time can be written in four digits.
_EARLIEST_WALL, _LATEST_WALL = datetime(1972, 1, 1, tzinfo=UTC), datetime(2600, 1, 1, tzinfo=UTC)
#: What a time namespace adds to CLOCK_BOOTTIME, and not to /proc/uptime.
_NAMESPACE_OFFSET = timedelta(days=3650)


@dataclass
class SimulatedClocks:
    """All clocks stand still but for these methods, so that every reading within an act is the same."""

    wall: datetime
    #: The time that has really passed since the beginning of the run, which no clock of the machine shows.
    elapsed: timedelta = timedelta(0)
    boot_number: int = 1
    since_boot: timedelta = timedelta(minutes=10)
    is_shifted: bool = False

    def let_pass(self, span: timedelta) -> None:
        """Let time pass while the machine runs: all clocks move together."""
        self.elapsed += span
        self.since_boot += span
        self.set_wall_forward(span)

    def set_wall_forward(self, span: timedelta) -> None:
        """Set the wall clock forward, or back for a negative ``span``; no time passes."""
        self.wall = min(max(self.wall + span, _EARLIEST_WALL), _LATEST_WALL)

    def reboot(self, time_off: timedelta, wall_error: timedelta) -> None:
        """Switch the machine off for a while; its hardware clock is wrong by ``wall_error`` afterwards."""
        self.elapsed += time_off
        self.boot_number += 1
        self.since_boot = timedelta(minutes=1)
        self.set_wall_forward(time_off + wall_error)

    def read(self) -> clock.ClockReading:
        """Return what the program reads, in place of ``archiver.clock.read_clocks``."""
        offset = _NAMESPACE_OFFSET if self.is_shifted else timedelta(0)
        return clock.ClockReading(
            wall=self.wall,
            boot_id=f"00000000-0000-4000-8000-{self.boot_number:012}",
            boottime_ns=to_nanoseconds(self.since_boot + offset),
            uptime_ns=to_nanoseconds(self.since_boot),
            shifted=self.is_shifted,
        )

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Let the program read these clocks during the block."""
        real_clocks = clock.read_clocks
        clock.read_clocks = self.read
        try:
            yield
        finally:
            clock.read_clocks = real_clocks


def to_nanoseconds(span: timedelta) -> int:
    return span // MICROSECOND * 1000
