"""Forecast when the archive's disk will be full, from the growth of the last weeks.  Pure.

Archived content cannot be deleted for years, so an administrator has to know early.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

#: Growth is measured over this time.
WINDOW = timedelta(days=28)
#: The first day does not count: everything that exists is captured at once.
_FIRST_CAPTURE_PERIOD = timedelta(days=1)
#: A shorter measurement says more about the hour of the day than about growth.
_SHORTEST_WINDOW = timedelta(days=2)
#: A company needs a quarter to buy a disk.
WARN_DAYS = 90
WARN_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Forecast:
    """The space of the archive's filesystem, and its future."""

    free_bytes: int
    total_bytes: int
    bytes_per_day: int | None  # None while growth is unknown
    full_in_days: int | None  # None while growth is unknown, or without growth

    @property
    def is_scarce(self) -> bool:
        """Return True if an administrator should act."""
        is_full_soon = self.full_in_days is not None and self.full_in_days < WARN_DAYS
        return is_full_soon or self.free_bytes < WARN_SHARE * self.total_bytes


def window(first: datetime | None, now: datetime) -> datetime | None:
    """Return the time from which growth counts, given the first capture; None while it is too early to tell."""
    if first is None:
        return None
    start = max(now - WINDOW, first + _FIRST_CAPTURE_PERIOD)
    return start if now - start >= _SHORTEST_WINDOW else None


def forecast(
    free_bytes: int, total_bytes: int, grown_bytes: int, start: datetime | None, now: datetime
) -> Forecast:
    """Return the forecast, given that ``grown_bytes`` were added since ``start``."""
    if start is None:
        return Forecast(free_bytes, total_bytes, None, None)
    bytes_per_day = grown_bytes / max((now - start) / timedelta(days=1), 1e-9)
    full_in_days = int(free_bytes / bytes_per_day) if bytes_per_day > 0 else None
    return Forecast(free_bytes, total_bytes, int(bytes_per_day), full_in_days)
