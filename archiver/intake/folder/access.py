"""Reading the watched folder: directly, or through a child process that may hang in our place.

On a network filesystem a ``stat`` can wait for ever, and nothing ends a process
that waits so.  There every access goes through a child: one that does not answer
is left behind, its filing counts as unreadable, and the others go on.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from operator import index
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from archiver.intake.folder import mounts
from archiver.intake.folder.enclosure import check_separate
from archiver.store.content.own_files import OwnFile, OwnFiles
from archiver.store.content.root_folder import RootFolder
from archiver.store.content.source import FileSource, Source, SourceChanged, StatData
from archiver.workers import Worker, WorkerHung, WorkerProgram, name_to_text, text_to_name

_Answer = TypeVar("_Answer")

#: A child whose whole answer takes longer has met a filesystem that hangs.
PATIENCE_SECONDS = 20.0
#: A folder may hold a million entries of some hundred bytes each.
_LONGEST_LISTING_BYTES = 1 << 30


class DirectoryEntry(NamedTuple):
    """One name in a folder: what it is (``st_mode``), its signature, and whether it belongs to the archive."""

    name: bytes
    mode: int
    signature: StatData
    is_own: bool = False


class FolderAccess(Protocol):
    """The watched folder; every path is relative to it, every method raises OSError.

    No link is followed but the watched folder itself.  What belongs to the archive is listed and never
    entered: OwnFile, which is an OSError, is raised instead.
    """

    def entries(self, path: bytes) -> Iterator[DirectoryEntry]:
        """List a folder, without what lies deeper."""

    def entry(self, path: bytes) -> DirectoryEntry:
        """Look at one path, without following a link."""

    def open(self, path: bytes) -> Source:
        """Open a file for reading; raises SourceChanged if the path is no file any more.  The caller closes it."""

    def opened_in_turn(self) -> AbstractContextManager[Callable[[bytes], Source]]:
        """Return a function that opens as :meth:`open` does, for a short row of files, one open at a time."""

    def close(self) -> None:
        """Release folders, and end children."""


class Direct:
    """Access by this process, for local filesystems."""

    def __init__(self, root: Path | bytes, archive: Path | bytes | None = None) -> None:
        """``archive``: the folder whose files must not be archived."""
        self.root = os.fsencode(root)
        self._folder = RootFolder(self.root, OwnFiles(None if archive is None else os.fsencode(archive)))

    def entries(self, path: bytes) -> Iterator[DirectoryEntry]:
        """List a folder, without what lies deeper."""
        # Local names: a scan comes here once for each of a million files.
        new_tuple, stat_data_of, stat_of, own = tuple.__new__, StatData.of, os.stat, self._folder.own
        with self._folder.folder(path) as folder, _open_listing(folder) as listing:
            for listed in listing:
                name = listed.name
                try:
                    status = stat_of(name, dir_fd=folder, follow_symlinks=False)
                except FileNotFoundError:
                    # Deleted since the folder was listed.
                    continue
                is_own = (status.st_dev, status.st_ino) in own.identities and own.holds(status)
                yield new_tuple(DirectoryEntry, (name, status.st_mode, stat_data_of(status), is_own))

    def names(self, path: bytes) -> list[bytes]:
        """List the names in a folder, without looking at what they are."""
        with self._folder.folder(path) as folder, _open_listing(folder) as listing:
            return [listed.name for listed in listing]

    def entry(self, path: bytes) -> DirectoryEntry:
        """Look at one path; raises OwnFile for a file of the archive, too."""
        status = self._folder.status(path)
        self._folder.own.refuse(status, path)
        return DirectoryEntry(os.path.basename(path), status.st_mode, StatData.of(status))

    def open(self, path: bytes) -> Source:
        """Open a file for reading; raises SourceChanged if the path is no file any more."""
        return FileSource(self._folder, path)

    @contextmanager
    def opened_in_turn(self) -> Iterator[Callable[[bytes], Source]]:
        """Return a function that opens one file after the other, and enters each folder once."""
        with self._folder.parent_folders() as parent_folder:
            yield lambda path: FileSource(self._folder, path, parent_folder(path))

    def close(self) -> None:
        """Do nothing: between two calls no descriptor is open."""


def _open_listing(folder: int) -> AbstractContextManager[Iterator[os.DirEntry[bytes]]]:
    """List an open folder by its name in /proc; raises OSError.

    Listed by number, names are decoded, and the encoding of some locales (Big5) does not give their bytes back.
    """
    try:
        return os.scandir(b"/proc/self/fd/%d" % folder)
    except FileNotFoundError:
        # Not "the folder is gone": its descriptor is open.
        raise OSError(errno.ENOSYS, "/proc is not mounted") from None


class ThroughChildren:
    """Access by child processes: a filesystem that hangs holds up the child, and this process for a while only.

    A child that hangs is left behind; until the kernel lets go of it, its filing is refused with TimeoutError.
    """

    def __init__(self, root: Path | bytes, patience_seconds: float, archive: Path | bytes | None = None) -> None:
        """``archive``: the folder whose files must not be archived."""
        self._program = WorkerProgram(
            "archiver.intake.folder.access_worker",
            (os.fsencode(root), os.fsencode(archive or b"")),
            longest_answer_bytes=_LONGEST_LISTING_BYTES,
        )
        self._patience = patience_seconds
        self._lock = threading.Lock()
        self._idle: list[Worker] = []
        #: Per filing (first level of a path; empty: the folder itself) the child that hangs there.
        self._hanging: dict[bytes, Worker] = {}

    def entries(self, path: bytes) -> Iterator[DirectoryEntry]:
        """List a folder, without what lies deeper."""
        yield from self._filings() if not path else self._ask(_decode_entries, "entries", path)

    def _filings(self) -> Iterator[DirectoryEntry]:
        # One by one: the mount point of a share that hangs must not hide the others.
        for name in self._ask(_decode_names, "names", b""):
            try:
                yield self.entry(name)
            except FileNotFoundError:
                # It has gone since the names were listed.
                continue
            except OwnFile:
                yield DirectoryEntry(name, stat.S_IFDIR, StatData.unknown(), is_own=True)
            except TimeoutError:
                # Surely a folder; whoever looks into it learns that it hangs.
                yield DirectoryEntry(name, stat.S_IFDIR, StatData.unknown())

    def entry(self, path: bytes) -> DirectoryEntry:
        """Look at one path, without following a link."""
        return self._ask(_decode_entry, "entry", path)

    def root_identity(self) -> tuple[int, int, int]:
        """Return the root's device, inode and ``st_mode``, which may be those of a file; raises OSError."""
        return self._ask(_decode_root, "root", b"")

    def open(self, path: bytes) -> Source:
        """Open a file for reading; its child serves nobody else until it is closed."""
        worker = self._take(path)
        try:
            is_being_written, signature = self.call(worker, path, _decode_opened, "open", name_to_text(path))
        except (OSError, SourceChanged):
            self.give_back(worker)
            raise
        return _RemoteSource(self, worker, path, signature, is_being_written)

    def opened_in_turn(self) -> AbstractContextManager[Callable[[bytes], Source]]:
        """Return a function that opens one file after the other."""
        return nullcontext(self.open)

    def close(self) -> None:
        """End the children; those that hang in the kernel end when they can."""
        with self._lock:
            for worker in (*self._idle, *self._hanging.values()):
                worker.kill()
            self._idle.clear()

    def _ask(self, decode: Callable[[Any], _Answer], kind: str, path: bytes) -> _Answer:
        worker = self._take(path)
        try:
            return self.call(worker, path, decode, kind, name_to_text(path))
        finally:
            self.give_back(worker)

    def call(
        self, worker: Worker, path: bytes, decode: Callable[[Any], _Answer], kind: str, *values: object
    ) -> _Answer:
        """Return a child's answer about ``path``; raises OSError or SourceChanged if the child met them."""
        return self.call_for_content(worker, path, memoryview(b""), decode, kind, *values)[0]

    def call_for_content(
        self,
        worker: Worker,
        path: bytes,
        buffer: memoryview,
        decode: Callable[[Any], _Answer],
        kind: str,
        *values: object,
    ) -> tuple[_Answer, int]:
        """Do as :meth:`call` does, and receive content into ``buffer``; return the answer and the length of that.

        Remembers where a child hangs, so that the next question about this filing is refused at once.
        """
        decode_outcome = partial(_decode_outcome, decode)
        try:
            outcome, length = worker.call_for_content([kind, *values], decode_outcome, buffer, self._patience)
        except WorkerHung:
            with self._lock:
                self._hanging[path.partition(b"/")[0]] = worker
            raise
        if isinstance(outcome, _Refusal):
            raise outcome.error
        return outcome, length

    def _take(self, path: bytes) -> Worker:
        """Return a child for a question about ``path``; raises TimeoutError where one still hangs."""
        with self._lock:
            for place in {b"", path.partition(b"/")[0]}:
                if place in self._hanging and not self._hanging[place].is_gone:
                    raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
                self._hanging.pop(place, None)
            return self._idle.pop() if self._idle else Worker(self._program)

    def give_back(self, worker: Worker) -> None:
        """Let the child serve others, unless it has been ended."""
        with self._lock:
            if worker.is_ready:
                self._idle.append(worker)


