"""Decide when to make a probe event, and when its absence means that the watch is deaf.  Pure, told the time."""

from __future__ import annotations

from dataclasses import dataclass

#: A deaf watch goes unnoticed for so long at most; more often, an idle server would be woken for nothing.
PERIOD_SECONDS = 60.0
#: Lower, and a busy server would pass for a deaf watch; higher, and a real one is noticed later.
PATIENCE_SECONDS = 10.0
#: A watch that stays deaf is made anew ever more seldom: each time costs a walk over all folders.
_LONGEST_PAUSE_SECONDS = 3600.0


@dataclass(slots=True)
class Canary:
    """The state of the probe events of one watch; times are monotonic seconds."""

    next_probe: float = 0.0
    sent_at: float | None = None  # of a probe event that has not arrived yet
    missed_probes: int = 0

    def is_probe_due(self, now: float) -> bool:
        """Return True if it is time for a probe event."""
        return self.sent_at is None and now >= self.next_probe

    def probe_sent(self, now: float) -> None:
        """Note that a probe event was made."""
        self.sent_at = now

    def postpone(self, now: float) -> None:
        """Note that no probe event can be made; the next attempt is a period away."""
        self.next_probe = now + PERIOD_SECONDS

    def notices_deafness(self, has_arrived: bool, now: float) -> bool:
        """Look after the last probe event; return True once, when the watch turns out to be deaf."""
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
        """Return True if the last probe event did not arrive."""
        return self.missed_probes > 0
