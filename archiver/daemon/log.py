"""The log, as the daemon writes it: a full disk or a reader that went away must not stop the work."""

from __future__ import annotations

from archiver.errors import Reporter

LOG_LOST = "{count} lines of the log could not be written. Nothing archived was lost. Check where the log goes."


class Log:
    """Tells what happened where that can be told, and later how much could not."""

    def __init__(self, tell: Reporter) -> None:
        self._tell = tell
        #: Lines that could not be written since the last that could.
        self.lost = 0

    def __call__(self, template: str, /, *, problem: str = "", **fields: object) -> None:
        """Tell it; never raises for the sake of the log."""
        try:
            self._tell(template, problem=problem, **fields)
            if lost := self.lost:
                self.lost = 0
                self._tell(LOG_LOST, problem="log", count=lost)
        except (OSError, ValueError):
            # ValueError: the stream was closed.
            self.lost += 1
