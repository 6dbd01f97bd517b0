"""Watch a folder that may vanish, and detect lost events and a watch whose events stopped arriving."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from archiver.config.settings import Config
from archiver.daemon import watch_state
from archiver.daemon.watch_state import WatchState
from archiver.errors import LazyMessage, Reporter
from archiver.intake.folder import mounts
from archiver.intake.folder.access import ChildAccess, FolderAccess
from archiver.intake.folder.canary import Canary
from archiver.intake.folder.presence import FolderPresence
from archiver.intake.folder.watcher import Hint, Watcher
from archiver.intake.path_reasons import UNREADABLE_FOLDER
from archiver.intake.scan import ScanResult
from archiver.intake.snapshot import Snapshot
from archiver.store import names
from archiver.store.events.capture_events import WatchedFolderLost, WatchWentDeaf
from archiver.store.writer import Draft

_WATCH_LIMIT_FILE = Path("/proc/sys/fs/inotify/max_user_watches")
#: A watch is requested by path, and the kernel refuses a longer path: PATH_MAX without the slash and the NUL.
_MAX_PATH_BYTES = 4094
#: The limit to suggest if the present one is lower: the default of recent kernels on machines with much memory.
_SUGGESTED_WATCHES = 524_288
#: Shorter, and a folder created during a scan, whose watch begins a moment later, is reported as not watched.
_GRACE_SECONDS = 2.0


class WatchedFolder:
    """Watch one folder: detect its absence, lost events, and a *deaf* watch, whose events stopped arriving.

    Owns the watch, which :meth:`unwatch` ends.  ``state`` is one of the codes in
    :mod:`archiver.daemon.watch_state`, and empty before the first watch; ``state.db`` keeps it for
    ``archiver status``.  Times are monotonic seconds.
    """

    def __init__(
        self,
        config: Config,
        access: FolderAccess,
        snapshot: Snapshot,
        probe_folder: Path,
        report: Reporter,
        append: Callable[[Draft], None],
    ) -> None:
        """Prepare to watch the folder, which may be missing; nothing is watched before :meth:`ensure_watched`.

        The caller closes ``access``.  ``probe_folder`` is a folder in the archive, created if missing, in which
        events are made to test the watch.  ``append`` journals an event.

        Raises OSError if the mounts of the system cannot be read.
        """
        self._config = config
        self._snapshot = snapshot
        self._probe_folder = probe_folder
        self._report = report
        self._append = append
        self._access = access
        self._presence = FolderPresence(os.fsencode(config.watch), access, snapshot)
        self._network_mount = self._find_network_mount()
        self._watcher: Watcher | None = None
        self._canary = Canary()
        #: The identity of the folder at the start of the watch; None before.
        self._watched_identity: str | None = None
        #: The kernel's limit at the start of the watch, as text; empty if it cannot be read.
        self._watch_limit = ""
        #: Inode -> path of folders that a scan met without a watch, and that are not reported yet.
        self._unwatched_folders: dict[int, bytes] = {}
        #: The time at which these folders are checked once more.
        self._unwatched_check_at = 0.0
        self.state = ""

    @property
    def scan_seconds(self) -> float:
        """Return the seconds between two scans of everything: fewer where events cannot be trusted."""
        return self._config.scan_minutes * 60 if self.state == watch_state.EVENTS else self._config.poll_seconds

    @property
    def expects_events(self) -> bool:
        """Return True if every change should raise an event."""
        return self.state == watch_state.EVENTS

    @property
    def is_reached_as_before(self) -> bool:
        """Return True if the folder still has to be read as chosen at the start: directly, or by children."""
        return (self._find_network_mount() is not None) == isinstance(self._access, ChildAccess)

    # --- presence

    def is_present(self) -> bool:
        """Return True if the folder at the path is the watched folder, as far as can be told."""
        return self._presence.is_present()

    def allow_other_mount(self) -> None:
        """Accept the folder on another mount than before, because it has moved on purpose."""
        self._presence.allow_other_mount()

    def remember(self) -> None:
        """Record the folder, which was just scanned, as the watched folder from now on."""
        self._presence.remember()

    def report_missing(self) -> None:
        """Stop watching a folder that has vanished; report and journal that, but only once."""
        if self.state == watch_state.MISSING:
            return
        self.unwatch()
        self._report(
            "The watched folder {path} is missing. Nothing archived was lost. Waiting until it is back.",
            problem="folder",
            path=self._config.watch,
        )
        self._append(Draft("watch", WatchedFolderLost(path=names.text(os.fsencode(self._config.watch)))))
        self._set_state(WatchState(watch_state.MISSING))

    # --- events

    def ensure_watched(self) -> bool:
        """Start watching the folder, or a folder that replaced it; return True if a scan of everything is due.

        Does nothing, and returns False, while the same folder is watched.  A folder that replaced it needs a new
        watch: inotify follows the inode, so after a rename it would go on watching the old folder.
        """
        if self.state not in ("", watch_state.MISSING) and self._presence.identity() == self._watched_identity:
            return False
        self.unwatch()
        self._watched_identity = self._presence.identity()
        self._watch_limit = _read_watch_limit()
        if self._network_mount is not None:
            self._set_state(WatchState(watch_state.POLLING, watch_state.NO_EVENTS, self._network_mount.filesystem))
        else:
            self._set_state(self._start_watcher())
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
                "No events from {path} ({reason}). Nothing is lost: the folder is scanned every {seconds:g} s. "
                "Raise fs.inotify.max_user_watches and max_user_instances with sysctl.",
                problem="watch",
                path=self._config.watch,
                reason=error.strerror,
                seconds=self._config.poll_seconds,
            )
            return WatchState(watch_state.SCANS, watch_state.NO_WATCH, error.strerror or "")
        self._watcher = watcher
        # After a deaf watch, a new one counts as deaf too, until a probe event arrives.
        return (
            WatchState(watch_state.DEAF, watch_state.NOT_HEARD)
            if self._canary.is_deaf
            else WatchState(watch_state.EVENTS)
        )

    def unwatch(self) -> None:
        """Stop watching; ``state`` stays unchanged."""
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher = None

    def close(self) -> None:
        """Stop watching, and record that; raises sqlite3.Error if only the record fails."""
        self.unwatch()
        self._set_state(WatchState(""))

    def take_hints(self) -> set[Hint]:
        """Return the hints since the last call; empty if nothing is watched."""
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
        """Return True if events were lost or stopped arriving, so that a scan of everything is due.

        Makes a probe event if one is due, and starts a new watch if the old one has lost events.  ``now`` is the
        present time.
        """
        watcher = self._watcher
        if watcher is None:
            return False
        if reason := watcher.loss_reason():
            self._report(
                "Events from {path} were lost ({reason}). Nothing is lost: the folder is scanned now. If this "
                "comes often, raise fs.inotify.max_queued_events with sysctl.",
                problem="overflow",
                path=self._config.watch,
                reason=reason,
            )
            self._rewatch()
            return True
        if self._canary.notices_deafness(watcher.has_probe_arrived, now):
            self.rewatch_after_silence()
            return True
        if self._canary.is_probe_due(now) and not self._send_probe(watcher, now):
            return True
        if self.state == watch_state.DEAF and not self._canary.is_deaf:
            self._set_state(WatchState(watch_state.EVENTS))
        return self._check_unwatched_folders(now)

    def _send_probe(self, watcher: Watcher, now: float) -> bool:
        """Make a probe event; return False if a new watch was started instead.

        A new watch is needed if the probe folder had been removed, and the old watch on it with the folder.
        """
        try:
            watcher.send_probe()
            self._canary.note_probe_sent(now)
        except OSError as error:
            # Other events do not need the probe, but a deaf watch goes unnoticed until the next scan.
            self._canary.postpone(now)
            if isinstance(error, FileNotFoundError) and self._ensure_probe_folder() is not None:
                self._rewatch()
                return False
            self._report_probe_problem(error)
        return True

    def _ensure_probe_folder(self) -> Path | None:
        """Create the folder for probe events if missing, and return it; report a failure, and return None."""
        try:
            self._probe_folder.mkdir(exist_ok=True)
        except OSError as error:
            self._report_probe_problem(error)
            return None
        return self._probe_folder

    def _report_probe_problem(self, error: OSError) -> None:
        """Report that no probe event can be made, so that a deaf watch may go unnoticed for longer."""
        self._report(
            "Whether events arrive cannot be tried in {path} ({reason}). Nothing is lost: the folder is scanned "
            "all the same. Remove what lies there.",
            problem="canary",
            path=self._probe_folder,
            reason=error.strerror,
        )

    def rewatch_after_silence(self, missed_path: bytes | None = None, missed_count: int = 0) -> None:
        """Start a new watch because events stopped arriving; report that, and journal it the first time.

        ``missed_path`` is one of ``missed_count`` changes that a scan found although no event named them; None if
        only a probe event is missing.
        """
        self._report(
            "The watch of {path} is deaf. Nothing is lost: the folder is scanned and watched anew.",
            problem="deaf",
            path=self._config.watch,
        )
        if self.state != watch_state.DEAF:
            details = WatchWentDeaf()
            if missed_path is not None:
                details = WatchWentDeaf(path=names.text(missed_path), missed=missed_count)
            self._append(Draft("watch", details))
        self._rewatch()

    def _rewatch(self) -> None:
        """Replace the watch by a new one; events in between are lost, so a scan of everything is due."""
        self.unwatch()
        self._set_state(self._start_watcher())

    def note_unwatched_folders(self, scan: ScanResult, now: float) -> None:
        """Note the unwatched folders after a scan of everything; :meth:`check_for_lost_events` reports them later.

        Some of them are new, and watched a moment later.
        """
        self._unwatched_folders = {}
        if self._watcher is None:
            return
        unreadable = {item.path for item in scan.skipped if item.code == UNREADABLE_FOLDER.code}
        self._unwatched_folders = {
            inode: path for inode, path in Watcher.without_watch(scan.folders).items() if path not in unreadable
        }
        self._unwatched_check_at = now + _GRACE_SECONDS
        if not self._unwatched_folders and self.state == watch_state.PARTLY:
            self._set_state(WatchState(watch_state.EVENTS))

    def _check_unwatched_folders(self, now: float) -> bool:
        """Report the noted folders that are still unwatched; return True if a scan of everything is due.

        A scan is due after a new watch, which is started once the administrator has changed the kernel's limit.
        """
        if self.state == watch_state.PARTLY and _read_watch_limit() != self._watch_limit:
            self._watch_limit = _read_watch_limit()
            self._rewatch()
            return True
        if not self._unwatched_folders or now < self._unwatched_check_at:
            return False
        unwatched = Watcher.without_watch(self._unwatched_folders)
        self._unwatched_folders = {}
        max_relative_bytes = _MAX_PATH_BYTES - len(self._presence.real_path)
        if unwatched and all(len(path) >= max_relative_bytes for path in unwatched.values()):
            # A higher limit does not help these folders, so the advice below would be wrong.
            self._set_state(WatchState(watch_state.PARTLY, watch_state.TOO_FAR, str(len(unwatched))))
        elif unwatched and self.state != watch_state.PARTLY:
            first_path = min(unwatched.values())
            self._set_state(WatchState(watch_state.PARTLY, watch_state.NOT_ALL, str(len(unwatched))))
            self._report(
                LazyMessage.define(
                    "{count} folders below {path} are not watched, the first is {first}. Nothing is lost: "
                    "they are scanned every {seconds:g} s. Raise the limit: sysctl -w "
                    "fs.inotify.max_user_watches={enough!q}",
                    singular="{count} folder below {path} is not watched: {first}. Nothing is lost: it is scanned "
                    "every {seconds:g} s. Raise the limit: sysctl -w fs.inotify.max_user_watches={enough!q}",
                ),
                problem="watch",
                count=len(unwatched),
                path=self._config.watch,
                first=first_path,
                seconds=self._config.poll_seconds,
                enough=max(2 * int(self._watch_limit or 0), _SUGGESTED_WATCHES),
            )
        return False

    def _find_network_mount(self) -> mounts.Mount | None:
        """Return the mount, at or below the folder, whose events cannot be trusted; None if there is none."""
        return mounts.untrusted_mount(self._presence.real_path, mounts.read_mounts())

    def _set_state(self, new_state: WatchState) -> None:
        """Keep the state, in ``state.db`` too; raises sqlite3.Error."""
        self.state = new_state.code
        self._snapshot.set_meta("watching", new_state.code)
        self._snapshot.set_meta("watching_why", new_state.reason.code if new_state.reason else "")
        self._snapshot.set_meta("watching_value", new_state.value)


def _read_watch_limit() -> str:
    """Return the kernel's limit for watches, as text; empty if it cannot be read."""
    try:
        return _WATCH_LIMIT_FILE.read_text("ascii").strip()
    except OSError:
        # A kernel without inotify, or a container without /proc: there is no limit to compare.
        return ""
