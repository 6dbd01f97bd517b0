"""File system events as hints; the only module that imports watchdog.

Events may be lost (docs/design.md, section 8): they make archiving quick, the
scans make it complete.
"""

from __future__ import annotations

import os
import threading
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


class Watcher(FileSystemEventHandler):
    """Collects the paths that events name, relative to the watched folder."""

    def __init__(self, root: Path) -> None:
        self._root = os.fsencode(root)
        self._lock = threading.Lock()
        self._hints: set[tuple[bytes, bool]] = set()
        self._wake = threading.Event()
        self._observer = Observer()
        self._observer.schedule(self, os.fspath(root), recursive=True, event_filter=_EVENTS)

    def start(self) -> None:
        """Begin; raises OSError where the kernel grants no watch."""
        self._observer.start()

    def stop(self) -> None:
        """End the watchdog threads."""
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
