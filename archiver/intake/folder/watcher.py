"""Turn inotify events into hints, which are paths to look at; the only module that imports watchdog.

Events may be lost (docs/traps.md).  They make archiving quick, and the scans make it complete.
:meth:`Watcher.take_loss_reason` reports a loss that can be detected.
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
from watchdog.observers.api import BaseObserver, EventEmitter

_EVENT_TYPES: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]
#: Stack frames for os.walk, which before Python 3.12 calls itself for each level of folders. Lower, and a deep
#: tree cannot be watched. A path of at most 4,096 bytes has no more than 2,048 levels.
_RECURSION_LIMIT = 5000
#: How long :meth:`Watcher.stop` waits for watchdog's threads.
_STOP_SECONDS = 5.0
#: A line of proc_pid_fdinfo(5) about one watch, with the inode as a hexadecimal number.
_WATCH_LINE = re.compile(r"^inotify wd:[0-9a-f]+ ino:([0-9a-f]+) ", re.MULTILINE)

_WATCH_LIMIT_FILE = Path("/proc/sys/fs/inotify/max_user_watches")
#: The file in the probe folder that :meth:`Watcher.send_probe` overwrites.
_PROBE_FILE_NAME = "beat"

#: A hint: a path that an event named, relative to the watched folder, and True if the event was about a folder.
Hint = tuple[bytes, bool]

# After an overflow, watchdog warns about each watch that it finds again, in many kilobytes.
warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"watchdog\.")


class Watcher(FileSystemEventHandler):
    """Collect the paths that events name, relative to the watched folder.

    Owns watchdog's threads between :meth:`start` and :meth:`stop`.  They only add to the set of hints, under a
    lock, and set events.
    """

    def __init__(self, root: Path, probe_folder: Path | None) -> None:
        """Prepare to watch the folder ``root``, and everything below.

        ``probe_folder`` is an existing folder in which :meth:`send_probe` makes events; None if there is none.
        Its watch is requested first, because the folders below the root may use up all watches that the kernel
        grants.
        """
        self._root = os.fsencode(root)
        self._lock = threading.Lock()
        self._hints: set[Hint] = set()
        self._has_hints = threading.Event()
        self._probe_folder = probe_folder
        self._probe_arrived = threading.Event()
        self._warnings = _FirstWarning()
        #: None until :meth:`start`: watchdog asks the kernel for an instance of inotify when it makes one.
        self._observer: BaseObserver | None = None

    def start(self) -> None:
        """Start watching, and increase the recursion limit of this process if it is low.

        Raises OSError if the kernel does not grant the watches, or the system no thread (EAGAIN); then nothing is
        watched.
        """
        logging.getLogger("watchdog").addHandler(self._warnings)
        sys.setrecursionlimit(max(sys.getrecursionlimit(), _RECURSION_LIMIT))
        try:
            _start_and_end_thread()
            self._observer = Observer()
            if self._probe_folder is not None:
                # Before the start, so that it gets its watch first.
                probe_handler = _ProbeHandler(self._probe_arrived)
                self._observer.schedule(probe_handler, os.fspath(self._probe_folder), event_filter=_EVENT_TYPES)
            self._observer.start()
            self._observer.schedule(self, os.fsdecode(self._root), recursive=True, event_filter=_EVENT_TYPES)
        except OSError:
            self.stop()
            raise
        except RuntimeError as error:
            # watchdog could start no thread.
            self.stop()
            raise OSError(errno.EAGAIN, str(error)) from None

    def stop(self) -> None:
        """End watchdog's threads; events that have not arrived yet are lost.

        A thread that does not end within ``_STOP_SECONDS`` is left behind.
        """
        if self._observer is not None:
            for emitter in self._observer.emitters:
                if emitter.is_alive():
                    _stop_emitter(emitter)
            # Even before its own thread has begun, another one reads the kernel's events.
            self._observer.stop()
            if self._observer.is_alive():
                self._observer.join(timeout=_STOP_SECONDS)
        # Last, because the handler also keeps what watchdog says of its end out of the log.
        logging.getLogger("watchdog").removeHandler(self._warnings)

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Add the paths of an event to the hints; the event of a move has two paths.

        watchdog calls this on one of its threads, which must not wait: the kernel's queue would overflow.
        """
        with self._lock:
            for event_path in (event.src_path, event.dest_path):
                path = os.fsencode(event_path)
                if path.startswith(self._root + b"/"):
                    self._hints.add((path[len(self._root) + 1 :], event.is_directory))
        self._has_hints.set()

    def wait(self, seconds: float) -> None:
        """Sleep until there is a hint, or until :meth:`wake` is called, at most for ``seconds``."""
        self._has_hints.wait(seconds)

    def wake(self) -> None:
        """End a :meth:`wait` at once; safe on every thread."""
        self._has_hints.set()

    def take_hints(self) -> set[Hint]:
        """Return the paths that events named since the last call."""
        with self._lock:
            hints, self._hints = self._hints, set()
            self._has_hints.clear()
        return hints

    def take_loss_reason(self) -> str:
        """Return, in English, why events were lost since the last call; empty if no loss was detected."""
        if warning := self._warnings.take_message():
            return warning
        # Deleting the watched folder, for example, ends the thread that reads its events, and nothing is logged.
        # So does, for all emitters, an exchange of two folders (renameat2) and the deletion of one.
        threads: list[threading.Thread] = []
        if self._observer is not None:
            threads = [getattr(self._observer, "_inotify_fd"), *self._observer.emitters]  # noqa: B009
        return "" if all(thread.is_alive() for thread in threads) else "a watching thread ended"

    def send_probe(self) -> None:
        """Raise an event in the probe folder by writing a file.

        Raises FileNotFoundError if the folder is missing, and any other OSError if the file cannot be written.
        """
        self._probe_arrived.clear()
        if self._probe_folder is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        with open(self._probe_folder / _PROBE_FILE_NAME, "wb") as probe_file:
            probe_file.write(b".")

    @property
    def has_probe_arrived(self) -> bool:
        """Return True if the event of the last :meth:`send_probe` has arrived."""
        return self._probe_arrived.is_set()

    @staticmethod
    def watched_inodes() -> set[int]:
        """Return the inodes of all folders watched by this process, as shown by the kernel in /proc.

        Raises OSError if /proc is not mounted.
        """
        inodes: set[int] = set()
        for descriptor_name in os.listdir("/proc/self/fd"):
            try:
                if os.readlink(f"/proc/self/fd/{descriptor_name}") == "anon_inode:inotify":
                    fdinfo_text = Path(f"/proc/self/fdinfo/{descriptor_name}").read_text("ascii")
                    inodes |= {int(hex_inode, 16) for hex_inode in _WATCH_LINE.findall(fdinfo_text)}
            except OSError:
                # Another thread has closed the descriptor since the folder was listed.
                continue
        return inodes

    @classmethod
    def find_unwatched(cls, folders: dict[int, bytes]) -> dict[int, bytes]:
        """Return those of ``folders``, all folders of a scan (inode -> path), that this process does not watch.

        Returns an empty dict if the kernel shows other inode numbers for the watches, because it is then unknown
        which folders are watched.

        Raises OSError if /proc is not mounted.
        """
        watched_inodes = cls.watched_inodes()
        unwatched_folders = {inode: path for inode, path in folders.items() if inode not in watched_inodes}
        if len(unwatched_folders) == len(folders) and len(watched_inodes) >= len(folders):
            # On overlayfs the kernel shows other inode numbers for watches, so only the counts can be compared.
            return {}
        return unwatched_folders


