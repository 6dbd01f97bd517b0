"""Write the daemon's log.  A full disk, or a closed pipe at the other end, must not stop the work."""

from __future__ import annotations

from archiver.errors import LazyMessage, Reporter

LOG_LOST = LazyMessage.define(
    "{count} lines of the log were not written. No archived data was lost. Check the log destination.",
    singular="{count} line of the log was not written. No archived data was lost. Check the log destination.",
)


class Log:
    """A reporter that passes messages on to another reporter, and counts the messages lost on the way."""

    def __init__(self, report: Reporter) -> None:
        """Pass messages to ``report``, which writes the log and raises OSError or ValueError on failure."""
        self._report = report
        #: The number of messages lost since the last successful write.
        self.lost_count = 0

    def __call__(self, template: str | LazyMessage, /, *, problem: str = "", **fields: object) -> None:
        """Write a message, then the number of messages lost before it.  Never raises OSError or ValueError."""
        try:
            self._report(template, problem=problem, **fields)
            if lost_count := self.lost_count:
                self.lost_count = 0
                self._report(LOG_LOST.with_fields(count=lost_count), problem="log")
        except (OSError, ValueError):
            # A closed stream raises ValueError.  The count is reported after the next message that can be written.
            self.lost_count += 1
