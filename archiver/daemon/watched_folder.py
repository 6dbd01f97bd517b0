"""The watched folder as the daemon sees it: there or not, and how changes become known."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from archiver.config.settings import Config
from archiver.errors import Reporter
from archiver.intake.folder import mounts
from archiver.intake.folder.access import ThroughChildren, open_access
from archiver.intake.folder.canary import Canary
from archiver.intake.folder.presence import Presence
from archiver.intake.folder.watcher import Watcher
from archiver.intake.scan import UNREADABLE_FOLDER, ScanResult
from archiver.intake.snapshot import Snapshot
from archiver.store import names
from archiver.store.writer import Draft

EVENTS, PARTLY, POLLING, SCANS, DEAF, MISSING = "events", "partly", "polling", "scans", "deaf", "missing"

NO_EVENTS = "{value} gives no events"
NO_WATCH = "the kernel grants no watch: {value}"
NOT_ALL = "{value} folders are not watched; raise fs.inotify.max_user_watches"
TOO_FAR = "{value} folders lie too deep to be watched"
NOT_HEARD = "events do not arrive"

_LIMIT = Path("/proc/sys/fs/inotify/max_user_watches")
#: The kernel takes no longer path (PATH_MAX, with the slash and the NUL), and a watch is asked for by path.
_LONGEST_PATH = 4094
#: A folder made during a scan is watched a moment later; only then is its lack a loss.
_GRACE_SECONDS = 2.0


class WatchedFolder:
    """Presence, events and their loss, of one watched folder.  Times are monotonic seconds."""

    def __init__(
        self, config: Config, snapshot: Snapshot, probe: Path, report: Reporter, journal: Callable[[Draft], None]
    ) -> None:
        """``probe``: a folder of our own, made where it is missing, in which the canary's events are made."""
        self._config = config
        self._snapshot = snapshot
        self._probe = probe
        self._report = report
        self._journal = journal
        self.access = open_access(config.watch, config.archive)
        self._presence = Presence(os.fsencode(config.watch), self.access, snapshot)
        self._mounted = mounts.untrusted(self._presence.place, _mounts())
        self._watcher: Watcher | None = None
        self._canary = Canary()
        self._identity: str | None = None
        self._limit = ""
        self._uncovered: dict[int, bytes] = {}
        self._look_again = 0.0
        self.state = ""

    @property
    def scan_seconds(self) -> float:
        """How often everything is scanned: often, where events cannot be trusted."""
        return self._config.scan_minutes * 60 if self.state == EVENTS else self._config.poll_seconds

    @property
    def expects_events(self) -> bool:
        """Whether every change should be told by an event."""
        return self.state == EVENTS

    @property
    def is_reached_as_before(self) -> bool:
        """Whether what is mounted there still is of the kind that it was at the start."""
        now = mounts.untrusted(self._presence.place, _mounts())
        return (now is None) == (not isinstance(self.access, ThroughChildren))

    # --- presence

    def is_there(self) -> bool:
        """Return True if the folder can be trusted to be the watched one."""
        return self._presence.is_there()

    def allow_other_mount(self) -> None:
        """Note that the folder has moved on purpose."""
        self._presence.allow_other_mount()

    def remember(self) -> None:
        """Note that this folder has been scanned: it is the one from now on."""
        self._presence.remember()

    def lost(self) -> None:
        """The folder is not there: say so once, and wait."""
        if self.state == MISSING:
            return
        self.unwatch()
        self._report(
            "The watched folder {path} is missing. Nothing archived was lost. Waiting until it is back.",
            problem="folder",
            path=self._config.watch,
        )
        self._journal(Draft("watch-lost", "watch", {"path": names.text(os.fsencode(self._config.watch))}))
        self._set(MISSING)

    # --- events

    def watch(self) -> bool:
        """Watch it, if that is not the case yet; whether the watch is new, so that a scan is due."""
        if self.state not in ("", MISSING) and self._presence.identity() == self._identity:
            return False
        # A folder of the same name in another place: inotify still holds the old one.
        self.unwatch()
        self._identity = self._presence.identity()
        self._limit = _limit()
        if self._mounted is not None:
            self._set(POLLING, NO_EVENTS, self._mounted.filesystem)
        else:
            self._set(*self._start())
        self._report("Watching {path}.", path=self._config.watch)
        return True

    def _start(self) -> tuple[str, str, str]:
        watcher = Watcher(self._config.watch, self._made_probe())
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
        return (DEAF, NOT_HEARD, "") if self._canary.is_deaf else (EVENTS, "", "")

    def unwatch(self) -> None:
        """End the watch."""
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher = None

    def close(self) -> None:
        """End the watch and the children."""
        self.unwatch()
        self._set("")
        self.access.close()

    def hints(self) -> set[tuple[bytes, bool]]:
        """What events named since the last call."""
        return self._watcher.take() if self._watcher is not None else set()

    def wait(self, seconds: float) -> bool:
        """Sleep until there is a hint; whether there is something to wait on."""
        if self._watcher is None:
            return False
        self._watcher.wait(seconds)
        return True

    def wake(self) -> None:
        """End a :meth:`wait`; safe in a signal handler."""
        if self._watcher is not None:
            self._watcher.wake()

    # --- what may have been lost

    def lost_events(self, now: float) -> bool:
        """Whether events were lost, or arrive no more, so that a scan is due."""
        watcher = self._watcher
        if watcher is None:
            return False
        if reason := watcher.trouble():
            self._report(
                "Events from {path} were lost ({reason}). Nothing is lost: the folder is scanned now. If this "
                "comes often, raise fs.inotify.max_queued_events with sysctl.",
                problem="overflow",
                path=self._config.watch,
                reason=reason,
            )
            self._rewatch()
            return True
        if self._canary.listen(watcher.is_heard, now):
            self.is_deaf()
            return True
        if self._canary.wants_beat(now) and not self._beat(watcher, now):
            return True
        if self.state == DEAF and not self._canary.is_deaf:
            self._set(EVENTS)
        return self._check_cover(now)

    def _beat(self, watcher: Watcher, now: float) -> bool:
        """Make a beat; whether the watch may go on as it is."""
        try:
            watcher.beat()
            self._canary.beaten(now)
        except OSError as error:
            # Events arrive without it; only nobody would hear when they do not.
            self._canary.postpone(now)
            if isinstance(error, FileNotFoundError) and self._made_probe() is not None:
                self._rewatch()
                return False
            self._tell_of_probe(error)
        return True

    def _made_probe(self) -> Path | None:
        try:
            self._probe.mkdir(exist_ok=True)
        except OSError as error:
            self._tell_of_probe(error)
            return None
        return self._probe

    def _tell_of_probe(self, error: OSError) -> None:
        self._report(
            "Whether events arrive cannot be tried in {path} ({reason}). Nothing is lost: the folder is scanned "
            "all the same. Remove what lies there.",
            problem="canary",
            path=self._probe,
            reason=error.strerror,
        )

    def is_deaf(self, path: bytes | None = None, count: int = 0) -> None:
        """Events do not arrive any more: watch anew, and journal it the first time.

        ``path`` and ``count``: what a scan found instead.
        """
        self._report(
            "The watch of {path} is deaf. Nothing is lost: the folder is scanned and watched anew.",
            problem="deaf",
            path=self._config.watch,
        )
        if self.state != DEAF:
            found = {} if path is None else {"path": names.text(path), "missed": count}
            self._journal(Draft("watch-deaf", "watch", found))
        self._rewatch()

    def _rewatch(self) -> None:
        self.unwatch()
        self._set(*self._start())

    def compare(self, found: ScanResult, now: float) -> None:
        """After a scan of everything: are all its folders watched?"""
        self._uncovered = {}
        if self._watcher is None:
            return
        unreadable = {item.path for item in found.skipped if item.template == UNREADABLE_FOLDER}
        self._uncovered = {
            inode: path for inode, path in self._without_watch(found.folders).items() if path not in unreadable
        }
        self._look_again = now + _GRACE_SECONDS
        if not self._uncovered and self.state == PARTLY:
            self._set(EVENTS)

    def _check_cover(self, now: float) -> bool:
        if self.state == PARTLY and _limit() != self._limit:
            # The admin has done what was asked.
            self._limit = _limit()
            self._rewatch()
            return True
        if not self._uncovered or now < self._look_again:
            return False
        missing = self._without_watch(self._uncovered)
        self._uncovered = {}
        room = _LONGEST_PATH - len(self._presence.place)
        if missing and all(len(path) >= room for path in missing.values()):
            self._set(PARTLY, TOO_FAR, str(len(missing)))
        elif missing and self.state != PARTLY:
            first = min(missing.values())
            self._set(PARTLY, NOT_ALL, str(len(missing)))
            self._report(
                "{count} folders below {path} are not watched, the first is {first}. Nothing is lost: they are "
                "scanned every {seconds:g} s. Raise the limit: sysctl -w fs.inotify.max_user_watches={enough!q}",
                problem="watch",
                count=len(missing),
                path=self._config.watch,
                first=first,
                seconds=self._config.poll_seconds,
                enough=max(2 * int(self._limit or 0), 524288),
            )
        return False

    def _without_watch(self, folders: dict[int, bytes]) -> dict[int, bytes]:
        watched = Watcher.watched_inodes()
        missing = {inode: path for inode, path in folders.items() if inode not in watched}
        if len(missing) == len(folders) and len(watched) >= len(folders):
            # A filesystem whose inode numbers differ inside the kernel (overlay): only the count tells.
            return {}
        return missing

    def _set(self, state: str, template: str = "", value: str = "") -> None:
        self.state = state
        self._snapshot.set_meta("watching", state)
        self._snapshot.set_meta("watching_why", template)
        self._snapshot.set_meta("watching_value", value)


def _mounts() -> list[mounts.Mount]:
    return mounts.parse(mounts.read_table())


def _limit() -> str:
    try:
        return _LIMIT.read_text("ascii").strip()
    except OSError:
        return ""
