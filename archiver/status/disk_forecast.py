"""Forecast when the archive's disk will be full, from the growth of the last weeks.  Pure.

Archived content cannot be deleted for years, so an administrator has to know early.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

#: Growth is measured over this time: less would take a busy week for the rule, more would notice too late that the
#: company files more than it did.
GROWTH_PERIOD = timedelta(days=28)
#: The first day does not count: all existing files are captured at once.
_FIRST_CAPTURE_PERIOD = timedelta(days=1)
#: A shorter measurement says more about the hour of the day than about growth.
_MIN_GROWTH_PERIOD = timedelta(days=2)
#: A company needs a quarter to buy a disk.
WARN_DAYS = 90
#: Of the disk. An unforeseen capture of a large folder needs room; a larger share would warn for years on a large
#: disk that hardly fills.
WARN_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class DiskForecast:
    """The space on the archive's filesystem, and the days until the disk is full."""

    free_bytes: int
    total_bytes: int
    bytes_per_day: int | None  # None while growth is unknown
    full_in_days: int | None  # None while growth is unknown, or without growth

    @property
    def is_scarce(self) -> bool:
        """Return True if an administrator should act."""
        is_full_soon = self.full_in_days is not None and self.full_in_days < WARN_DAYS
        return is_full_soon or self.free_bytes < WARN_SHARE * self.total_bytes


def growth_start(first_capture: datetime | None, now: datetime) -> datetime | None:
    """Return the time from which growth counts; None while the archive is too young for a forecast."""
    if first_capture is None:
        return None
    start = max(now - GROWTH_PERIOD, first_capture + _FIRST_CAPTURE_PERIOD)
    return start if now - start >= _MIN_GROWTH_PERIOD else None


def forecast_disk(
    free_bytes: int, total_bytes: int, grown_bytes: int, start: datetime | None, now: datetime
) -> DiskForecast:
    """Return the forecast if the archive goes on growing as since ``start``, by ``grown_bytes``."""
    if start is None:
        return DiskForecast(free_bytes, total_bytes, None, None)
    bytes_per_day = grown_bytes / max((now - start) / timedelta(days=1), 1e-9)
    full_in_days = int(free_bytes / bytes_per_day) if bytes_per_day > 0 else None
    return DiskForecast(free_bytes, total_bytes, int(bytes_per_day), full_in_days)
