"""Explain why the compliance clock is behind the wall clock.  Pure; shown by ``status``, decides nothing."""

from __future__ import annotations

from typing import Any, NamedTuple

from archiver import clock
from archiver.model import Event
from archiver.store.events.event_kinds import Action


class ClockLag(NamedTuple):
    """The seconds since the last timestamp token that did not count towards retention.

    The index stores the fields under their names, so that a renamed field needs a new version of its schema.
    """

    off: float = 0.0  # with the machine off or rebooting
    ahead: float = 0.0  # with the wall clock set forward
    last: dict[str, Any] | None = None  # evidence from which the next span counts; None before the first event

    def after_event(self, event: Event) -> ClockLag:
        """Return the lag after ``event``; a timestamp token sets the compliance clock, and so ends the lag."""
        if event.action == Action.TIMESTAMP:
            return ClockLag(last=event.clock)
        return self.after_evidence(event.clock)

    def after_evidence(self, evidence: dict[str, Any]) -> ClockLag:
        """Return the lag at a later reading of the clocks; ``evidence`` is made by :func:`clock.make_evidence`.

        Raises ValueError, KeyError or TypeError for evidence of another form.
        """
        if self.last is None:
            return ClockLag(last=evidence)
        last_compliance_time, last_clock_reading = clock.parse_evidence(self.last)
        compliance_time, clock_reading = clock.parse_evidence(evidence)
        counted_time = compliance_time - last_compliance_time
        uncounted_seconds = (clock_reading.wall - last_clock_reading.wall - counted_time).total_seconds()
        if clock_reading.boot_id != last_clock_reading.boot_id:
            return ClockLag(max(0.0, self.off + uncounted_seconds), self.ahead, evidence)
        # Setting the wall clock back again makes the uncounted seconds negative, and so cancels the lag.
        return ClockLag(self.off, max(0.0, self.ahead + uncounted_seconds), evidence)
