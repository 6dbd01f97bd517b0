"""Turn inotify events into hints; the only module that imports watchdog.

Events may be lost (docs/traps.md): they make archiving quick, the scans make it complete.
:meth:`Watcher.loss_reason` reports what can be known of a loss.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import sys
import threading
import warnings
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

_EVENTS: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]
#: Frames for a walk that calls itself for each folder; the length of a path ends it at 2,048.
_RECURSION_LIMIT = 5000
_STOP_SECONDS = 5.0
_WATCH_LINE = re.compile(r"^inotify wd:[0-9a-f]+ ino:([0-9a-f]+) ", re.MULTILINE)


# After an overflow watchdog warns of each watch that it finds again, in many kilobytes.
warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"watchdog\.")


class Watcher(FileSystemEventHandler):
    """Collect the paths that events name, relative to the watched folder.

    Owns watchdog's threads between :meth:`start` and :meth:`stop`; they only touch the set of hints, under a lock.
    """

    def __init__(self, root: Path, probe: Path | None) -> None:
        """``probe``: a folder of our own, whose events prove that events arrive; None if it cannot be made."""
        self._root = os.fsencode(root)
        self._lock = threading.Lock()
        self._hints: set[tuple[bytes, bool]] = set()
        self._has_hints = threading.Event()
        self._probe = probe
        self._probe_arrived = threading.Event()
        self._warnings = _FirstWarning()
        self._observer = Observer()
        if probe is not None:
            self._observer.schedule(_ProbeHandler(self._probe_arrived), os.fspath(probe), event_filter=_EVENTS)

    def start(self) -> None:
        """Start watching; raises OSError if the kernel grants no watch, and holds nothing then."""
        logging.getLogger("watchdog").addHandler(self._warnings)
        # Before Python 3.12 os.walk, which watchdog uses, calls itself for each folder.
        sys.setrecursionlimit(max(sys.getrecursionlimit(), _RECURSION_LIMIT))
        try:
            # The probe was scheduled first: the folders below the root may take every watch that is left.
            self._observer.start()
            self._observer.schedule(self, os.fsdecode(self._root), recursive=True, event_filter=_EVENTS)
        except OSError:
            self.stop()
            raise

    def stop(self) -> None:
        """End the watchdog threads; events that are on their way are lost."""
        logging.getLogger("watchdog").removeHandler(self._warnings)
        for emitter in self._observer.emitters:
            if emitter.is_alive():
                emitter.stop()
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join(timeout=_STOP_SECONDS)

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Note the path; called on a thread of watchdog, which must not wait for anything else."""
        with self._lock:
            for name in (event.src_path, event.dest_path):
                path = os.fsencode(name)
                if path.startswith(self._root + b"/"):
                    self._hints.add((path[len(self._root) + 1 :], event.is_directory))
        self._has_hints.set()

    def wait(self, seconds: float) -> None:
        """Sleep until there is a hint or a :meth:`wake`, at most ``seconds``."""
        self._has_hints.wait(seconds)

    def wake(self) -> None:
        """End a :meth:`wait` at once."""
        self._has_hints.set()

    def take_hints(self) -> set[tuple[bytes, bool]]:
        """Return the hints since the last call: path, and True if the path is a folder."""
        with self._lock:
            hints, self._hints = self._hints, set()
            self._has_hints.clear()
        return hints

    def loss_reason(self) -> str:
        """Return why events may have been lost since the last call; empty if nothing is known."""
        if warning := self._warnings.take_first():
            return warning
        # Deleting the watched folder, for example, ends its emitter without a log line.
        return "" if all(emitter.is_alive() for emitter in self._observer.emitters) else "a watching thread ended"

    def send_probe(self) -> None:
        """Make an event in the probe folder; raises OSError."""
        self._probe_arrived.clear()
        if self._probe is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        with open(self._probe / "beat", "wb") as stream:
            stream.write(b".")

    @property
    def has_probe_arrived(self) -> bool:
        """Return True if the event of the last :meth:`send_probe` has arrived."""
        return self._probe_arrived.is_set()

    @staticmethod
    def watched_inodes() -> set[int]:
        """Return the inodes of everything that this process watches, from the kernel: proc_pid_fdinfo(5)."""
        inodes: set[int] = set()
        for descriptor in os.listdir("/proc/self/fd"):
            try:
                if os.readlink(f"/proc/self/fd/{descriptor}") == "anon_inode:inotify":
                    lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text("ascii")
                    inodes |= {int(number, 16) for number in _WATCH_LINE.findall(lines)}
            except OSError:
                # Another thread closed the descriptor meanwhile.
                continue
        return inodes


class _ProbeHandler(FileSystemEventHandler):
    def __init__(self, has_arrived: threading.Event) -> None:
        self._has_arrived = has_arrived

    def on_any_event(self, event: FileSystemEvent) -> None:
        self._has_arrived.set()


class _FirstWarning(logging.Handler):
    """Keep the first warning of watchdog, which only logs an overflow of the kernel's queue."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._message = ""

    def emit(self, record: logging.LogRecord) -> None:
        self._message = self._message or record.getMessage()

    def take_first(self) -> str:
        message, self._message = self._message, ""
        return message
