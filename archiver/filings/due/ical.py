"""Render deadlines as an iCalendar file (RFC 5545); the only module that imports icalendar."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from archiver import __version__
from archiver.errors import LazyMessage
from archiver.filings.due.deadlines import Deadline

#: Nine in the morning of the day before an all-day event.
_ALARM_TRIGGER = timedelta(hours=-15)


def render_calendar(
    dues: Iterable[Deadline], archive: str, now: datetime, speak: Callable[[LazyMessage], str]
) -> bytes:
    """Return the file: an all-day event for each deadline, with an alarm the day before at nine.

    A UID stays the same for as long as its matter does, so that a calendar that imports a newer file updates its
    events.
    """
    import icalendar

    calendar_file = icalendar.Calendar()
    calendar_file.add("prodid", f"-//archiver//{__version__}//")
    calendar_file.add("version", "2.0")
    for due in dues:
        event = icalendar.Event()
        title = f"{due.filing}: {speak(due.what)}"
        event.add("uid", f"{due.uid}@{archive}")
        event.add("dtstamp", now)
        # A later file wins over an earlier one, so that a moved date arrives.
        event.add("sequence", int(now.timestamp()) // 60)
        event.add("dtstart", due.on)
        event.add("dtend", due.on + timedelta(days=1))
        event.add("summary", title)
        event.add("status", "TENTATIVE" if due.provisional else "CONFIRMED")
        event.add("transp", "TRANSPARENT")
        if due.source:
            event.add("description", speak(due.source))
        alarm = icalendar.Alarm()
        alarm.add("action", "DISPLAY")
        alarm.add("description", title)
        alarm.add("trigger", _ALARM_TRIGGER)
        event.add_component(alarm)
        calendar_file.add_component(event)
    data: bytes = calendar_file.to_ical()
    return data
