"""Choose the version that a person means by the day of a submission.  Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta, tzinfo
from typing import NamedTuple

from archiver import clock
from archiver.errors import LazyMessage
from archiver.model import Version

NAMED = LazyMessage.define("named with --version", code="choice.named")
CAPTURED_BY_DAY = LazyMessage.define("the newest captured by the end of {day}", code="choice.captured-by-day")
FIRST_LATER = LazyMessage.define(
    "the first captured after {day}: none was captured by the end of this day", code="choice.first-later"
)
NEXT_LATER = LazyMessage.define(
    "the first captured after {day} and after the version that was submitted before", code="choice.next-later"
)
PRESENT_STATE = LazyMessage.define(
    "the present state of the folder, which would be captured first", code="choice.present-state"
)


class VersionChoice(NamedTuple):
    """A version to sign, with the reason for choosing the version."""

    version: Version
    #: One of the constants above; its field ``{day}`` is missing.
    basis: LazyMessage
    #: The newest version of the same folder if that is another one, otherwise None.
    newer_version: Version | None
    #: True if the version was captured after the stated day.
    is_captured_later: bool


def end_of_day(day: date, zone: tzinfo) -> datetime:
    """Return the first moment after ``day`` in the time zone ``zone``."""
    return datetime.combine(day + timedelta(days=1), time(0), zone)


def choose_version(
    versions: Sequence[Version], day: date, zone: tzinfo, named_version: Version | None = None
) -> VersionChoice:
    """Return the version that was submitted on ``day``, a day in the time zone ``zone``, and why.

    ``versions`` are all versions of a submission folder, in any order, at least one.  Their order is that of their
    numbers, because a system clock can be set back.

    - A ``named_version`` is always chosen.
    - Otherwise the newest version captured by the end of the day is.
    - Without one, the first later version is: an imported past, or a service that was installed afterwards.  The
      versions up to the newest one that was submitted by ``day`` are passed over as long as a newer one exists,
      because the same files are rarely submitted twice; a person can name such a version.
    """
    ordered_versions = sorted(versions, key=lambda version: version.number)
    newest_version = ordered_versions[-1]
    limit = end_of_day(day, zone)
    if named_version is not None:
        chosen_version, basis = named_version, NAMED
    elif timely_versions := [version for version in ordered_versions if _is_captured_before(version, limit)]:
        chosen_version, basis = timely_versions[-1], CAPTURED_BY_DAY
    else:
        submitted_number = max(
            (version.number for version in ordered_versions if _is_submitted_by(version, day)), default=0
        )
        later_versions = [version for version in ordered_versions if version.number > submitted_number]
        chosen_version = (later_versions or [newest_version])[0]
        basis = NEXT_LATER if submitted_number and later_versions else FIRST_LATER
    return VersionChoice(
        chosen_version,
        basis,
        newest_version if newest_version.number > chosen_version.number else None,
        is_captured_later=not _is_captured_before(chosen_version, limit),
    )


def _is_captured_before(version: Version, limit: datetime) -> bool:
    """Return True if the version was captured before ``limit``, by the wall clock."""
    return clock.parse_time(version.captured_at) < limit


def _is_submitted_by(version: Version, day: date) -> bool:
    """Return True if the version was submitted on ``day`` or earlier, as people stated; void records count not."""
    return any(date.fromisoformat(record.on) <= day for record in version.valid_submissions)
