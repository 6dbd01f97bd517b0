"""Check the clocks that each event states, by the rule in docs/format.md.

The evidence is in the events; no clock of this machine is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from archiver import clock
from archiver.errors import LazyMessage
from archiver.store.events.event_kinds import Action
from archiver.store.events.evidence_events import TimestampReceived
from archiver.verify.chain_replay import largest_clock_gain, seconds_behind, seconds_claimed
from archiver.verify.findings import VerifyReport

_MARKED = LazyMessage.define(
    "The system clock was behind at {count} events: behind the event before, or behind the compliance clock. "
    "archiver log marks such versions with the size. Their order and their retention do not depend on it",
    singular=(
        "The system clock was behind at {count} event: behind the event before, or behind the compliance clock. "
        "archiver log marks such versions with the size. Their order and their retention do not depend on it"
    ),
    code="note.system-clock-behind",
)


@dataclass(frozen=True, slots=True)
class EventClock:
    """The clocks of an event, as stated by the event."""

    seq: int
    #: The wall time of the event.
    at: str
    #: The compliance clock at the event, which nobody can set forward.
    compliance_time: datetime
    #: The member ``clock`` of the event: the compliance clock, and the readings of the machine's clocks.
    evidence: Mapping[str, Any]


def check_clock(event: Mapping[str, Any], previous: EventClock | None, report: VerifyReport) -> EventClock:
    """Check the clocks of an event against those of the ``previous`` readable event.

    Reports a compliance clock that runs backwards (A033), or ahead of its evidence (A034), and a wall time that is
    earlier than the reading of the wall clock in the same event (A049), because a wrong clock shows in both. A
    wall time that is earlier than the compliance clock, or than the wall time of the previous event, is only
    counted in ``report.marked_events``: NTP or an empty battery can set a clock back.

    ``previous`` is None for the first event, whose clock may have any value.

    Returns the clocks of this event. Raises ValueError if the event has no valid clock.
    """
    event_name, evidence = f"event {event['seq']}", event["clock"]
    current = EventClock(event["seq"], event["at"], clock.parse_evidence(evidence).compliance_time, evidence)
    claimed_seconds = seconds_claimed(event["at"], evidence)
    if claimed_seconds:
        detail = LazyMessage("{at}, but the clock showed {wall}", at=event["at"], wall=evidence["wall"])
        report.add_finding("A049", event_name, detail)
    report.marked_events += any(seconds_behind(event["at"], previous.at if previous else None, evidence))
    if previous is not None:
        _check_gain(event, current, previous, report)
    return current


def _check_gain(event: Mapping[str, Any], current: EventClock, previous: EventClock, report: VerifyReport) -> None:
    """Check the gain of the compliance clock since the ``previous`` readable event (A033, A034)."""
    event_name, current_time = f"event {event['seq']}", clock.format_time(current.compliance_time)
    if current.compliance_time < previous.compliance_time:
        previous_time = clock.format_time(previous.compliance_time)
        detail = LazyMessage(
            "{time}, after {before} in the previous event", time=current_time, before=previous_time
        )
        report.add_finding("A033", event_name, detail)
        return
    is_next = current.seq == previous.seq + 1
    gain = largest_clock_gain(dict(previous.evidence), dict(current.evidence), is_next)
    if gain is None:
        # Events are missing and the machine was started again in between: any gain is possible.
        return
    latest_allowed_time = previous.compliance_time + timedelta(microseconds=gain)
    if event["action"] == Action.TIMESTAMP:
        # A timestamp token proves its time, so the compliance clock may advance to that time.
        token_time = clock.parse_time(TimestampReceived.from_details(event["details"]).time)
        latest_allowed_time = max(latest_allowed_time, token_time)
    if current.compliance_time > latest_allowed_time:
        latest = clock.format_time(latest_allowed_time)
        detail = LazyMessage(
            "{time}, but the latest time that can be proven is {latest}", time=current_time, latest=latest
        )
        report.add_finding("A034", event_name, detail)


def note_marks(report: VerifyReport) -> None:
    """Add a note with the number of events whose wall clock was behind, if there are any."""
    if report.marked_events:
        report.add_note("journal", _MARKED.with_fields(count=report.marked_events))
