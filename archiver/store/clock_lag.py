"""Explain why the compliance clock is behind the wall clock.  Pure; shown by ``status``, decides nothing."""

from __future__ import annotations

from typing import Any, NamedTuple

from archiver import clock
from archiver.model import Event
from archiver.store.events.event_kinds import Action


class ClockLag(NamedTuple):
    """The seconds that the compliance clock did not count towards retention, since the last timestamp token.

    The index stores the fields under their names, so a renamed field needs a new version of the index's schema.
    """

    off: float = 0.0  # with the machine off or rebooting
    ahead: float = 0.0  # with the wall clock set forward
    last: dict[str, Any] | None = None  # the ``clock`` member of the newest event; None before the first event

    def after_event(self, event: Event) -> ClockLag:
        """Return the lag after ``event``, the next event of the journal.

        A timestamp token sets the compliance clock, and so ends the lag.  Raises the errors of
        :meth:`after_evidence`.
        """
        if event.action == Action.TIMESTAMP:
            return ClockLag(last=event.clock)
        return self.after_evidence(event.clock)

    def after_evidence(self, evidence: dict[str, Any]) -> ClockLag:
        """Return the lag at a later reading of the clocks.

        ``evidence`` is the reading in the form of :func:`clock.make_evidence`.  Raises ValueError, KeyError or
        TypeError for evidence of another form.
        """
        if self.last is None:
            return ClockLag(last=evidence)
        last_compliance_time, last_clock_reading = clock.parse_evidence(self.last)
        compliance_time, clock_reading = clock.parse_evidence(evidence)
        counted_time = compliance_time - last_compliance_time
        uncounted_seconds = (clock_reading.wall - last_clock_reading.wall - counted_time).total_seconds()
        if clock_reading.boot_id != last_clock_reading.boot_id:
            # Another boot: the machine was off or rebooting in between.
            return ClockLag(max(0.0, self.off + uncounted_seconds), self.ahead, evidence)
        # Setting the wall clock back again makes the uncounted seconds negative, and so cancels the lag.
        return ClockLag(self.off, max(0.0, self.ahead + uncounted_seconds), evidence)
