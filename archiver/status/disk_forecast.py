"""When the archive's disk will be full, by the growth of the last weeks.  Pure.

What is archived cannot be deleted for years, so the admin must see it coming.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

#: Growth is taken over this long; the first day, when everything comes in at once, does not count.
WINDOW = timedelta(days=28)
_FIRST_RUSH = timedelta(days=1)
_LEAST = timedelta(days=2)
#: Disks take time to buy.
WARN_DAYS = 90
WARN_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Forecast:
    """Space of the archive's filesystem, in bytes; ``full_in_days`` is None where growth is unknown or nil."""

    free_bytes: int
    total_bytes: int
    bytes_per_day: int | None
    full_in_days: int | None

    @property
    def is_scarce(self) -> bool:
        """Whether the admin should act."""
        soon = self.full_in_days is not None and self.full_in_days < WARN_DAYS
        return soon or self.free_bytes < WARN_SHARE * self.total_bytes


def window(first: datetime | None, now: datetime) -> datetime | None:
    """From when on growth counts, given the first capture; None while it is too early to tell."""
    if first is None:
        return None
    start = max(now - WINDOW, first + _FIRST_RUSH)
    return start if now - start >= _LEAST else None


def forecast(
    free_bytes: int, total_bytes: int, grown_bytes: int, start: datetime | None, now: datetime
) -> Forecast:
    """The forecast, if ``grown_bytes`` came in since ``start``."""
    if start is None:
        return Forecast(free_bytes, total_bytes, None, None)
    per_day = grown_bytes / max((now - start) / timedelta(days=1), 1e-9)
    days = int(free_bytes / per_day) if per_day > 0 else None
    return Forecast(free_bytes, total_bytes, int(per_day), days)
