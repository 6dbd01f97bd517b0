"""File system events as hints; the only module that imports watchdog.

Events may be lost (docs/design.md, section 8): they make archiving quick, the
scans make it complete.  What can be known of a loss is told by :meth:`Watcher.trouble`.
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
_DEEPEST_WALK = 5000
_WATCH_LINE = re.compile(r"^inotify wd:[0-9a-f]+ ino:([0-9a-f]+) ", re.MULTILINE)


# After an overflow watchdog warns of each watch that it finds again, in many kilobytes.
warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"watchdog\.")


class Watcher(FileSystemEventHandler):
    """Collects the paths that events name, relative to the watched folder."""

    def __init__(self, root: Path, probe: Path | None) -> None:
        """``probe`` is a folder of our own: events from it prove that events arrive.  None: there is none."""
        self._root = os.fsencode(root)
        self._lock = threading.Lock()
        self._hints: set[tuple[bytes, bool]] = set()
        self._wake = threading.Event()
        self._probe = probe
        self._probe_seen = threading.Event()
        self._warnings = _Warnings()
        self._observer = Observer()
        if probe is not None:
            self._observer.schedule(_ProbeHandler(self._probe_seen), os.fspath(probe), event_filter=_EVENTS)

    def start(self) -> None:
        """Begin; raises OSError where the kernel grants no watch."""
        logging.getLogger("watchdog").addHandler(self._warnings)
        # Before Python 3.12 its walk calls itself for each folder; the length of a path ends it at 2,048.
        sys.setrecursionlimit(max(sys.getrecursionlimit(), _DEEPEST_WALK))
        try:
            # The probe first: the folders below the root take every watch that there is.
            self._observer.start()
            self._observer.schedule(self, os.fsdecode(self._root), recursive=True, event_filter=_EVENTS)
        except OSError:
            self.stop()
            raise

    def stop(self) -> None:
        """End the watchdog threads."""
        logging.getLogger("watchdog").removeHandler(self._warnings)
        for emitter in self._observer.emitters:
            if emitter.is_alive():
                emitter.stop()
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join(timeout=5)

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Called on watchdog's thread: note the path, nothing else."""
        with self._lock:
            for name in (event.src_path, event.dest_path):
                path = os.fsencode(name)
                if path.startswith(self._root + b"/"):
                    self._hints.add((path[len(self._root) + 1 :], event.is_directory))
        self._wake.set()

    def wait(self, seconds: float) -> None:
        """Sleep until there is a hint, at most ``seconds``."""
        self._wake.wait(seconds)

    def wake(self) -> None:
        """End a :meth:`wait` at once."""
        self._wake.set()

    def take(self) -> set[tuple[bytes, bool]]:
        """The hints since the last call: path, and whether it is a folder."""
        with self._lock:
            hints, self._hints = self._hints, set()
            self._wake.clear()
        return hints

    def trouble(self) -> str:
        """Why events may have been lost since the last call; empty where nothing is known."""
        if warning := self._warnings.take():
            return warning
        # Deleting the watched folder, for one, ends its emitter without a word.
        return "" if all(emitter.is_alive() for emitter in self._observer.emitters) else "a watching thread ended"

    def beat(self) -> None:
        """Make an event in the probe folder; raises OSError."""
        self._probe_seen.clear()
        if self._probe is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        with open(self._probe / "beat", "wb") as stream:
            stream.write(b".")

    @property
    def is_heard(self) -> bool:
        """Whether the event of the last :meth:`beat` has arrived."""
        return self._probe_seen.is_set()

    @staticmethod
    def watched_inodes() -> set[int]:
        """The inodes of everything that this process watches, as the kernel tells it, proc_pid_fdinfo(5)."""
        inodes: set[int] = set()
        for name in os.listdir("/proc/self/fd"):
            try:
                if os.readlink(f"/proc/self/fd/{name}") == "anon_inode:inotify":
                    lines = Path(f"/proc/self/fdinfo/{name}").read_text("ascii")
                    inodes |= {int(number, 16) for number in _WATCH_LINE.findall(lines)}
            except OSError:
                continue
        return inodes


class _ProbeHandler(FileSystemEventHandler):
    def __init__(self, seen: threading.Event) -> None:
        self._seen = seen

    def on_any_event(self, event: FileSystemEvent) -> None:
        self._seen.set()


class _Warnings(logging.Handler):
    """What watchdog only logs: an overflow of the kernel's queue above all."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self._text = self._text or record.getMessage()

    def take(self) -> str:
        text, self._text = self._text, ""
        return text