def open_access(root: Path, archive: Path) -> FolderAccess:
    """Choose the access that suits what is mounted at or below ``root``, past what belongs to ``archive``.

    Raises ConfigError if the two are one, or ``root`` lies in the archive.
    """
    check_separate(archive, root)
    mounted = mounts.untrusted_mount(os.path.realpath(os.fsencode(root)), mounts.read_mounts())
    return Direct(root, archive) if mounted is None else ThroughChildren(root, PATIENCE_SECONDS, archive)


class _Refusal(NamedTuple):
    """What a child met instead of an answer: to be raised here."""

    error: OSError | SourceChanged


def _decode_outcome(decode: Callable[[Any], _Answer], reply: Any) -> _Answer | _Refusal:
    """Read what :mod:`archiver.intake.folder.access_worker` answers; raises TypeError or ValueError."""
    match reply:
        case ["ok", value]:
            return decode(value)
        case ["error", int(number), str(reason)]:
            return _Refusal(OSError(number, reason))
        case ["own", str(path)]:
            return _Refusal(OwnFile(text_to_name(path)))
        case ["unstable"]:
            return _Refusal(SourceChanged())
    raise ValueError("no answer about a folder")


def _decode_names(value: Any) -> list[bytes]:
    return [text_to_name(name) for name in value]


