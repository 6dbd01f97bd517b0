"""Read all files again once in a period, where a filesystem does not store when they were changed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta

from archiver import clock
from archiver.config.settings import Config
from archiver.daemon.failures import FailureReporter
from archiver.errors import LazyMessage, Reporter, StorageError
from archiver.intake.content_comparison import archived_digests, compare_contents
from archiver.intake.exclusion.ignore_rules import IgnoreRules
from archiver.intake.folder.access import open_access_again
from archiver.intake.folder.change_times import ChangeTimes
from archiver.intake.seed_snapshot import open_submissions
from archiver.intake.snapshot import SkippedPath, Snapshot
from archiver.intake.snapshot_opening import open_snapshot
from archiver.store.archive import Archive
from archiver.store.content.source import StatData
from archiver.workers import name_to_text, text_to_name

#: The key in ``state.db``, for JSON: when the last reading of all files ended (RFC 3339), and the last file of the
#: present one, as the prefix of its submission and its path (null between two readings).
_META_KEY = "rereading"
#: The seconds after which a run stores how far it has come, and pauses; a large file takes longer.
_RUN_SECONDS = 60.0
#: The longest time until the mounts and the schedule are looked at again.
_LONGEST_PAUSE_SECONDS = 3600.0
#: The time until the next attempt after a failure.
_RETRY_SECONDS = 900.0

Place = tuple[bytes, bytes]


class _Stopped(Exception):
    """The service ends, or opens everything again."""


class Rereading:
    """Compares the bytes of files with the archive on a thread, and lets the next scan find the changed ones.

    A file may take hours, so other side jobs must not wait for it.  How far it has come is kept in ``state.db``.
    """

    def __init__(self, config: Config, real_path: bytes, report: Reporter, lock_timeout: float) -> None:
        """Read the files below ``real_path``, the watched folder's path without links.

        ``report`` is called on the thread.  ``lock_timeout`` is in seconds.
        """
        self._config = config
        self._real_path = real_path
        self._failures = FailureReporter(report, config.archive)
        self._lock_timeout = lock_timeout
        self._period = timedelta(days=config.reread_days)
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._next_run_at = 0.0

    def start_if_due(self) -> None:
        """Start reading if files may have to be read; return at once.  Raises RuntimeError if no thread starts."""
        is_running = self._thread is not None and self._thread.is_alive()
        if self._period and not is_running and clock.monotonic_seconds() >= self._next_run_at:
            self._thread = threading.Thread(target=self._run, name="reread", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end at the next chunk of a file; return at once."""
        self._stopping.set()

    def _run(self) -> None:
        """Read files for a while; report a failure, after which the next attempt is later."""
        self._next_run_at = clock.monotonic_seconds() + _RETRY_SECONDS
        try:
            with closing(Archive(self._config.archive)) as archive:
                self.read_due_files(archive)
        except _Stopped:
            return
        except Exception as error:
            # Unexpected errors are reported too, because otherwise nobody would know that nothing is read again.
            self._failures.report_failure(error, problem="reread")

    def read_due_files(self, archive: Archive) -> None:
        """Read files for about a minute, if a reading is due or not finished.

        Raises ArchiverError, OSError or sqlite3.Error if the archive, ``state.db`` or the folder cannot be used.
        """
        started_at = clock.monotonic_seconds()
        change_times = ChangeTimes(self._real_path)
        if not change_times.filesystem_without_ctime:
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
        place = place or (b"", b"")
        ignore_rules = IgnoreRules.with_litter(self._config.ignore)
        unreadable: list[SkippedPath] = []
        is_finished = False
        try:
            with closing(open_access_again(self._config.watch, self._real_path, self._config.archive)) as access:
                for next_place, digest in _list_files_after(archive, place):
                    path = next_place[1]
                    state = snapshot.archived_state(path)
                    # What has no state is read by the service, and what is ignored stays as it was archived.
                    if (
                        isinstance(state, StatData)
                        and state != StatData.unknown()
                        and not change_times.are_stored(path)
                        and not ignore_rules.covers(path)
                    ):
                        comparison = compare_contents(access, {path: digest}, self._check_stop)
                        if comparison.unreadable:
                            # Is it the file, or can nothing be read?  Then the reading goes on from here later.
                            access.root_identity()
                            unreadable += comparison.unreadable
                        # A file with another state is found by the next scan as it is.
                        if comparison.different.get(path) == state:
                            snapshot.record({path: StatData.unknown()})
                    place = next_place
                    if clock.monotonic_seconds() >= deadline:
                        break
                else:
                    is_finished = True
        finally:
            if is_finished:
                _write_progress(snapshot, clock.read_clocks().wall, None)
            else:
                _write_progress(snapshot, finished_at or clock.read_clocks().wall, place)
        if unreadable:
            raise StorageError(
                LazyMessage.define(
                    "{count} files could not be read again; the first is {path} ({reason}). No archived data was "
                    "lost. Check the permissions and the disk.",
                    singular="{path} could not be read again ({reason}). No archived data was lost. Check the "
                    "permissions and the disk.",
                ),
                count=len(unreadable),
                path=unreadable[0].path,
                reason=unreadable[0].reason,
            )

    def _check_stop(self) -> None:
        """Raise _Stopped if the service ends."""
        if self._stopping.is_set():
            raise _Stopped


def _list_files_after(archive: Archive, place: Place) -> Iterator[tuple[Place, str]]:
    """Yield the place and the SHA-256 of each file in the newest versions, in order, after ``place``."""
    for submission in sorted(open_submissions(archive.index), key=lambda each: each.prefix):
        if submission.prefix >= place[0]:
            for path, digest in sorted(archived_digests(archive.index, submission).items()):
                if (submission.prefix, path) > place:
                    yield (submission.prefix, path), digest


def _read_progress(snapshot: Snapshot) -> tuple[datetime | None, Place | None]:
    """Return when the last reading ended, and the last file of the present one; None if there is none."""
    stored_text = snapshot.meta(_META_KEY)
    if not stored_text:
        return None, None
    finished_at, place_texts = json.loads(stored_text)
    place = None if place_texts is None else (text_to_name(place_texts[0]), text_to_name(place_texts[1]))
    return clock.parse_time(finished_at), place


def _write_progress(snapshot: Snapshot, finished_at: datetime, place: Place | None) -> None:
    """Store what :func:`_read_progress` returns."""
    texts = None if place is None else [name_to_text(name) for name in place]
    snapshot.set_meta(_META_KEY, json.dumps([clock.format_time(finished_at), texts]))
