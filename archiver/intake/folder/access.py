"""Reading the watched folder: directly, or through a child process that may hang in our place.

On a network filesystem a ``stat`` can wait for ever, and nothing ends a process
that waits so.  There every access goes through a child: one that does not answer
is left behind, its filing counts as unreadable, and the others go on.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from archiver.intake.folder import mounts
from archiver.intake.folder.enclosure import check_separate
from archiver.store.content.own_files import OwnFile, OwnFiles
from archiver.store.content.root_folder import RootFolder
from archiver.store.content.source import FileSource, Source, StatData, Unstable
from archiver.workers import read_frame, write_frame

#: A child that is silent for longer has met a filesystem that hangs.
PATIENCE_SECONDS = 20.0
_FAREWELL_SECONDS = 0.5


class DirectoryEntry(NamedTuple):
    """One name in a folder: what it is (``st_mode``), its signature, and whether it belongs to the archive."""

    name: bytes
    mode: int
    signature: StatData
    is_own: bool = False


class FolderAccess(Protocol):
    """The watched folder; every path is relative to it, every method raises OSError.

    No link is followed but the watched folder itself.  What belongs to the archive is listed and never
    entered: OwnFile is raised instead.
    """

    def entries(self, path: bytes) -> Iterator[DirectoryEntry]:
        """What lies directly in a folder."""

    def entry(self, path: bytes) -> DirectoryEntry:
        """One path."""

    def open(self, path: bytes) -> Source:
        """A file, to be read; raises Unstable where it is no file any more."""

    def opened_in_turn(self) -> AbstractContextManager[Callable[[bytes], Source]]:
        """A function that opens as :meth:`open` does, for a short row of files, one open at a time."""

    def close(self) -> None:
        """Release what is held."""


class Direct:
    """Access by this process."""

    def __init__(self, root: Path | bytes, archive: Path | bytes | None = None) -> None:
        """``archive``: the folder whose files must not be archived."""
        self.root = os.fsencode(root)
        self._folder = RootFolder(self.root, OwnFiles(None if archive is None else os.fsencode(archive)))

    def entries(self, path: bytes) -> Iterator[DirectoryEntry]:
        """What lies directly in a folder."""
        made, of, stat_of, own = tuple.__new__, StatData.of, os.stat, self._folder.own
        with self._folder.folder(path) as folder, _listing(folder) as listing:
            for each in listing:
                name = each.name
                try:
                    status = stat_of(name, dir_fd=folder, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                is_own = (status.st_dev, status.st_ino) in own.known and own.holds(status)
                yield made(DirectoryEntry, (name, status.st_mode, of(status), is_own))

    def names(self, path: bytes) -> list[bytes]:
        """The names in a folder, without looking at what they are."""
        with self._folder.folder(path) as folder, _listing(folder) as listing:
            return [each.name for each in listing]

    def entry(self, path: bytes) -> DirectoryEntry:
        """One path; raises OwnFile for a file of the archive, too."""
        status = self._folder.status(path)
        self._folder.own.refuse(status, path)
        return DirectoryEntry(os.path.basename(path), status.st_mode, StatData.of(status))

    def open(self, path: bytes) -> Source:
        """A file, to be read."""
        return FileSource(self._folder, path)

    @contextmanager
    def opened_in_turn(self) -> Iterator[Callable[[bytes], Source]]:
        """A function that opens one file after the other, and enters each folder once."""
        with self._folder.parent_folders() as parent_folder:
            yield lambda path: FileSource(self._folder, path, parent_folder(path))

    def close(self) -> None:
        """Nothing is held."""


def _listing(folder: int) -> AbstractContextManager[Iterator[os.DirEntry[bytes]]]:
    # By its name in /proc: listed by number, names are decoded, and the encoding of some locales (Big5)
    # does not give their bytes back.
    try:
        return os.scandir(b"/proc/self/fd/%d" % folder)
    except FileNotFoundError:
        # Not "the folder is gone": its descriptor is open.
        raise OSError(errno.ENOSYS, "/proc is not mounted") from None


class ThroughChildren:
    """Access by child processes, with patience and no longer."""

    def __init__(self, root: Path | bytes, patience_seconds: float, archive: Path | bytes | None = None) -> None:
        """``archive``: the folder whose files must not be archived."""
        self._places = (os.fsencode(root), os.fsencode(archive or b""))
        self._patience = patience_seconds
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        #: Per filing (first level of a path; empty: the folder itself) the child that hangs there.
        self._hanging: dict[bytes, _Child] = {}

    def entries(self, path: bytes) -> Iterator[DirectoryEntry]:
        """What lies directly in a folder."""
        if not path:
            yield from self._filings()
            return
        for name, mode, is_own, *signature in self._ask("entries", path):
            yield DirectoryEntry(name, mode, StatData(*signature), is_own)

    def _filings(self) -> Iterator[DirectoryEntry]:
        # One by one: the mount point of a share that hangs must not hide the others.
        for name in self._ask("names", b""):
            try:
                yield self.entry(name)
            except FileNotFoundError:
                continue
            except OwnFile:
                yield DirectoryEntry(name, stat.S_IFDIR, StatData.unknown(), is_own=True)
            except TimeoutError:
                # Surely a folder; whoever looks into it learns that it hangs.
                yield DirectoryEntry(name, stat.S_IFDIR, StatData.unknown())

    def entry(self, path: bytes) -> DirectoryEntry:
        """One path, links not followed."""
        name, mode, *signature = self._ask("entry", path)
        return DirectoryEntry(name, mode, StatData(*signature))

    def open(self, path: bytes) -> Source:
        """A file, to be read; its child is its own until it is closed."""
        child = self._take(path)
        try:
            written, *signature = self.answer(child, path, ("open", path))
        except (OSError, Unstable):
            self.give_back(child)
            raise
        return _RemoteSource(self, child, path, StatData(*signature), written)

    def opened_in_turn(self) -> AbstractContextManager[Callable[[bytes], Source]]:
        """A function that opens one file after the other."""
        return nullcontext(self.open)

    def close(self) -> None:
        """End the children that listen; those that hang end when they can."""
        with self._lock:
            for child in (*self._idle, *self._hanging.values()):
                child.end()
            self._idle.clear()

    def _ask(self, *request: Any) -> Any:
        child = self._take(request[1])
        try:
            return self.answer(child, request[1], request)
        finally:
            self.give_back(child)

    def answer(self, child: _Child, path: bytes, request: tuple[Any, ...]) -> Any:
        """A child's answer to a request about ``path``; remembers where one hangs."""
        try:
            return child.ask(request, self._patience)
        except TimeoutError:
            with self._lock:
                self._hanging[path.partition(b"/")[0]] = child
            raise

    def _take(self, path: bytes) -> _Child:
        with self._lock:
            for place in {b"", path.partition(b"/")[0]}:
                if place in self._hanging and not self._hanging[place].is_gone:
                    raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
                self._hanging.pop(place, None)
            return self._idle.pop() if self._idle else _Child(self._places)

    def give_back(self, child: _Child) -> None:
        """The child can serve others, unless it has been ended."""
        with self._lock:
            if child.is_listening:
                self._idle.append(child)