def _decode_entry(value: Any) -> DirectoryEntry:
    name, mode, is_own, *signature = value
    return DirectoryEntry(text_to_name(name), index(mode), _decode_signature(signature), bool(is_own))


def _decode_entries(value: Any) -> list[DirectoryEntry]:
    return [_decode_entry(entry) for entry in value]


def _decode_opened(value: Any) -> tuple[bool, StatData]:
    is_being_written, *signature = value
    return bool(is_being_written), _decode_signature(signature)


def _decode_signature(value: list[Any]) -> StatData:
    return StatData(*map(index, value))


def _decode_root(value: Any) -> tuple[int, int, int]:
    device, inode, mode = map(index, value)
    return device, inode, mode


class _RemoteSource:
    """A file that a child holds open."""

    def __init__(
        self, access: ThroughChildren, worker: Worker, path: bytes, stat_data: StatData, is_being_written: bool
    ) -> None:
        self._access = access
        self._worker = worker
        self._path = path
        self.stat_data = stat_data
        self.is_being_written = is_being_written

    def readinto(self, buffer: memoryview) -> int:
        """Read the next bytes into ``buffer``, and return how many; 0 at the end.  Raises OSError."""
        return self._access.call_for_content(self._worker, self._path, buffer, bool, "read", len(buffer))[1]

    def is_unchanged(self) -> bool:
        """Return True if file and name still are those that were opened; raises OSError."""
        return self._access.call(self._worker, self._path, bool, "check")

    def close(self) -> None:
        """Let the child close it, and serve others."""
        if self._worker.is_ready:
            # A child that cannot even close is ended by that, and with it the file is closed.
            with suppress(OSError):
                self._access.call(self._worker, self._path, bool, "close")
        self._access.give_back(self._worker)
