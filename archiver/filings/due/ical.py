"""Deadlines as an iCalendar file (RFC 5545); the only module that imports icalendar."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from archiver import __version__
from archiver.errors import Phrase
from archiver.filings.due.deadlines import Due

_ALARM = timedelta(hours=-15)


def calendar(dues: Iterable[Due], archive: str, now: datetime, speak: Callable[[Phrase], str]) -> bytes:
    """One all-day event each, with an alarm the day before at nine; a UID stays the same while its matter does,
    so that a calendar that takes the file in again updates what it has.
    """
    import icalendar

    file = icalendar.Calendar()
    file.add("prodid", f"-//archiver//{__version__}//")
    file.add("version", "2.0")
    for due in dues:
        event = icalendar.Event()
        title = f"{due.filing}: {speak(due.what)}"
        event.add("uid", f"{due.uid}@{archive}")
        event.add("dtstamp", now)
        # Later files win over earlier ones, also where a date has moved.
        event.add("sequence", int(now.timestamp()) // 60)
        event.add("dtstart", due.on)
        event.add("dtend", due.on + timedelta(days=1))
        event.add("summary", title)
        event.add("status", "TENTATIVE" if due.provisional else "CONFIRMED")
        event.add("transp", "TRANSPARENT")
        if due.source:
            event.add("description", speak(Phrase(due.source)))
        alarm = icalendar.Alarm()
        alarm.add("action", "DISPLAY")
        alarm.add("description", title)
        alarm.add("trigger", _ALARM)
        event.add_component(alarm)
        file.add_component(event)
    data: bytes = file.to_ical()
    return data
