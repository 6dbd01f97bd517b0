"""Decide when to make a probe event, and when its absence means that the watch is deaf.

Pure: callers pass the time in, and make the events.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Between two probe events. Lower, and an idle server wakes up for nothing. Higher, and a deaf watch stays
#: unnoticed for longer.
PERIOD_SECONDS = 60.0
#: The time for a probe event to arrive. Lower, and the watch of a busy server counts as deaf. Higher, and a deaf
#: watch is noticed later.
PATIENCE_SECONDS = 10.0
#: The longest pause between two probe events while the watch stays deaf. Each missed probe leads to a new watch,
#: which costs a walk over all folders.
_LONGEST_PAUSE_SECONDS = 3600.0


@dataclass(slots=True)
class Canary:
    """The state of the probe events of one watch; times are monotonic seconds."""

    next_probe: float = 0.0  # the time at which the next probe event is due
    sent_at: float | None = None  # the time of a probe event that has not arrived yet; None without one
    missed_probes: int = 0  # the number of probe events in a row that did not arrive

    def is_probe_due(self, now: float) -> bool:
        """Return True if a probe event is due, and none is on its way."""
        return self.sent_at is None and now >= self.next_probe

    def note_probe_sent(self, now: float) -> None:
        """Note that a probe event was made."""
        self.sent_at = now

    def postpone(self, now: float) -> None:
        """Note that no probe event could be made, so that the next attempt is a period away."""
        self.next_probe = now + PERIOD_SECONDS

    def notices_deafness(self, has_arrived: bool, now: float) -> bool:
        """Note whether the last probe event has arrived; return True if it is missing, so that the watch is deaf.

        Returns True only once for each missing event, and False while it may still arrive.
        """
        if self.sent_at is None:
            return False
        if has_arrived:
            self.sent_at, self.missed_probes = None, 0
            self.next_probe = now + PERIOD_SECONDS
            return False
        if now - self.sent_at < PATIENCE_SECONDS:
            return False
        self.sent_at = None
        self.missed_probes += 1
        self.next_probe = now + min(PERIOD_SECONDS * 2**self.missed_probes, _LONGEST_PAUSE_SECONDS)
        return True

    @property
    def is_deaf(self) -> bool:
        """Return True if the last probe event whose result is known did not arrive."""
        return self.missed_probes > 0
