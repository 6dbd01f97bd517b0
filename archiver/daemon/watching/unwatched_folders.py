"""Find and report folders whose changes raise no event, because the kernel granted no watch."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from archiver.daemon import watch_state
from archiver.daemon.watch_state import WatchState
from archiver.errors import LazyMessage, Reporter
from archiver.intake.folder.watcher import Watcher, read_watch_limit
from archiver.intake.path_reasons import UNREADABLE_FOLDER
from archiver.intake.scan import ScanResult

#: The kernel refuses to watch a longer path: PATH_MAX without the slash and the NUL.
_MAX_PATH_BYTES = 4094
#: The limit to suggest if the present limit is lower: the default of recent kernels on machines with much memory.
_SUGGESTED_WATCHES = 524_288
#: The time from a scan to the report of unwatched folders. After a shorter time, a folder created during the scan
#: is reported before its watch begins. After a longer time, the administrator learns late of the kernel's limit.
_UNWATCHED_GRACE_SECONDS = 2.0


class UnwatchedFolders:
    """The folders found without a watch by a scan, until their report; for a single thread."""

    def __init__(
        self, watched_path: Path, poll_seconds: float, report: Reporter, store_state: Callable[[WatchState], None]
    ) -> None:
        """Report on the folder ``watched_path``, and pass a new state of the watch to ``store_state``.

        Without a watch, folders are scanned every ``poll_seconds``.
        """
        self._watched_path = watched_path
        self._poll_seconds = poll_seconds
        self._report = report
        self._store_state = store_state
        #: The kernel's limit at the start of the watch, as text; empty if it cannot be read.
        self._watch_limit = ""
        #: Inode -> path of folders that a scan found unwatched, and that are not reported yet.
        self._folders: dict[int, bytes] = {}
        #: The time at which these folders are checked again, and reported if they are still unwatched.
        self._check_at = 0.0

    def note_new_watch(self) -> None:
        """Note the kernel's limit, because a watch begins now."""
        self._watch_limit = read_watch_limit()

    def note(self, full_scan: ScanResult, state: str, is_watching: bool, now: float) -> None:
        """Note the folders without a watch after a full scan, for :meth:`report_due`.

        The report waits, because a new folder gets its watch a moment after its creation.  Folders that cannot be
        read are left out.  ``state`` is the state of the watch.
        """
        self._folders = {}
        if not is_watching:
            return
        unreadable_paths = {skip.path for skip in full_scan.skipped if skip.code == UNREADABLE_FOLDER.code}
        self._folders = {
            inode: path
            for inode, path in Watcher.find_unwatched(full_scan.folders).items()
            if path not in unreadable_paths
        }
        self._check_at = now + _UNWATCHED_GRACE_SECONDS
        if not self._folders and state == watch_state.PARTIAL:
            self._store_state(WatchState(watch_state.EVENTS))

    def is_new_watch_due(self, state: str) -> bool:
        """Return True if folders are unwatched, and the limit for watches has changed since the watch began."""
        return state == watch_state.PARTIAL and read_watch_limit() != self._watch_limit

    def report_due(self, state: str, real_path: bytes, now: float) -> None:
        """Report the noted folders still unwatched, if the report is due; ``real_path`` is the folder's path."""
        if not self._folders or now < self._check_at:
            return
        watched_inodes = Watcher.watched_inodes()
        unwatched_paths = [path for inode, path in self._folders.items() if inode not in watched_inodes]
        self._folders = {}
        if unwatched_paths:
            self._report_paths(unwatched_paths, state, _MAX_PATH_BYTES - len(real_path))

    def _report_paths(self, unwatched_paths: Collection[bytes], state: str, max_relative_bytes: int) -> None:
        """Store that folders are unwatched; report this once, and only if a higher limit would help."""
        unwatched_count = str(len(unwatched_paths))
        if all(len(unwatched_path) >= max_relative_bytes for unwatched_path in unwatched_paths):
            # A higher limit does not help these folders, so the advice below would be wrong.
            self._store_state(WatchState(watch_state.PARTIAL, watch_state.FOLDERS_TOO_DEEP, unwatched_count))
        elif state != watch_state.PARTIAL:
            self._store_state(WatchState(watch_state.PARTIAL, watch_state.FOLDERS_UNWATCHED, unwatched_count))
            self._report(
                LazyMessage.define(
                    "{count} folders below {path} are not watched; the first is {first}. No files are lost: they "
                    "are scanned every {seconds:g} s. To raise the limit, run: sysctl -w "
                    "fs.inotify.max_user_watches={enough!q}",
                    singular="{count} folder below {path} is not watched: {first}. No files are lost: it is "
                    "scanned every {seconds:g} s. To raise the limit, run: sysctl -w "
                    "fs.inotify.max_user_watches={enough!q}",
                ),
                problem="watch",
                count=len(unwatched_paths),
                path=self._watched_path,
                first=min(unwatched_paths),
                seconds=self._poll_seconds,
                enough=max(2 * int(self._watch_limit or 0), _SUGGESTED_WATCHES),
            )
