"""Whether events still arrive: a beat is made, and must be heard.  Pure, told the time."""

from __future__ import annotations

from dataclasses import dataclass

PERIOD_SECONDS = 60.0
PATIENCE_SECONDS = 10.0
_LONGEST_PAUSE_SECONDS = 3600.0


@dataclass(slots=True)
class Canary:
    """Decides when to beat, and when silence means that the watch is deaf.  Monotonic seconds."""

    next_beat: float = 0.0
    sent: float | None = None
    silences: int = 0

    def wants_beat(self, now: float) -> bool:
        """Whether it is time for a beat."""
        return self.sent is None and now >= self.next_beat

    def beaten(self, now: float) -> None:
        """A beat was made."""
        self.sent = now

    def postpone(self, now: float) -> None:
        """No beat can be made; the next attempt is a period away."""
        self.next_beat = now + PERIOD_SECONDS

    def listen(self, is_heard: bool, now: float) -> bool:
        """Look after the last beat; True the moment the watch turns out to be deaf."""
        if self.sent is None:
            return False
        if is_heard:
            self.sent, self.silences = None, 0
            self.next_beat = now + PERIOD_SECONDS
            return False
        if now - self.sent < PATIENCE_SECONDS:
            return False
        # Made anew again and again, a watch that stays deaf costs more than it gives.
        self.sent = None
        self.silences += 1
        self.next_beat = now + min(PERIOD_SECONDS * 2**self.silences, _LONGEST_PAUSE_SECONDS)
        return True

    @property
    def is_deaf(self) -> bool:
        """Whether the last beat was not heard."""
        return self.silences > 0