def open_access(root: Path, archive: Path) -> FolderAccess:
    """The way that suits what is mounted at or below ``root``, past what belongs to ``archive``.

    Raises ConfigProblem where the two are one, or ``root`` lies in the archive.
    """
    check_separate(archive, root)
    mounted = mounts.untrusted_mount(os.path.realpath(os.fsencode(root)), mounts.read_mounts())
    return Direct(root, archive) if mounted is None else ThroughChildren(root, PATIENCE_SECONDS, archive)


class _Child:
    """One ``python -m archiver.intake.folder.access_worker``, asked one question at a time."""

    def __init__(self, places: tuple[bytes, bytes]) -> None:
        # -P: a file in the current folder must not pass for one of our modules.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "archiver.intake.folder.access_worker", *places],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.is_listening = True

    @property
    def is_gone(self) -> bool:
        return self._process.poll() is not None

    def ask(self, request: tuple[Any, ...], patience: float) -> Any:
        """The answer; raises OSError or Unstable as the child met them, TimeoutError if it hangs."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            write_frame(self._process.stdin.fileno(), request)
            if not select.select([self._process.stdout], [], [], patience)[0]:
                raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            kind, *answer = read_frame(self._process.stdout.fileno())
        except (OSError, EOFError):
            self.end()
            raise
        if kind == "error":
            raise OSError(*answer)
        if kind == "unstable":
            raise Unstable
        if kind == "own":
            raise OwnFile(*answer)
        return answer[0]

    def end(self) -> None:
        """Kill it, and wait for a moment only: a process that hangs in the kernel dies later."""
        self.is_listening = False
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_FAREWELL_SECONDS)


class _RemoteSource:
    """A file that a child holds open."""

    def __init__(
        self, access: ThroughChildren, child: _Child, path: bytes, signature: StatData, written: bool
    ) -> None:
        self._access = access
        self._child = child
        self._path = path
        self.signature = signature
        self.is_being_written = written

    def readinto(self, buffer: memoryview) -> int:
        """Read the next bytes; 0 at the end; raises OSError."""
        piece: bytes = self._access.answer(self._child, self._path, ("read", len(buffer)))
        buffer[: len(piece)] = piece
        return len(piece)

    def is_unchanged(self) -> bool:
        """Whether file and name still are what was opened; raises OSError."""
        return bool(self._access.answer(self._child, self._path, ("check",)))

    def close(self) -> None:
        """Let the child close it, and serve others."""
        if self._child.is_listening:
            with suppress(OSError):
                self._access.answer(self._child, self._path, ("close",))
        self._access.give_back(self._child)
