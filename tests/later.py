"""The installed command at a later time: ``python -m tests.later DAYS COMMAND ...``.

All clocks of the machine move together, as they would if that much time had
passed on a machine that was never switched off.  Only the tests have this door:
it is not in the wheel, and the product has none like it.
"""

from __future__ import annotations

import dataclasses
import sys
from datetime import timedelta

from archiver import clock
from archiver.cli.main import main


def shift(days: float) -> None:
    """Let everything in this process see the clocks as they will be then."""
    read, span = clock.read, timedelta(days=days)

    def later() -> clock.Reading:
        now = read()
        ns = int(span.total_seconds() * 10**9)
        return dataclasses.replace(
            now, wall=now.wall + span, boottime_ns=now.boottime_ns + ns, uptime_ns=now.uptime_ns + ns
        )

    clock.read = later  # type: ignore[assignment]


if __name__ == "__main__":
    shift(float(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
