"""Record the time of the last complete scan: when the whole watched folder was compared with the archive.

A complete scan runs every few minutes.  If each scan wrote its time to ``state.db``, the disk of an idle archive
could never sleep.  Therefore a running service keeps the time in a folder in memory, the *volatile folder*, and
writes it to the disk once a day.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from archiver import clock
from archiver.intake.folder.volatile_folder import VolatileFolder, find_volatile_folder
from archiver.intake.snapshot import Snapshot

#: The longest time between two writes to ``state.db`` while nothing changes.
_MAX_AGE_ON_DISK = timedelta(days=1)
#: The file in the volatile folder that holds the time.
_FILE_NAME = "last_scan"
#: Keys in ``state.db``: for the time, and for "1" if later times are kept in memory (otherwise empty).
_TIME_KEY, _IN_MEMORY_KEY = "last_scan", "last_scan_in_memory"
#: No more is read of the file in memory.  A time in RFC 3339 is shorter.
_MAX_FILE_BYTES = 64


class LastScan(NamedTuple):
    """The time of the last complete scan, as far as this process can know it."""

    time: str  # RFC 3339; empty before the first scan
    #: False if there may have been a later scan, whose time is kept in memory that this process cannot read.
    is_known: bool


class ScanRecord:
    """Records the times of a service's complete scans; the service calls :meth:`close` at the end."""

    def __init__(self, snapshot: Snapshot, archive_root: Path) -> None:
        """Write times to ``snapshot``, which the caller closes, and to the volatile folder of the archive.

        The caller creates the volatile folder with ``volatile_folder.ensure``.  Before that, none is used.
        """
        self._snapshot = snapshot
        self.volatile_folder = VolatileFolder(archive_root)
        #: The time of this service's last complete scan; empty before the first.
        self._last_scan = ""
        #: The time of this service's last write to ``state.db``; None before the first.
        self._written_at: datetime | None = None

    def note(self, *, has_news: bool) -> None:
        """Record that a complete scan has just ended; ``has_news`` is True if the scan found differences.

        Writes to ``state.db`` if there are differences, if the last write was more than a day ago, or if the time
        cannot be kept in memory.  Raises sqlite3.Error if that fails.
        """
        now = clock.read_clocks().wall
        self._last_scan = clock.format_time(now)
        is_in_memory = self._write_to_memory(self._last_scan)
        if not is_in_memory or has_news or self._is_stale_on_disk(now):
            self._written_at = now
            self._snapshot.set_meta(_TIME_KEY, self._last_scan)
            self._snapshot.set_meta(_IN_MEMORY_KEY, "1" if is_in_memory else "")

    def close(self) -> None:
        """Write the time of the last scan to ``state.db``, and remove the volatile folder.

        A second call does nothing.  Raises sqlite3.Error if ``state.db`` cannot be written.
        """
        self.volatile_folder.close()
        if self._last_scan:
            self._snapshot.set_meta(_TIME_KEY, self._last_scan)
            self._snapshot.set_meta(_IN_MEMORY_KEY, "")
            self._last_scan = ""

    def _is_stale_on_disk(self, now: datetime) -> bool:
        """Return True if this service has not written to ``state.db`` yet, or did so more than a day ago."""
        # The wall clock may have been set back since then, so only the distance counts.
        return self._written_at is None or abs(now - self._written_at) > _MAX_AGE_ON_DISK

    def _write_to_memory(self, scan_time: str) -> bool:
        """Write the time to the volatile folder; return False if there is no such folder, or writing fails."""
        folder = self.volatile_folder.path
        if folder is None:
            return False
        try:
            new_path = folder / f"{_FILE_NAME}.new"
            new_path.write_text(scan_time, "ascii")
            os.replace(new_path, folder / _FILE_NAME)
        except OSError:
            # Somebody removed the folder, or the memory is full.  The caller then writes to the disk.
            return False
        return True


def read_last_scan(snapshot: Snapshot, archive_root: Path) -> LastScan:
    """Return the last complete scan of the service that runs, or ran last, for the archive at ``archive_root``.

    Raises sqlite3.Error if ``state.db`` cannot be read.
    """
    time_on_disk = snapshot.meta(_TIME_KEY)
    if not snapshot.meta(_IN_MEMORY_KEY):
        return LastScan(time_on_disk, is_known=True)
    time_in_memory = _read_from_memory(find_volatile_folder(archive_root))
    # As text, a later time of this form is greater, and an empty text is the smallest.
    return LastScan(max(time_on_disk, time_in_memory), is_known=bool(time_in_memory))


def _read_from_memory(volatile_folder: Path | None) -> str:
    """Return the time in the volatile folder; empty if no time can be read there."""
    if volatile_folder is None:
        return ""
    try:
        # The file may be replaced by a link or by a FIFO, and opening a FIFO would wait for its writer.
        descriptor = os.open(
            volatile_folder / _FILE_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        )
        try:
            scan_time = os.read(descriptor, _MAX_FILE_BYTES).decode("ascii")
        finally:
            os.close(descriptor)
        clock.parse_time(scan_time)
    except (OSError, ValueError):
        # The file was just removed, or another program wrote it.  Only the time on the disk is known then.
        return ""
    return scan_time
