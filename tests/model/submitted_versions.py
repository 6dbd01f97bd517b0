"""The version that a person means by the day of a submission: a second statement of the rule."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

from tests.model.corrections import submissions_of
from tests.model.world import World


def number_of_day(world: World, submission: str, day: date, *, is_captured_now: bool) -> int:
    """The newest version captured by the end of ``day``; else the first later one that was not submitted before.

    With ``is_captured_now``, the submission just got one more version.
    """
    zone = ZoneInfo(world.settings.time_zone)
    captured_on = {
        version.number: datetime.fromisoformat(version.captured_at).astimezone(zone).date()
        for version in world.state.versions.values()
        if version.submission == submission
    }
    if is_captured_now:
        captured_on[max(captured_on, default=0) + 1] = world.clocks.wall.astimezone(zone).date()
    timely = [number for number, captured in captured_on.items() if captured <= day]
    if timely:
        return max(timely)
    submitted = [
        int(details["version"].rsplit("/v", 1)[1])
        for details in (
            record.corrected_details for record in submissions_of(world.state, submission.split("/")[0])
        )
        if details["version"].rsplit("/", 1)[0] == submission and details["on"] <= day.isoformat()
    ]
    later = [number for number in captured_on if number > max(submitted, default=0)]
    return min(later) if later else max(captured_on)
