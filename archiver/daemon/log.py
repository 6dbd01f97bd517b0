"""Write the daemon's log; a full disk, or a reader of the log that went away, must not stop the work."""

from __future__ import annotations

from archiver.errors import LazyMessage, Reporter

LOG_LOST = LazyMessage.define(
    "{count} lines of the log could not be written. Nothing archived was lost. Check where the log goes.",
    singular="{count} line of the log could not be written. Nothing archived was lost. Check where the log goes.",
)


class Log:
    """Report events through another reporter, and count the lines that could not be written."""

    def __init__(self, report: Reporter) -> None:
        self._report = report
        #: Lines that could not be written since the last written line.
        self.lost_count = 0

    def __call__(self, template: str | LazyMessage, /, *, problem: str = "", **fields: object) -> None:
        """Report an event; never raises for a log that cannot be written."""
        try:
            self._report(template, problem=problem, **fields)
            if lost_count := self.lost_count:
                self.lost_count = 0
                self._report(LOG_LOST.with_fields(count=lost_count), problem="log")
        except (OSError, ValueError):
            # A closed stream raises ValueError. The count is reported with the next line that can be written.
            self.lost_count += 1
