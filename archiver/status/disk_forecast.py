"""Forecast when the archive's disk will be full, from the growth of the last weeks.

Archived content cannot be deleted for years. So an administrator has to know early that the disk will be full. The
functions only compute, and access no files.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

#: Growth is measured over this period. With a shorter period, a busy week would decide the forecast. With a longer
#: period, the forecast would react too late when the company begins to file more.
GROWTH_PERIOD = timedelta(days=28)
#: The first day of an archive does not count as growth, because all existing files are captured then.
_FIRST_CAPTURE_PERIOD = timedelta(days=1)
#: The shortest period to measure. In a shorter period, the hour of the day would matter more than the growth.
_MIN_GROWTH_PERIOD = timedelta(days=2)
#: A warning is due if the disk will be full in fewer days. A company may need three months to buy a disk.
WARN_DAYS = 90
#: A warning is due if a smaller share of the disk is free: an unexpected large folder might not fit. With a larger
#: share, an archive that hardly grows on a large disk would cause a warning for years.
WARN_SHARE = 0.05


class DiskForecast(NamedTuple):
    """The space on the archive's filesystem, and the days until the disk is full."""

    free_bytes: int
    total_bytes: int
    bytes_per_day: int | None  # None while growth is unknown
    full_in_days: int | None  # None while growth is unknown, or without growth

    @property
    def is_scarce(self) -> bool:
        """True if the disk will be full within ``WARN_DAYS``, or less than ``WARN_SHARE`` of it is free."""
        is_full_soon = self.full_in_days is not None and self.full_in_days < WARN_DAYS
        return is_full_soon or self.free_bytes < WARN_SHARE * self.total_bytes


def growth_period_start(first_capture: datetime | None, now: datetime) -> datetime | None:
    """Return the start of the period in which growth is measured; None while growth cannot be measured.

    The period is the ``GROWTH_PERIOD`` before ``now``, but begins at least ``_FIRST_CAPTURE_PERIOD`` after
    ``first_capture``, the time of the first version (None without versions). Growth cannot be measured while the
    period is shorter than ``_MIN_GROWTH_PERIOD``.
    """
    if first_capture is None:
        return None
    growth_start = max(now - GROWTH_PERIOD, first_capture + _FIRST_CAPTURE_PERIOD)
    return growth_start if now - growth_start >= _MIN_GROWTH_PERIOD else None


def forecast_disk_space(
    free_bytes: int, total_bytes: int, grown_bytes: int, growth_start: datetime | None, now: datetime
) -> DiskForecast:
    """Forecast when the disk will be full if the archive continues to grow at the same rate.

    ``free_bytes`` and ``total_bytes`` describe the filesystem. ``growth_start`` is the result of
    :func:`growth_period_start`, None if growth cannot be measured. ``grown_bytes`` is the growth of the archive
    since then.
    """
    if growth_start is None:
        return DiskForecast(free_bytes, total_bytes, bytes_per_day=None, full_in_days=None)
    # The lower limit only prevents a division by zero.
    bytes_per_day = grown_bytes / max((now - growth_start) / timedelta(days=1), 1e-9)
    full_in_days = int(free_bytes / bytes_per_day) if bytes_per_day > 0 else None
    return DiskForecast(free_bytes, total_bytes, int(bytes_per_day), full_in_days)
