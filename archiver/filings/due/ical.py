"""Render deadlines as an iCalendar file (RFC 5545).  No other module imports icalendar."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from archiver import __version__
from archiver.errors import LazyMessage
from archiver.filings.due.deadlines import Deadline

#: From midnight, when an all-day event starts, back to 09:00 on the day before.
_ALARM_TRIGGER = timedelta(hours=-15)
#: The sequence number of an event is the time of the file in minutes. An integer of iCalendar has 32 bits, so
#: seconds since 1970 would be too large from 2038 on.
_SECONDS_PER_SEQUENCE_STEP = 60


def render_calendar(
    deadlines: Iterable[Deadline], archive_id: str, now: datetime, translate: Callable[[LazyMessage], str]
) -> bytes:
    """Return an iCalendar file with an all-day event for each deadline, and an alarm at 09:00 on the day before.

    The UID of a deadline never changes, so a calendar that imports a newer file updates its events.  ``now`` is
    the time at which the file is created.  ``translate`` returns a message in the language of the calendar.
    """
    # Imported here, because most commands write no calendar, and start sooner without icalendar.
    import icalendar

    calendar_file = icalendar.Calendar()
    calendar_file.add("prodid", f"-//archiver//{__version__}//")
    calendar_file.add("version", "2.0")
    for deadline in deadlines:
        event = icalendar.Event()
        title = f"{deadline.filing.for_people}: {translate(deadline.duty)}"
        event.add("uid", f"{deadline.uid}@{archive_id}")
        event.add("dtstamp", now)
        # The number rises with time, so the event in a later file replaces the event in an earlier file.
        event.add("sequence", int(now.timestamp()) // _SECONDS_PER_SEQUENCE_STEP)
        event.add("dtstart", deadline.due_on)
        event.add("dtend", deadline.due_on + timedelta(days=1))
        event.add("summary", title)
        event.add("status", "TENTATIVE" if deadline.is_provisional else "CONFIRMED")
        event.add("transp", "TRANSPARENT")
        if deadline.article:
            event.add("description", translate(deadline.article))
        alarm = icalendar.Alarm()
        alarm.add("action", "DISPLAY")
        alarm.add("description", title)
        alarm.add("trigger", _ALARM_TRIGGER)
        event.add_component(alarm)
        calendar_file.add_component(event)
    calendar_bytes: bytes = calendar_file.to_ical()
    return calendar_bytes
