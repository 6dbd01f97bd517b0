"""Write the daemon's log.  A full disk, or a closed pipe at the other end, must not stop the work."""

from __future__ import annotations

from archiver.errors import LazyMessage, Reporter

LOG_LOST = LazyMessage.define(
    "{count} lines of the log were not written. No archived data was lost. Check the log destination.",
    singular="{count} line of the log was not written. No archived data was lost. Check the log destination.",
)


class Log:
    """A reporter passing messages on to another reporter, and counting messages lost by write failures."""

    def __init__(self, report: Reporter) -> None:
        """``report`` writes the log, and raises OSError or ValueError if that fails."""
        self._report = report
        #: The number of messages that could not be written since the last one that could.
        self.lost_count = 0

    def __call__(self, template: str | LazyMessage, /, *, problem: str = "", **fields: object) -> None:
        """Write a message, then the number of messages lost before; never raises for a failing log."""
        try:
            self._report(template, problem=problem, **fields)
            if lost_count := self.lost_count:
                self.lost_count = 0
                self._report(LOG_LOST.with_fields(count=lost_count), problem="log")
        except (OSError, ValueError):
            # A closed stream raises ValueError.  The count is reported after the next message that can be written.
            self.lost_count += 1
