"""Decide when to make a probe event, and when a missing probe event means that a watch is stalled.

A *probe event* is the inotify event of a change that the program makes itself, to see whether events arrive.  A
watch is *stalled* if it exists, but its events no longer arrive.  Everything here is pure: callers pass the time
in, and make the events.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Between two probe events. Lower, and an idle server wakes up for nothing. Higher, and a stalled watch
#: stays unnoticed for longer.
PERIOD_SECONDS = 60.0
#: The time for a probe event to arrive. Lower, and the watch of a busy server counts as stalled. Higher, and a
#: stalled watch is noticed later.
ARRIVAL_SECONDS = 10.0
#: The longest pause between two probe events while the watch stays stalled. Each missed probe leads to a new
#: watch, which costs a walk over all folders.
_LONGEST_PAUSE_SECONDS = 3600.0


@dataclass(slots=True)
class ProbeSchedule:
    """The times and results of the probe events of one watched folder; times are monotonic seconds."""

    next_probe_at: float = 0.0  # the time at which the next probe event is due
    sent_at: float | None = None  # the time of a probe event that may still arrive; None without one
    missed_count: int = 0  # how many of the last probe events in a row did not arrive

    def is_probe_due(self, now: float) -> bool:
        """Return True if a probe event is due, and none is still expected to arrive."""
        return self.sent_at is None and now >= self.next_probe_at

    def note_probe_sent(self, now: float) -> None:
        """Note that a probe event was made."""
        self.sent_at = now

    def note_probe_failed(self, now: float) -> None:
        """Note that no probe event could be made; the next attempt is due after ``PERIOD_SECONDS``."""
        self.next_probe_at = now + PERIOD_SECONDS

    def register_missed_probe(self, has_arrived: bool, now: float) -> bool:
        """Note whether the sent probe event has arrived; return True if it is overdue and so counts as missed.

        ``has_arrived`` is True if the event has arrived.  It is missed if it has not arrived within
        ``ARRIVAL_SECONDS``, and the watch counts as stalled then.  Returns True only once for each missed event.
        The next probe event is due after ``PERIOD_SECONDS``; each event missed in a row doubles this pause, up to
        ``_LONGEST_PAUSE_SECONDS``.
        """
        if self.sent_at is None:
            return False
        if has_arrived:
            self.sent_at, self.missed_count = None, 0
            self.next_probe_at = now + PERIOD_SECONDS
            return False
        if now - self.sent_at < ARRIVAL_SECONDS:
            return False
        self.sent_at = None
        self.missed_count += 1
        self.next_probe_at = now + min(PERIOD_SECONDS * 2**self.missed_count, _LONGEST_PAUSE_SECONDS)
        return True

    @property
    def is_watch_stalled(self) -> bool:
        """Return True if the last probe event was missed; one that may still arrive does not count."""
        return self.missed_count > 0
