"""Read all files again once in a period, where a filesystem does not store when they were changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta

from archiver import clock
from archiver.config.settings import Config
from archiver.errors import LazyMessage, Reporter
from archiver.intake.content_comparison import archived_digests, compare_contents
from archiver.intake.folder.access import open_access
from archiver.intake.folder.change_times import ChangeTimes
from archiver.intake.layout import group_of_submission
from archiver.intake.seed_snapshot import open_submissions
from archiver.intake.snapshot import SkippedPath, Snapshot
from archiver.intake.snapshot_opening import open_snapshot
from archiver.store.archive import Archive
from archiver.store.content.source import StatData
from archiver.workers import name_to_text, text_to_name

#: The key in ``state.db``, for JSON: when the last reading of all files ended (RFC 3339), and the last file of the
#: present one, as the prefix of its group and its path (null between two readings).
_META_KEY = "rereading"
#: The seconds of one run of the job.  With more, other side jobs would wait for longer; a large file takes longer.
_RUN_SECONDS = 60.0
#: The longest time until the mounts and the schedule are looked at again.
_LONGEST_PAUSE_SECONDS = 3600.0

Place = tuple[bytes, bytes]


class Rereading:
    """A side job: it compares the bytes of files with the archive, and lets the next scan find the changed ones.

    How far it has come is kept in ``state.db``.
    """

    def __init__(self, config: Config, real_path: bytes, report: Reporter, lock_timeout: float) -> None:
        """Read the files below ``real_path``, the watched folder's path without links.

        ``report`` is called on the thread of the job.  ``lock_timeout`` is in seconds.
        """
        self._config = config
        self._real_path = real_path
        self._report = report
        self._lock_timeout = lock_timeout
        self._period = timedelta(days=config.reread_days)
        self._next_run_at = 0.0

    def is_due(self, _archive: Archive) -> bool:
        """Return True if files may have to be read."""
        return bool(self._period) and clock.monotonic_seconds() >= self._next_run_at

    def run(self, archive: Archive) -> None:
        """Read files for about a minute, if a reading is due or not finished.

        Raises ArchiverError, OSError or sqlite3.Error if the archive or ``state.db`` cannot be used.
        """
        started_at = clock.monotonic_seconds()
        change_times = ChangeTimes(self._real_path)
        if not change_times.filesystem_without:
            self._next_run_at = started_at + _LONGEST_PAUSE_SECONDS
            return
        with closing(open_snapshot(archive, self._lock_timeout)) as snapshot:
            pause_seconds = self._pause_seconds(snapshot)
            if pause_seconds <= 0:
                self._read_files(archive, snapshot, change_times, started_at + _RUN_SECONDS)
                # As long as the reading took, so that it takes at most half of the disk's time.
                pause_seconds = clock.monotonic_seconds() - started_at
        self._next_run_at = clock.monotonic_seconds() + min(pause_seconds, _LONGEST_PAUSE_SECONDS)

    def _pause_seconds(self, snapshot: Snapshot) -> float:
        """Return the seconds until files have to be read: 0 or less if they are due now."""
        now = clock.read_clocks().wall
        finished_at, place = _read_progress(snapshot)
        if finished_at is None:
            # The service reads the files of a new archive, or of a new database, anyway.
            _write_progress(snapshot, now, None)
            return self._period.total_seconds()
        # A clock that was set back must not put the reading off.
        if place is not None or now < finished_at:
            return 0
        return (finished_at + self._period - now).total_seconds()

    def _read_files(
        self, archive: Archive, snapshot: Snapshot, change_times: ChangeTimes, deadline: float
    ) -> None:
        """Read the next files until the monotonic time ``deadline``, and store how far that came."""
        finished_at, place = _read_progress(snapshot)
        unreadable: list[SkippedPath] = []
        with closing(open_access(self._config.watch, self._config.archive)) as access:
            for next_place, digest in _list_files_after(archive, place or (b"", b"")):
                path = next_place[1]
                state = snapshot.archived_state(path)
                # What has no state is read by the service.
                if change_times.are_stored(path) or not isinstance(state, StatData) or state == StatData.unknown():
                    continue
                comparison = compare_contents(access, {path: digest})
                unreadable += comparison.unreadable
                # A file with another state is found by the next scan as it is.
                if comparison.different.get(path) == state:
                    snapshot.record({path: StatData.unknown()})
                if clock.monotonic_seconds() >= deadline:
                    _write_progress(snapshot, finished_at or clock.read_clocks().wall, next_place)
                    break
            else:
                _write_progress(snapshot, clock.read_clocks().wall, None)
        if unreadable:
            self._report(
                LazyMessage.define(
                    "{count} files could not be read again; the first is {path} ({reason}). No archived data was "
                    "lost. Check the permissions and the disk.",
                    singular="{path} could not be read again ({reason}). No archived data was lost. Check the "
                    "permissions and the disk.",
                ),
                problem="reread",
                count=len(unreadable),
                path=unreadable[0].path,
                reason=unreadable[0].reason,
            )


def _list_files_after(archive: Archive, place: Place) -> Iterator[tuple[Place, str]]:
    """Yield the place and the SHA-256 of each file in the newest versions, in order, after ``place``."""
    groups = sorted({group_of_submission(submission) for submission in open_submissions(archive.index)}, key=str)
    for group in sorted(groups, key=lambda each: each.prefix):
        if group.prefix < place[0]:
            continue
        for path, digest in sorted(archived_digests(archive.index, group).items()):
            if (group.prefix, path) > place:
                yield (group.prefix, path), digest


def _read_progress(snapshot: Snapshot) -> tuple[datetime | None, Place | None]:
    """Return when the last reading ended, and the last file of the present one; None if there is none."""
    stored_text = snapshot.meta(_META_KEY)
    if not stored_text:
        return None, None
    finished_at, place = json.loads(stored_text)
    return clock.parse_time(finished_at), None if place is None else (
        text_to_name(place[0]),
        text_to_name(place[1]),
    )


def _write_progress(snapshot: Snapshot, finished_at: datetime, place: Place | None) -> None:
    """Store what :func:`_read_progress` returns."""
    texts = None if place is None else [name_to_text(name) for name in place]
    snapshot.set_meta(_META_KEY, json.dumps([clock.format_time(finished_at), texts]))
