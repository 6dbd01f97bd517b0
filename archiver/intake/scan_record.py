"""Record when the whole folder was compared with the archive last.

A scan that finds nothing happens every few minutes.  If each one wrote to ``state.db``, the disk of an idle
archive could never sleep; so a running service keeps the time in memory, and writes it to the disk once a day.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from archiver import clock
from archiver.intake.folder.volatile_folder import VolatileFolder, find_volatile_folder
from archiver.intake.snapshot import Snapshot

#: Between two writes of the time to ``state.db`` while nothing changes.
_MAX_AGE_ON_DISK = timedelta(days=1)
_FILE_NAME = "last_scan"
#: Keys of ``state.db``: the time, and whether later times are kept in memory.
_TIME_KEY, _IN_MEMORY_KEY = "last_scan", "last_scan_in_memory"
_MAX_FILE_BYTES = 64


class LastScan(NamedTuple):
    """The last scan of the whole folder, as far as it is known."""

    time: str  # RFC 3339; empty before the first scan
    #: False if there may have been a later one, whose time is kept where this process cannot see it.
    is_known: bool


class ScanRecord:
    """Records the times of one service's scans."""

    def __init__(self, snapshot: Snapshot, archive_root: Path) -> None:
        """Write to ``snapshot``, and to the volatile folder once the service has made it."""
        self._snapshot = snapshot
        self.volatile_folder = VolatileFolder(archive_root)
        #: Of this service; empty before its first scan.
        self._last_scan = ""
        self._written_at: datetime | None = None

    def note(self, *, has_news: bool) -> None:
        """Record a complete scan that just ended; with ``has_news`` it found differences.

        Raises sqlite3.Error.
        """
        now = clock.read_clocks().wall
        self._last_scan = clock.format_time(now)
        is_in_memory = self._write_to_memory(self._last_scan)
        if not is_in_memory or has_news or self._is_stale_on_disk(now):
            self._written_at = now
            self._snapshot.set_meta(_TIME_KEY, self._last_scan)
            self._snapshot.set_meta(_IN_MEMORY_KEY, "1" if is_in_memory else "")

    def close(self) -> None:
        """Write the time of the last scan to ``state.db``, and remove the volatile folder; a second call does
        nothing.

        Raises sqlite3.Error.
        """
        self.volatile_folder.close()
        if self._last_scan:
            self._snapshot.set_meta(_TIME_KEY, self._last_scan)
            self._snapshot.set_meta(_IN_MEMORY_KEY, "")
            self._last_scan = ""

    def _is_stale_on_disk(self, now: datetime) -> bool:
        """Return True if ``state.db`` has no time of this service, or one of more than a day ago."""
        return self._written_at is None or abs(now - self._written_at) > _MAX_AGE_ON_DISK

    def _write_to_memory(self, time: str) -> bool:
        """Write the time to the volatile folder; return False if there is none."""
        folder = self.volatile_folder.path
        if folder is None:
            return False
        try:
            new_path = folder / f"{_FILE_NAME}.new"
            new_path.write_text(time, "ascii")
            os.replace(new_path, folder / _FILE_NAME)
        except OSError:
            # Somebody removed the folder, or the memory is full: the disk has room.
            return False
        return True


def read_last_scan(snapshot: Snapshot, archive_root: Path) -> LastScan:
    """Return the last scan of the service that runs for the archive, or ran; raises sqlite3.Error."""
    on_disk = snapshot.meta(_TIME_KEY)
    if not snapshot.meta(_IN_MEMORY_KEY):
        return LastScan(on_disk, is_known=True)
    in_memory = _read_from_memory(find_volatile_folder(archive_root))
    return LastScan(max(on_disk, in_memory), is_known=bool(in_memory))


def _read_from_memory(folder: Path | None) -> str:
    """Return the time in the volatile folder; empty if there is none that can be read."""
    if folder is None:
        return ""
    try:
        descriptor = os.open(folder / _FILE_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            text = os.read(descriptor, _MAX_FILE_BYTES).decode("ascii")
        finally:
            os.close(descriptor)
        clock.parse_time(text)
    except (OSError, ValueError):
        # It was just removed, or another user's program wrote it: the time on the disk is what is known.
        return ""
    return text
