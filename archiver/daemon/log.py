"""Write the daemon's log; a full disk or a reader that went away must not stop the work."""

from __future__ import annotations

from archiver.errors import LazyMessage, Reporter

LOG_LOST = LazyMessage.define(
    "{count} lines of the log could not be written. Nothing archived was lost. Check where the log goes.",
    singular="{count} line of the log could not be written. Nothing archived was lost. Check where the log goes.",
)


class Log:
    """Report events through another reporter, and count those that it could not write."""

    def __init__(self, tell: Reporter) -> None:
        self._tell = tell
        #: Lines that could not be written since the last one that could.
        self.lost = 0

    def __call__(self, template: str | LazyMessage, /, *, problem: str = "", **fields: object) -> None:
        """Report an event; never raises for a log that cannot be written."""
        try:
            self._tell(template, problem=problem, **fields)
            if lost := self.lost:
                self.lost = 0
                self._tell(LOG_LOST.with_fields(count=lost), problem="log")
        except (OSError, ValueError):
            # ValueError is how Python reports a closed stream.
            self.lost += 1