class _ProbeHandler(FileSystemEventHandler):
    """Signal that an event of the probe folder has arrived."""

    def __init__(self, probe_arrived: threading.Event) -> None:
        """Set ``probe_arrived``, on a thread of watchdog, at each event."""
        self._probe_arrived = probe_arrived

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Signal the arrival; watchdog calls this on a thread started by watchdog."""
        self._probe_arrived.set()


class _FirstWarning(logging.Handler):
    """Keep the first warning of watchdog: an overflow of the kernel's queue is only logged, not raised."""

    def __init__(self) -> None:
        """Accept warnings and errors; none has arrived yet."""
        super().__init__(logging.WARNING)
        self._message = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message of ``record``, unless an earlier one has not been taken yet."""
        self._message = self._message or record.getMessage()

    def take_message(self) -> str:
        """Return the first warning since the last call; empty without one."""
        message, self._message = self._message, ""
        return message


def read_watch_limit() -> str:
    """Return the kernel's limit on watches per user, as decimal digits; empty if it cannot be read."""
    try:
        return _WATCH_LIMIT_FILE.read_text("ascii").strip()
    except OSError:
        # A kernel without inotify, or a container without /proc: there is no limit to compare.
        return ""


def _start_and_end_thread() -> None:
    """Raise RuntimeError if the system starts no thread.

    watchdog opens descriptors before it starts its own threads, and if that fails, nobody could close them.
    """
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()


def _stop_emitter(emitter: EventEmitter) -> None:
    """End the thread of a watch."""
    # emitter.stop() forgets this object, and without it nothing could wake the thread.
    watch_group = getattr(emitter, "_inotify", None)
    try:
        emitter.stop()
    except KeyError:
        # After exchanges of folders in one step, watchdog 7.1 may have two watches for one path in its table, and
        # its end fails half-way: the kernel's watches are gone, and the thread waits for ever.
        if watch_group is not None:
            watch_group._move_event_grouper.close()
