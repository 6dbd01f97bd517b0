"""Watch a folder that may vanish, and detect lost events and a watch whose events stopped arriving."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path

from archiver.config.settings import Config
from archiver.daemon import watch_state
from archiver.daemon.watch_state import WatchState
from archiver.errors import LazyMessage, Reporter
from archiver.intake.folder import mounts
from archiver.intake.folder.access import FolderAccess
from archiver.intake.folder.child_access import ChildAccess
from archiver.intake.folder.presence import FolderPresence
from archiver.intake.folder.probe_schedule import ProbeSchedule
from archiver.intake.folder.volatile_folder import VolatileFolder
from archiver.intake.folder.watcher import Hint, Watcher, read_watch_limit
from archiver.intake.path_reasons import UNREADABLE_FOLDER
from archiver.intake.scan import ScanResult
from archiver.intake.snapshot import Snapshot
from archiver.store import names
from archiver.store.events.capture_events import WatchedFolderLost, WatchStalled
from archiver.store.writing.drafts import Draft

#: The kernel refuses to watch a longer path: PATH_MAX without the slash and the NUL.
_MAX_PATH_BYTES = 4094
#: The limit to suggest if the present limit is lower: the default of recent kernels on machines with much memory.
_SUGGESTED_WATCHES = 524_288
#: The time from a scan to the report of unwatched folders. After a shorter time, a folder created during the scan
#: is reported before its watch begins. After a longer time, the administrator learns late of the kernel's limit.
_UNWATCHED_GRACE_SECONDS = 2.0


class WatchedFolder:
    """Watch a folder that may vanish; detect lost events and a *stalled* watch, whose events no longer arrive.

    Owns the watch, which :meth:`stop_watching` ends.  ``state`` is one of the codes in
    :mod:`archiver.daemon.watch_state`; empty before the first watch.  Times are monotonic seconds.
    """

    def __init__(
        self,
        config: Config,
        access: FolderAccess,
        snapshot: Snapshot,
        volatile_folder: VolatileFolder,
        probe_folder: Path,
        report: Reporter,
        journal_event: Callable[[Draft], None],
    ) -> None:
        """Prepare to watch the folder, which may be missing; nothing is watched before :meth:`ensure_watched`.

        The caller closes ``access`` and ``volatile_folder``.  Probe events, which show that events arrive, happen
        in ``volatile_folder``, or else in the archive's ``probe_folder``.  ``journal_event`` journals an event.

        Raises OSError if the mounts of the system cannot be read.
        """
        self._config = config
        self._snapshot = snapshot
        self._volatile_folder = volatile_folder
        self._probe_folder = self._probe_folder_on_disk = probe_folder
        self._report = report
        self._journal_event = journal_event
        self._access = access
        self._presence = FolderPresence(os.fsencode(config.watch), access, snapshot)
        self._remote_mount = self._find_remote_mount()
        self._watcher: Watcher | None = None
        self._probe_schedule = ProbeSchedule()
        #: The identity of the folder at the start of the watch; None before.
        self._watched_identity: str | None = None
        #: The kernel's limit at the start of the watch, as text; empty if it cannot be read.
        self._watch_limit = ""
        #: Inode -> path of folders that a scan found unwatched, and that are not reported yet.
        self._unwatched_folders: dict[int, bytes] = {}
        #: The time at which these folders are checked again, and reported if they are still unwatched.
        self._unwatched_check_at = 0.0
        self.state = ""

    @property
    def scan_interval_seconds(self) -> float:
        """Return the seconds between two full scans: few, unless every change raises an event."""
        return self._config.scan_minutes * 60 if self.expects_events else self._config.poll_seconds

    @property
    def expects_events(self) -> bool:
        """Return True if every change raises an event, as far as is known."""
        return self.state == watch_state.EVENTS

    @property
    def is_access_still_suitable(self) -> bool:
        """Return False after a remote filesystem was mounted or unmounted: the folder then needs other access."""
        return (self._find_remote_mount() is not None) == isinstance(self._access, ChildAccess)

    # --- presence

    def is_present(self) -> bool:
        """Return True if the folder at the path can be trusted to be the watched folder."""
        return self._presence.is_present()

    def allow_other_mount(self) -> None:
        """Accept the folder on another mount than before, because it has moved on purpose."""
        self._presence.allow_other_mount()

    def record_scanned_folder(self) -> None:
        """Record the folder just scanned as the watched folder from now on."""
        self._presence.record_scanned_folder()

    def note_missing_folder(self) -> None:
        """Stop watching a missing folder, and report and journal the loss once; a second call does nothing."""
        if self.state == watch_state.MISSING:
            return
        self.stop_watching()
        self._report(
            "The watched folder {path} is missing. No archived data was lost. Waiting for the folder to return.",
            problem="folder",
            path=self._config.watch,
        )
        path_text = names.name_as_text(os.fsencode(self._config.watch))
        self._journal_event(Draft("watch", WatchedFolderLost(path=path_text)))
        self._store_state(WatchState(watch_state.MISSING))

    # --- events

    def ensure_watched(self) -> bool:
        """Start watching the folder, or a replacement folder; return True if a full scan is due.

        Does nothing, and returns False, while the same folder is watched.  A folder that replaced it needs a new
        watch: inotify follows the inode, so after a rename it would go on watching the old folder.
        """
        if self.state not in ("", watch_state.MISSING) and self._presence.identity() == self._watched_identity:
            return False
        self.stop_watching()
        self._watched_identity = self._presence.identity()
        self._watch_limit = read_watch_limit()
        if self._remote_mount is not None:
            self._store_state(
                WatchState(watch_state.POLLING, watch_state.NO_EVENTS, self._remote_mount.filesystem)
            )
        else:
            self._store_state(self._start_watcher())
        self._report("Watching {path}.", path=self._config.watch)
        return True

    def _start_watcher(self) -> WatchState:
        """Start watching, and return the state of the watch.

        If the kernel grants no watch, that is reported, and the folder is scanned often instead.
        """
        watcher = Watcher(self._config.watch, self._ensure_probe_folder())
        try:
            watcher.start()
        except OSError as error:
            self._report(
                "The kernel refused to watch {path} ({reason}). No files are lost: the folder is scanned every "
                "{seconds:g} s. Raise fs.inotify.max_user_watches and fs.inotify.max_user_instances with sysctl.",
                problem="watch",
                path=self._config.watch,
                reason=error.strerror,
                seconds=self._config.poll_seconds,
            )
            return WatchState(watch_state.SCANS_ONLY, watch_state.WATCH_REFUSED, error.strerror or "")
        self._watcher = watcher
        # After a stalled watch, a new one counts as stalled too, until a probe event arrives.
        return (
            WatchState(watch_state.STALLED, watch_state.EVENTS_LOST)
            if self._probe_schedule.is_watch_stalled
            else WatchState(watch_state.EVENTS)
        )

    def stop_watching(self) -> None:
        """Stop watching; ``state`` stays unchanged."""
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher = None

    def close(self) -> None:
        """Stop watching, and store that nothing is watched; raises sqlite3.Error if the state is not stored."""
        self.stop_watching()
        self._store_state(WatchState(""))

    def take_hints(self) -> set[Hint]:
        """Return the paths that events named since the last call; empty if nothing is watched."""
        return self._watcher.take_hints() if self._watcher is not None else set()

    def wait(self, seconds: float) -> bool:
        """Sleep until there is a hint or a :meth:`wake`, at most ``seconds``, and return True.

        Returns False at once if nothing is watched.
        """
        if self._watcher is None:
            return False
        self._watcher.wait(seconds)
        return True

    def wake(self) -> None:
        """End a :meth:`wait`.  Call this from another thread, never in a signal handler."""
        watcher = self._watcher
        if watcher is not None:
            watcher.wake()

    # --- lost events

    def check_for_lost_events(self, now: float) -> bool:
        """Return True if events were lost or no longer arrive, so that a full scan is due.

        Causes a probe event if one is due, and replaces the watch if it has lost events or is stalled.  ``now`` is
        the present time.
        """
        watcher = self._watcher
        if watcher is None:
            return False
        if reason := watcher.take_loss_reason():
            self._report(
                "Kernel notifications for {path} were lost ({reason}). No files are lost: archiver is rescanning "
                "the folder. If this recurs, raise fs.inotify.max_queued_events with sysctl.",
                problem="overflow",
                path=self._config.watch,
                reason=reason,
            )
            self._restart_watch()
            return True
        if self._probe_schedule.register_missed_probe(watcher.has_probe_arrived, now):
            self.restart_stalled_watch()
            return True
        if self._probe_schedule.is_probe_due(now) and not self._send_probe(watcher, now):
            return True
        if self.state == watch_state.STALLED and not self._probe_schedule.is_watch_stalled:
            self._store_state(WatchState(watch_state.EVENTS))
        return self._check_unwatched_folders(now)

    def _send_probe(self, watcher: Watcher, now: float) -> bool:
        """Cause a probe event; return False if a new watch was started because the probe folder was missing."""
        try:
            watcher.send_probe()
            self._probe_schedule.note_probe_sent(now)
        except OSError as error:
            # Other events do not need the probe, but a stalled watch goes unnoticed until the next scan.
            self._probe_schedule.note_probe_failed(now)
            if isinstance(error, FileNotFoundError) and self._ensure_probe_folder() is not None:
                self._restart_watch()
                return False
            self._report_probe_problem(error)
        return True

    def _ensure_probe_folder(self) -> Path | None:
        """Return the folder for probe events, created if missing; report a failure, and return None."""
        self._probe_folder = self._volatile_folder.ensure() or self._probe_folder_on_disk
        try:
            self._probe_folder.mkdir(exist_ok=True)
        except OSError as error:
            self._report_probe_problem(error)
            return None
        return self._probe_folder

    def _report_probe_problem(self, error: OSError) -> None:
        """Report that no probe event can be made: a stalled watch may go unnoticed for longer."""
        self._report(
            "Cannot test the kernel notifications in {path} ({reason}). No files are lost: archiver still scans "
            "the watched folder. Remove the file or folder at this path.",
            problem="canary",
            path=self._probe_folder,
            reason=error.strerror,
        )

    def restart_stalled_watch(self, missed_path: bytes | None = None, missed_count: int = 0) -> None:
        """Replace and report the stalled watch; journal the stall unless the watch was stalled before.

        ``missed_path`` is the first of ``missed_count`` changes without an event; None if a probe event is missed.
        """
        self._report(
            "The watch on {path} delivers no kernel notifications. No files are lost: a scan and a new watch "
            "follow.",
            problem="deaf",
            path=self._config.watch,
        )
        if self.state != watch_state.STALLED:
            missed_name = None if missed_path is None else names.name_as_text(missed_path)
            self._journal_event(Draft("watch", WatchStalled(path=missed_name, missed=missed_count or None)))
        self._restart_watch()

    def _restart_watch(self) -> None:
        """Replace the watch with a new watch; events in between are lost, so a full scan is due."""
        self.stop_watching()
        self._store_state(self._start_watcher())

    def note_unwatched_folders(self, full_scan: ScanResult, now: float) -> None:
        """Note the folders without a watch after a full scan; :meth:`check_for_lost_events` reports them later.

        The report waits, because a new folder gets its watch a moment after its creation.  Folders that cannot be
        read are left out.
        """
        self._unwatched_folders = {}
        if self._watcher is None:
            return
        unreadable_paths = {skip.path for skip in full_scan.skipped if skip.code == UNREADABLE_FOLDER.code}
        self._unwatched_folders = {
            inode: path
            for inode, path in Watcher.find_unwatched(full_scan.folders).items()
            if path not in unreadable_paths
        }
        self._unwatched_check_at = now + _UNWATCHED_GRACE_SECONDS
        if not self._unwatched_folders and self.state == watch_state.PARTIAL:
            self._store_state(WatchState(watch_state.EVENTS))

    def _check_unwatched_folders(self, now: float) -> bool:
        """Report the noted folders that are still unwatched; return True if a full scan is due.

        If folders are unwatched and the limit for watches has changed, the watch is replaced, and a scan is due.
        """
        if self.state == watch_state.PARTIAL and read_watch_limit() != self._watch_limit:
            self._watch_limit = read_watch_limit()
            self._restart_watch()
            return True
        if not self._unwatched_folders or now < self._unwatched_check_at:
            return False
        watched_inodes = Watcher.watched_inodes()
        unwatched_paths = [path for inode, path in self._unwatched_folders.items() if inode not in watched_inodes]
        self._unwatched_folders = {}
        if unwatched_paths:
            self._report_unwatched_folders(unwatched_paths)
        return False

    def _report_unwatched_folders(self, unwatched_paths: Collection[bytes]) -> None:
        """Store that folders are unwatched; report this once, and only if a higher limit would help."""
        max_relative_bytes = _MAX_PATH_BYTES - len(self._presence.real_path)
        unwatched_count = str(len(unwatched_paths))
        if all(len(unwatched_path) >= max_relative_bytes for unwatched_path in unwatched_paths):
            # A higher limit does not help these folders, so the advice below would be wrong.
            self._store_state(WatchState(watch_state.PARTIAL, watch_state.FOLDERS_TOO_DEEP, unwatched_count))
        elif self.state != watch_state.PARTIAL:
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
                path=self._config.watch,
                first=min(unwatched_paths),
                seconds=self._config.poll_seconds,
                enough=max(2 * int(self._watch_limit or 0), _SUGGESTED_WATCHES),
            )

    def _find_remote_mount(self) -> mounts.Mount | None:
        """Return a mount at or below the folder whose files can change without an event; None if there is none."""
        return mounts.find_remote_mount(self._presence.real_path, mounts.read_mounts())

    def _store_state(self, new_state: WatchState) -> None:
        """Keep the state here and in ``state.db``; raises sqlite3.Error."""
        self.state = new_state.code
        self._snapshot.set_meta("watching", new_state.code)
        self._snapshot.set_meta("watching_why", new_state.reason.code if new_state.reason else "")
        self._snapshot.set_meta("watching_value", new_state.reason_value)
