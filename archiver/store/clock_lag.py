"""Explain why the compliance clock is behind the wall clock.  Pure; shown by ``status``, decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from archiver import clock
from archiver.model import Event
from archiver.store.events.event_kinds import Action


@dataclass(frozen=True, slots=True)
class ClockLag:
    """Seconds that did not count towards retention, since the last time-stamp token."""

    off: float = 0.0  # with the machine off or rebooting
    ahead: float = 0.0  # with the wall clock set forward
    last: dict[str, Any] | None = None  # evidence that the next span counts from; None at the beginning

    def after(self, event: Event) -> ClockLag:
        """Return the lag after an event; a time-stamp token sets the compliance clock, so nothing is left."""
        if event.action == Action.TIMESTAMP:
            return ClockLag(last=event.clock)
        return self.now(event.clock)

    def now(self, evidence: dict[str, Any]) -> ClockLag:
        """Return the lag at a later reading of the clocks, given as events carry it."""
        if self.last is None:
            return ClockLag(last=evidence)
        last_compliance_time, last_reading = clock.from_evidence(self.last)
        compliance_time, reading = clock.from_evidence(evidence)
        earned = compliance_time - last_compliance_time
        missing_seconds = (reading.wall - last_reading.wall - earned).total_seconds()
        if reading.boot_id != last_reading.boot_id:
            return ClockLag(max(0.0, self.off + missing_seconds), self.ahead, evidence)
        # A wall clock that is set forward and back again leaves nothing.
        return ClockLag(self.off, max(0.0, self.ahead + missing_seconds), evidence)
