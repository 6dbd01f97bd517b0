"""Watch a folder that may vanish, and detect lost events and a watch whose events stopped arriving."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from archiver import clock
from archiver.config.settings import Config
from archiver.daemon import watch_state
from archiver.daemon.watch_state import WatchState
from archiver.daemon.watching.probe_folder import ProbeFolder
from archiver.daemon.watching.tried_abilities import TriedAbilities
from archiver.daemon.watching.unwatched_folders import UnwatchedFolders
from archiver.errors import LazyMessage, Reporter, StorageError
from archiver.intake.absence.deletion_check import DeletionCheck
from archiver.intake.absence.deletion_gate import DeletionGate
from archiver.intake.exclusion.ignore_rules import IgnoreRules
from archiver.intake.folder import mounts
from archiver.intake.folder.access import FolderAccess
from archiver.intake.folder.child_access import ChildAccess
from archiver.intake.folder.presence import FOLDER_MISSING, FolderCheck, FolderPresence
from archiver.intake.folder.probe_schedule import ProbeSchedule
from archiver.intake.folder.volatile_folder import VolatileFolder
from archiver.intake.folder.watcher import Hint, Watcher
from archiver.intake.path_reasons import LOCKED_FOLDER
from archiver.intake.scan import ScanResult
from archiver.intake.snapshot import Snapshot
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.events.capture_events import WatchedFolderLost, WatchStalled
from archiver.store.system_limits import find_limit
from archiver.store.writing.drafts import Draft

#: The seconds from a refused watch to the next attempt; each failure doubles them, up to the longest.
_FIRST_ATTEMPT_SECONDS, _LONGEST_ATTEMPT_SECONDS = 60.0, 3600.0


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
        archive: Archive,
    ) -> None:
        """Prepare to watch the folder, which may be missing; nothing is watched before :meth:`ensure_watched`.

        The journal of ``archive`` identifies the watched folder.  Probe events, which show that events arrive,
        happen in ``volatile_folder``, or else in the archive's ``probe_folder``.  ``journal_event`` journals an
        event.  The caller closes ``access`` and ``volatile_folder``.

        Raises OSError if the mounts of the system cannot be read.
        """
        self._config = config
        self._snapshot = snapshot
        self._probe_folder = ProbeFolder(volatile_folder, probe_folder, report)
        self._report = report
        self._journal_event = journal_event
        self._access = access
        self._presence = FolderPresence(os.fsencode(config.watch), access, snapshot, archive)
        self._remote_mount = self._find_remote_mount()
        self._presence.note_new_database()
        deletion_check = DeletionCheck(access, snapshot, IgnoreRules.with_litter(config.ignore))
        #: Holds captures back if nothing proves that missing files were deleted.
        self.deletion_gate = DeletionGate(deletion_check, self.is_present, snapshot, archive, report)
        self._watcher: Watcher | None = None
        self._next_attempt_at, self._attempt_seconds = 0.0, _FIRST_ATTEMPT_SECONDS / 2
        self._probe_schedule = ProbeSchedule()
        #: The folder when it was last checked, and at the start of the watch; None before.
        self._last_check: FolderCheck | None = None
        self._watched_check: FolderCheck | None = None
        self._unwatched_folders = UnwatchedFolders(config.watch, config.poll_seconds, report, self._store_state)
        #: Folders whose key was not loaded at the last full scan.
        self._locked_folders: list[bytes] = []
        self._abilities = TriedAbilities(access, snapshot, self._presence.real_path)
        #: The state that a missing folder was reported with; None while the folder is present.
        self._missing_state: WatchState | None = None
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
    def quiet_periods(self) -> int:
        """Return for how many quiet periods a file must be unchanged, by the abilities at the last scan."""
        return self._abilities.quiet_periods

    @property
    def is_access_still_suitable(self) -> bool:
        """Return False after a remote filesystem was mounted or unmounted: the folder then needs other access."""
        return (self._find_remote_mount() is not None) == isinstance(self._access, ChildAccess)

    # --- presence

    def is_present(self) -> bool:
        """Return True if the folder at the path is the watched folder; raises sqlite3.Error."""
        self._last_check = self._presence.check()
        return self._last_check.absence is None

    def allow_other_mount(self) -> None:
        """Accept the folder on another mount than before, because it has moved on purpose."""
        self._presence.allow_other_mount()

    def record_scanned_folder(self, new_files: Iterable[bytes]) -> None:
        """Record the folder just scanned as the watched folder from now on, and journal the identity.

        Tries what this process may do in it, with some of the files, of which ``new_files`` are not archived yet.
        """
        if (identification := self._presence.identification()) is not None:
            self._journal_event(identification)
        self._presence.record_mount()
        self._abilities.try_again(new_files)

    def missing_folder_error(self) -> StorageError:
        """Return the error with the reason why the last check did not find the watched folder."""
        return StorageError(
            "The watched folder {path} is missing: {reason}. No archived data was lost. Mount it, or correct "
            "watch.path in the configuration file, then start again. If this folder is right, run: archiver watch "
            "accept --reason TEXT",
            path=self._config.watch,
            reason=self._describe_absence(),
        )

    def _describe_absence(self) -> LazyMessage:
        """Return why the folder did not count as the watched folder when it was last checked."""
        return (self._last_check and self._last_check.explanation) or FOLDER_MISSING

    def note_missing_folder(self) -> None:
        """Stop watching a missing or another folder; report the reason once, and journal the loss once."""
        reason = self._describe_absence()
        new_state = WatchState(
            watch_state.MISSING, reason, self._last_check.absence_value if self._last_check else ""
        )
        if new_state == self._missing_state:
            return
        self.stop_watching()
        self._report(
            "The watched folder {path} is missing: {reason}. No archived data was lost. Waiting for the folder to "
            "return. If this folder is right, run: archiver watch accept --reason TEXT",
            problem="folder",
            path=self._config.watch,
            reason=reason,
        )
        if self.state != watch_state.MISSING:
            path_text = names.name_as_text(os.fsencode(self._config.watch))
            self._journal_event(Draft("watch", WatchedFolderLost(path=path_text)))
        self._store_state(new_state)
        self._missing_state = new_state

    # --- events

    def ensure_watched(self) -> bool:
        """Start watching the folder, or a replacement folder; return True if a full scan is due.

        Does nothing, and returns False, while the same folder is watched on the same mount.  Otherwise a new watch
        is needed: inotify follows the inode, so it would go on watching the old folder.  :meth:`is_present` comes
        first.
        """
        self._missing_state = None
        if self.state not in ("", watch_state.MISSING) and self._last_check == self._watched_check:
            return False
        self.stop_watching()
        self._watched_check = self._last_check
        self._unwatched_folders.note_new_watch()
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

        Without a watch, that is reported, and the folder is scanned often until a later attempt succeeds.
        """
        watcher = Watcher(self._config.watch, self._probe_folder.ensure())
        try:
            watcher.start()
        except OSError as error:
            # watchdog leaves some descriptors open after some failures, so that attempts have to become rare.
            self._attempt_seconds = min(2 * self._attempt_seconds, _LONGEST_ATTEMPT_SECONDS)
            self._next_attempt_at = clock.monotonic_seconds() + self._attempt_seconds
            if self.state != watch_state.SCANS_ONLY:
                self._report_refused_watch(error)
            return WatchState(watch_state.SCANS_ONLY, watch_state.WATCH_REFUSED, error.strerror or "")
        self._watcher, self._attempt_seconds = watcher, _FIRST_ATTEMPT_SECONDS / 2
        # After a stalled watch, a new one counts as stalled too, until a probe event arrives.
        return (
            WatchState(watch_state.STALLED, watch_state.EVENTS_LOST)
            if self._probe_schedule.is_watch_stalled
            else WatchState(watch_state.EVENTS)
        )

    def _report_refused_watch(self, error: OSError) -> None:
        """Report why nothing is watched, and which limit to raise."""
        if error.errno == errno.EAGAIN and (limit := find_limit(error, is_process_start=True)):
            self._report(limit.message, problem=limit.code)
            return
        self._report(
            "The kernel refused to watch {path} ({reason}). No files are lost: the folder is scanned every "
            "{seconds:g} s. Raise fs.inotify.max_user_watches and fs.inotify.max_user_instances with sysctl.",
            problem="watch",
            path=self._config.watch,
            reason=error.strerror,
            seconds=self._config.poll_seconds,
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
            if self.state == watch_state.SCANS_ONLY and now >= self._next_attempt_at:
                self._restart_watch()
            return self._watcher is not None
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
        if any(map(self._is_unlocked, self._locked_folders)):
            # Below these folders, the watch knows only the encrypted names.
            self._restart_watch()
            return True
        if self._unwatched_folders.is_new_watch_due(self.state):
            self._unwatched_folders.note_new_watch()
            self._restart_watch()
            return True
        self._unwatched_folders.report_due(self.state, self._presence.real_path, now)
        return False

    def _is_unlocked(self, folder: bytes) -> bool:
        """Return True if a folder, locked at the last scan, can be read again."""
        try:
            return not self._access.is_locked(folder)
        except OSError:
            # Deleted or unmounted: the next scan finds out.
            return False

    def _send_probe(self, watcher: Watcher, now: float) -> bool:
        """Cause a probe event; return False if a new watch was started because the probe folder was missing."""
        try:
            watcher.send_probe()
            self._probe_schedule.note_probe_sent(now)
        except OSError as error:
            # Other events do not need the probe, but a stalled watch goes unnoticed until the next scan.
            self._probe_schedule.note_probe_failed(now)
            if isinstance(error, FileNotFoundError) and self._probe_folder.ensure() is not None:
                self._restart_watch()
                return False
            self._probe_folder.report_problem(error)
        return True

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
        """Note the folders without a watch after a full scan; :meth:`check_for_lost_events` reports them later."""
        self._unwatched_folders.note(full_scan, self.state, self._watcher is not None, now)
        self._locked_folders = [skip.path for skip in full_scan.skipped if skip.code == LOCKED_FOLDER.code]

    def _find_remote_mount(self) -> mounts.Mount | None:
        """Return a mount at or below the folder whose files can change without an event; None if there is none."""
        return mounts.find_remote_mount(self._presence.real_path, mounts.read_mounts())

    def _store_state(self, new_state: WatchState) -> None:
        """Keep the state here and in ``state.db``; raises sqlite3.Error."""
        self.state = new_state.code
        self._snapshot.set_meta("watching", new_state.code)
        self._snapshot.set_meta("watching_why", new_state.reason.code if new_state.reason else "")
        self._snapshot.set_meta("watching_value", new_state.reason_value)
