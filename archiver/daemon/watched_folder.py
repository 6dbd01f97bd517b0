"""Watch a folder that may vanish, and detect lost events and a watch without events."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from archiver.config.settings import Config
from archiver.errors import LazyMessage, Reporter
from archiver.intake.folder import mounts
from archiver.intake.folder.access import ChildAccess, open_access
from archiver.intake.folder.canary import Canary
from archiver.intake.folder.presence import FolderPresence
from archiver.intake.folder.watcher import Watcher
from archiver.intake.path_reasons import UNREADABLE_FOLDER
from archiver.intake.scan import ScanResult
from archiver.intake.snapshot import Snapshot
from archiver.store import names
from archiver.store.events.capture_events import WatchedFolderLost, WatchWentDeaf
from archiver.store.writer import Draft

EVENTS, PARTLY, POLLING, SCANS, DEAF, MISSING = "events", "partly", "polling", "scans", "deaf", "missing"

NO_EVENTS = LazyMessage.define("{value} gives no events", code="watch.no-events")
NO_WATCH = LazyMessage.define("the kernel grants no watch: {value}", code="watch.no-watch")
NOT_ALL = LazyMessage.define(
    "{value} folders are not watched; raise fs.inotify.max_user_watches", code="watch.folders-unwatched"
)
TOO_FAR = LazyMessage.define("{value} folders lie too deep to be watched", code="watch.folders-too-deep")
NOT_HEARD = LazyMessage.define("events do not arrive", code="watch.events-lost")
_REASONS = {reason.code: reason for reason in (NO_EVENTS, NO_WATCH, NOT_ALL, TOO_FAR, NOT_HEARD)}
#: Earlier releases left the sentence for ``status``; these never change.
_FORMER_SENTENCES = {
    "{value} gives no events": "watch.no-events",
    "the kernel grants no watch: {value}": "watch.no-watch",
    "{value} folders are not watched; raise fs.inotify.max_user_watches": "watch.folders-unwatched",
    "{value} folders lie too deep to be watched": "watch.folders-too-deep",
    "events do not arrive": "watch.events-lost",
}

_WATCH_LIMIT = Path("/proc/sys/fs/inotify/max_user_watches")
#: A watch is requested by path, and the kernel takes no longer one: PATH_MAX without the slash and the NUL.
_MAX_PATH_BYTES = 4094
#: What is suggested to an administrator whose limit is lower; the default of recent kernels with much memory.
_SUGGESTED_WATCHES = 524_288
#: A folder made during a scan is watched a moment later: a shorter wait would report it as not watched.
_GRACE_SECONDS = 2.0


class WatchedFolder:
    """Watch one folder: detect absence, lost events, and a watch that has gone deaf.

    Owns the watch, and the children through which a network mount is read; :meth:`close` ends them.  ``state`` is
    one of the words above, kept in ``state.db`` for ``archiver status``; empty before the first watch.  Times are
    monotonic seconds.
    """

    def __init__(
        self, config: Config, snapshot: Snapshot, probe: Path, report: Reporter, journal: Callable[[Draft], None]
    ) -> None:
        """``probe``: the folder of the canary's events inside the archive, made if missing."""
        self._config = config
        self._snapshot = snapshot
        self._probe = probe
        self._report = report
        self._journal = journal
        self.access = open_access(config.watch, config.archive)
        self._presence = FolderPresence(os.fsencode(config.watch), self.access, snapshot)
        self._network_mount = self._find_network_mount()
        self._watcher: Watcher | None = None
        self._canary = Canary()
        self._watched_identity: str | None = None
        self._watch_limit = ""
        self._unwatched_folders: dict[int, bytes] = {}
        self._cover_check_at = 0.0
        self.state = ""

    @property
    def scan_seconds(self) -> float:
        """Return the seconds between two scans of everything: few where events cannot be trusted."""
        return self._config.scan_minutes * 60 if self.state == EVENTS else self._config.poll_seconds

    @property
    def expects_events(self) -> bool:
        """Return True if every change should raise an event."""
        return self.state == EVENTS

    @property
    def is_reached_as_before(self) -> bool:
        """Return True if the mount at the path is still to be read in the way chosen at the start."""
        return (self._find_network_mount() is None) == (not isinstance(self.access, ChildAccess))

    # --- presence

    def is_present(self) -> bool:
        """Return True if the folder can be trusted to be the watched folder."""
        return self._presence.is_present()

    def allow_other_mount(self) -> None:
        """Accept another mount: the folder has moved on purpose."""
        self._presence.allow_other_mount()

    def remember(self) -> None:
        """Record the scanned folder as the watched folder from now on."""
        self._presence.remember()

    def report_missing(self) -> None:
        """Stop watching a vanished folder; report and journal the loss once."""
        if self.state == MISSING:
            return
        self.unwatch()
        self._report(
            "The watched folder {path} is missing. Nothing archived was lost. Waiting until it is back.",
            problem="folder",
            path=self._config.watch,
        )
        self._journal(Draft("watch", WatchedFolderLost(path=names.text(os.fsencode(self._config.watch)))))
        self._set_state(MISSING)

    # --- events

    def ensure_watched(self) -> bool:
        """Start watching the folder, or a folder that replaced it; return True if a scan of everything is due.

        Does nothing while the watched folder is still the same one.  inotify follows the inode, so after a rename
        it would go on watching the old folder.
        """
        if self.state not in ("", MISSING) and self._presence.identity() == self._watched_identity:
            return False
        self.unwatch()
        self._watched_identity = self._presence.identity()
        self._watch_limit = _read_watch_limit()
        if self._network_mount is not None:
            self._set_state(POLLING, NO_EVENTS, self._network_mount.filesystem)
        else:
            self._set_state(*self._start_watcher())
        self._report("Watching {path}.", path=self._config.watch)
        return True

    def _start_watcher(self) -> tuple[str, LazyMessage | None, str]:
        """Start watching; return the state, and reason and value where events are missing.

        Reports a kernel that grants no watch: the folder is then scanned often.
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
            return SCANS, NO_WATCH, error.strerror or ""
        self._watcher = watcher
        return (DEAF, NOT_HEARD, "") if self._canary.is_deaf else (EVENTS, None, "")

    def unwatch(self) -> None:
        """Stop watching; the state stays unchanged."""
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher = None

    def close(self) -> None:
        """Stop watching, and end the children."""
        self.unwatch()
        self._set_state("")
        self.access.close()

    def take_hints(self) -> set[tuple[bytes, bool]]:
        """Return the paths named by events since the last call, each with True for a folder."""
        return self._watcher.take_hints() if self._watcher is not None else set()

    def wait(self, seconds: float) -> bool:
        """Sleep until a hint arrives, at most ``seconds``; return False at once if nothing is watched."""
        if self._watcher is None:
            return False
        self._watcher.wait(seconds)
        return True

    def wake(self) -> None:
        """End a :meth:`wait`; from another thread, never in a signal handler."""
        watcher = self._watcher
        if watcher is not None:
            watcher.wake()

    # --- lost events

    def check_for_lost_events(self, now: float) -> bool:
        """Return True if events were lost or stopped arriving, so that a scan of everything is due.

        Makes the probe events, and watches the folder anew where that is needed.
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
        if self.state == DEAF and not self._canary.is_deaf:
            self._set_state(EVENTS)
        return self._check_unwatched_folders(now)

    def _send_probe(self, watcher: Watcher, now: float) -> bool:
        """Make a probe event; return False if the folder had to be watched anew."""
        try:
            watcher.send_probe()
            self._canary.probe_sent(now)
        except OSError as error:
            # Events arrive without it, but a deaf watch would go unnoticed until the next scan.
            self._canary.postpone(now)
            if isinstance(error, FileNotFoundError) and self._ensure_probe_folder() is not None:
                self._rewatch()
                return False
            self._report_probe_problem(error)
        return True

    def _ensure_probe_folder(self) -> Path | None:
        """Make the folder for probe events if missing; return None, and report why, on failure."""
        try:
            self._probe.mkdir(exist_ok=True)
        except OSError as error:
            self._report_probe_problem(error)
            return None
        return self._probe

    def _report_probe_problem(self, error: OSError) -> None:
        self._report(
            "Whether events arrive cannot be tried in {path} ({reason}). Nothing is lost: the folder is scanned "
            "all the same. Remove what lies there.",
            problem="canary",
            path=self._probe,
            reason=error.strerror,
        )

    def rewatch_after_silence(self, missed_path: bytes | None = None, missed_count: int = 0) -> None:
        """Watch the folder anew since events stopped arriving; journal the first time.

        ``missed_path`` is one of ``missed_count`` changes that a scan found although no event named them.
        """
        self._report(
            "The watch of {path} is deaf. Nothing is lost: the folder is scanned and watched anew.",
            problem="deaf",
            path=self._config.watch,
        )
        if self.state != DEAF:
            details = WatchWentDeaf()
            if missed_path is not None:
                details = WatchWentDeaf(path=names.text(missed_path), missed=missed_count)
            self._journal(Draft("watch", details))
        self._rewatch()

    def _rewatch(self) -> None:
        self.unwatch()
        self._set_state(*self._start_watcher())

    def note_unwatched_folders(self, scan: ScanResult, now: float) -> None:
        """Find unwatched folders after a complete scan; a later turn reports them."""
        self._unwatched_folders = {}
        if self._watcher is None:
            return
        unreadable = {item.path for item in scan.skipped if item.code == UNREADABLE_FOLDER.code}
        self._unwatched_folders = {
            inode: path for inode, path in self._without_watch(scan.folders).items() if path not in unreadable
        }
        self._cover_check_at = now + _GRACE_SECONDS
        if not self._unwatched_folders and self.state == PARTLY:
            self._set_state(EVENTS)

    def _check_unwatched_folders(self, now: float) -> bool:
        """Report folders still unwatched; return True if a scan of everything is due.

        Watches everything anew once the administrator has changed the kernel's limit.
        """
        if self.state == PARTLY and _read_watch_limit() != self._watch_limit:
            self._watch_limit = _read_watch_limit()
            self._rewatch()
            return True
        if not self._unwatched_folders or now < self._cover_check_at:
            return False
        unwatched = self._without_watch(self._unwatched_folders)
        self._unwatched_folders = {}
        max_relative_bytes = _MAX_PATH_BYTES - len(self._presence.real_path)
        if unwatched and all(len(path) >= max_relative_bytes for path in unwatched.values()):
            # No limit helps these, so the advice below would be wrong.
            self._set_state(PARTLY, TOO_FAR, str(len(unwatched)))
        elif unwatched and self.state != PARTLY:
            first_path = min(unwatched.values())
            self._set_state(PARTLY, NOT_ALL, str(len(unwatched)))
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

    def _without_watch(self, folders: dict[int, bytes]) -> dict[int, bytes]:
        """Return the folders, by inode, without a watch of this process."""
        watched_inodes = Watcher.watched_inodes()
        unwatched = {inode: path for inode, path in folders.items() if inode not in watched_inodes}
        if len(unwatched) == len(folders) and len(watched_inodes) >= len(folders):
            # overlayfs has other inode numbers inside the kernel: only the count can be compared there.
            return {}
        return unwatched

    def _find_network_mount(self) -> mounts.Mount | None:
        return mounts.untrusted_mount(self._presence.real_path, mounts.read_mounts())

    def _set_state(self, state: str, reason: LazyMessage | None = None, value: str = "") -> None:
        self.state = state
        self._snapshot.set_meta("watching", state)
        self._snapshot.set_meta("watching_why", reason.code if reason else "")
        self._snapshot.set_meta("watching_value", value)


def watch_reason(word: str, value: str) -> LazyMessage:
    """Return the sentence for the reason in ``state.db``, which may be of an earlier release."""
    code = _FORMER_SENTENCES.get(word, word)
    reason = _REASONS.get(code)
    return (
        LazyMessage("{code}: {value}", code=code, value=value)
        if reason is None
        else reason.with_fields(value=value)
    )


def _read_watch_limit() -> str:
    try:
        return _WATCH_LIMIT.read_text("ascii").strip()
    except OSError:
        # A kernel without inotify, or a container without /proc: there is no limit to compare.
        return ""
