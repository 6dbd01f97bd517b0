"""The installed command at a later time: ``python -m tests.support.later DAYS[/BOOT] COMMAND ...``.

All clocks of the machine move together, as they would if that much time had
passed on a machine that was never switched off.  With BOOT, it was switched on
again just now: under that boot id, with an uptime of a minute.  Only the tests have this door:
it is not in the wheel, and the product has none like it.
"""

from __future__ import annotations

import sys
from datetime import timedelta

from archiver import clock
from archiver.cli.main import main

_ON_BEFORE = timedelta(days=1100)


def shift(days: float, boot: str = "") -> None:
    """Let everything in this process see the clocks as they will be then."""
    read, span = clock.read_clocks, timedelta(days=days)

    def later() -> clock.ClockReading:
        now = read()
        # The machine was on for three years before, so that no reading is negative on a day that is past.
        ns = int((span + _ON_BEFORE).total_seconds() * 10**9)
        if boot:
            minute = 60 * 10**9
            return now._replace(wall=now.wall + span, boot_id=boot, boottime_ns=minute, uptime_ns=minute)
        return now._replace(wall=now.wall + span, boottime_ns=now.boottime_ns + ns, uptime_ns=now.uptime_ns + ns)

    clock.read_clocks = later  # type: ignore[assignment]


def shift_as_told(text: str) -> None:
    """Call :func:`shift` with DAYS[/BOOT]."""
    days, _, boot = text.partition("/")
    shift(float(days), boot)


if __name__ == "__main__":
    shift_as_told(sys.argv[1])
    sys.exit(main(sys.argv[2:]))
