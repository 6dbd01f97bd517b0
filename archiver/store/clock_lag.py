"""Why the compliance clock is behind the wall clock.  Pure; told by ``status``, decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from archiver import clock
from archiver.model import Event


@dataclass(frozen=True, slots=True)
class Lag:
    """Seconds that were not earned: with the machine off, and with its wall clock set forward.

    ``last`` is the evidence that the next span counts from; empty at the beginning.
    """

    off: float = 0.0
    ahead: float = 0.0
    last: dict[str, Any] | None = None

    def after(self, event: Event) -> Lag:
        """With one more event; a time-stamp token settles what was before."""
        if event.action == "timestamp":
            return Lag(last=event.clock)
        return self.now(event.clock)

    def now(self, evidence: dict[str, Any]) -> Lag:
        """As of a later reading of the clocks, in the form that events carry."""
        if self.last is None:
            return Lag(last=evidence)
        before, then = clock.from_evidence(self.last)
        value, reading = clock.from_evidence(evidence)
        missing = (reading.wall - then.wall - (value - before)).total_seconds()
        if reading.boot_id != then.boot_id:
            return Lag(max(0.0, self.off + missing), self.ahead, evidence)
        # Set forward and back again leaves nothing.
        return Lag(self.off, max(0.0, self.ahead + missing), evidence)
