"""Read the watched folder: directly, or through a child process that may hang in place of this one.

On a network filesystem a ``stat`` can wait for ever, and nothing ends a process that waits so.  There every access
goes through a child.  A child that does not answer is left behind, its filing counts as unreadable, and the others
go on.
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

#: A child whose whole answer takes longer has met a filesystem that hangs.  Lower, and a server that wakes its
#: disks would pass for one; higher, and a share that hangs holds up the scan of all others for longer.
PATIENCE_SECONDS = 20.0
#: A folder may hold a million entries of some hundred bytes each; no child may fill this process's memory.
_LONGEST_LISTING_BYTES = 1 << 30


class DirectoryEntry(NamedTuple):
    """A name in a folder, with the file's type and state."""

    name: bytes
    mode: int  # ``st_mode``
    signature: StatData  # tells a changed file from an unchanged one
    is_own: bool = False  # whether it belongs to the archive


class FolderAccess(Protocol):
    """Read the watched folder; paths are relative to the root, and every method raises OSError.

    No link is followed but the watched folder itself.  Files and folders of the archive are listed and never
    entered: OwnFile, which is an OSError, is raised instead.
    """

    def list_folder(self, path: bytes) -> Iterator[DirectoryEntry]:
        """List a folder, without the folders below."""

    def look_up(self, path: bytes) -> DirectoryEntry:
        """Look at a single path, without following a link."""

    def open(self, path: bytes) -> Source:
        """Open a file, which the caller closes; raises SourceChanged if the path is no file any more."""

    def opened_in_turn(self) -> AbstractContextManager[Callable[[bytes], Source]]:
        """Return a function that opens as :meth:`open` does, for a short row of files, one open at a time."""

    def close(self) -> None:
        """Release folders, and end children."""


class DirectAccess:
    """Read by this process, for local filesystems."""

    def __init__(self, root: Path | bytes, archive: Path | bytes | None = None) -> None:
        """``archive``: the folder whose files must not be archived."""
        self.root = os.fsencode(root)
        self._folder = RootFolder(self.root, OwnFiles(None if archive is None else os.fsencode(archive)))

    def list_folder(self, path: bytes) -> Iterator[DirectoryEntry]:
        """List a folder, without the folders below."""
        # Local names: a scan comes here once for each of a million files.
        new_tuple, stat_data_of, stat_of, own = tuple.__new__, StatData.of, os.stat, self._folder.own_files
        with self._folder.opened_folder(path) as folder, _open_listing(folder) as listing:
            for listed in listing:
                name = listed.name
                try:
                    status = stat_of(name, dir_fd=folder, follow_symlinks=False)
                except FileNotFoundError:
                    # Deleted since the folder was listed.
                    continue
                is_own = (status.st_dev, status.st_ino) in own.identities and own.holds(status)
                yield new_tuple(DirectoryEntry, (name, status.st_mode, stat_data_of(status), is_own))

    def list_names(self, path: bytes) -> list[bytes]:
        """List the names in a folder, without a ``stat`` of each."""
        with self._folder.opened_folder(path) as folder, _open_listing(folder) as listing:
            return [listed.name for listed in listing]

    def look_up(self, path: bytes) -> DirectoryEntry:
        """Look at a single path; raises OwnFile for a file of the archive, too."""
        status = self._folder.stat_path(path)
        self._folder.own_files.refuse(status, path)
        return DirectoryEntry(os.path.basename(path), status.st_mode, StatData.of(status))

    def open(self, path: bytes) -> Source:
        """Open a file for reading; raises SourceChanged if the path is no file any more."""
        return FileSource(self._folder, path)

    @contextmanager
    def opened_in_turn(self) -> Iterator[Callable[[bytes], Source]]:
        """Yield a function that opens files in turn, and enters each folder once."""
        with self._folder.parent_folders() as parent_folder:
            yield lambda path: FileSource(self._folder, path, parent_folder(path))

    def close(self) -> None:
        """Do nothing: no descriptor is open between two calls."""


def _open_listing(folder: int) -> AbstractContextManager[Iterator[os.DirEntry[bytes]]]:
    """List an open folder by the descriptor's name in /proc; raises OSError.

    Listed by number, names are decoded, and the encoding of some locales (Big5) does not give the bytes back.
    """
    try:
        return os.scandir(b"/proc/self/fd/%d" % folder)
    except FileNotFoundError:
        # Not "the folder is gone": its descriptor is open.
        raise OSError(errno.ENOSYS, "/proc is not mounted") from None


class ChildAccess:
    """Read by child processes: a filesystem that hangs holds up the child, and this process for a while only.

    A child that hangs is left behind; until the kernel lets go of it, its filing is refused with TimeoutError.
    Several threads may call; each call has a child of its own.  The owner ends all children with :meth:`close`.
    """

    def __init__(self, root: Path | bytes, patience_seconds: float, archive: Path | bytes | None = None) -> None:
        """``archive``: the folder whose files must not be archived."""
        self._program = WorkerProgram(
            "archiver.intake.folder.access_worker",
            (os.fsencode(root), os.fsencode(archive or b"")),
            longest_answer_bytes=_LONGEST_LISTING_BYTES,
        )
        self._patience_seconds = patience_seconds
        self._lock = threading.Lock()
        self._idle_workers: list[Worker] = []
        #: Filing (first level of a path; empty: the folder itself) -> the child that hangs in a folder of it.
        self._hanging_workers: dict[bytes, Worker] = {}

    def list_folder(self, path: bytes) -> Iterator[DirectoryEntry]:
        """List a folder, without the folders below."""
        yield from self._list_filings() if not path else self._call_free_worker(_decode_entries, "entries", path)

    def _list_filings(self) -> Iterator[DirectoryEntry]:
        """List the watched folder with a call for each name.

        In a single call, the mount point of a share that hangs would hide all others.
        """
        for name in self._call_free_worker(_decode_names, "names", b""):
            try:
                yield self.look_up(name)
            except FileNotFoundError:
                # Deleted since the names were listed.
                continue
            except OwnFile:
                yield DirectoryEntry(name, stat.S_IFDIR, StatData.unknown(), is_own=True)
            except TimeoutError:
                # Surely a folder; whoever looks into it learns that it hangs.
                yield DirectoryEntry(name, stat.S_IFDIR, StatData.unknown())

    def look_up(self, path: bytes) -> DirectoryEntry:
        """Look at a single path, without following a link."""
        return self._call_free_worker(_decode_entry, "entry", path)

    def root_identity(self) -> tuple[int, int, int]:
        """Return the root's device, inode and ``st_mode``, even if the root is a file; raises OSError."""
        return self._call_free_worker(_decode_root, "root", b"")

    def open(self, path: bytes) -> Source:
        """Open a file for reading; the child serves no other call until the file is closed."""
        worker = self._take_worker(path)
        try:
            is_being_written, signature = self.call_worker(
                worker, path, _decode_opened, "open", name_to_text(path)
            )
        except (OSError, SourceChanged):
            self.return_worker(worker)
            raise
        return _RemoteSource(self, worker, path, signature, is_being_written)

    def opened_in_turn(self) -> AbstractContextManager[Callable[[bytes], Source]]:
        """Return :meth:`open`: each file has a child, and a folder entered once would save nothing."""
        return nullcontext(self.open)

    def close(self) -> None:
        """End the children; a child that hangs in the kernel ends as soon as the kernel lets go."""
        with self._lock:
            for worker in (*self._idle_workers, *self._hanging_workers.values()):
                worker.kill()
            self._idle_workers.clear()

    def _call_free_worker(self, decode: Callable[[Any], _Answer], kind: str, path: bytes) -> _Answer:
        """Return the answer of any free child; raises OSError or SourceChanged as the child met it."""
        worker = self._take_worker(path)
        try:
            return self.call_worker(worker, path, decode, kind, name_to_text(path))
        finally:
            self.return_worker(worker)

    def call_worker(
        self, worker: Worker, path: bytes, decode: Callable[[Any], _Answer], kind: str, *values: object
    ) -> _Answer:
        """Return a child's answer about ``path``; raises OSError or SourceChanged as the child met it."""
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
        """Do as :meth:`call_worker` does, and receive content into ``buffer``; return answer and content length.

        Remembers the filing in which a child hangs, so that the next request about it is refused at once.
        """
        decode_outcome = partial(_decode_outcome, decode)
        try:
            outcome, length = worker.call_for_content(
                [kind, *values], decode_outcome, buffer, self._patience_seconds
            )
        except WorkerHung:
            with self._lock:
                self._hanging_workers[path.partition(b"/")[0]] = worker
            raise
        if isinstance(outcome, _ReportedError):
            raise outcome.error
        return outcome, length

    def _take_worker(self, path: bytes) -> Worker:
        """Return a free child for a request about ``path``; raises TimeoutError if another still hangs there."""
        with self._lock:
            for filing in {b"", path.partition(b"/")[0]}:
                if filing in self._hanging_workers and not self._hanging_workers[filing].is_gone:
                    raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
                self._hanging_workers.pop(filing, None)
            return self._idle_workers.pop() if self._idle_workers else Worker(self._program)

    def return_worker(self, worker: Worker) -> None:
        """Let a child serve others, unless the child has ended."""
        with self._lock:
            if worker.is_ready:
                self._idle_workers.append(worker)


def open_access(root: Path, archive: Path) -> FolderAccess:
    """Open the access that suits the mounts at or below ``root``, past the files of ``archive``.

    The caller closes the access.  Raises ConfigError if the two folders are one, or ``root`` lies in the archive.
    """
    check_separate(archive, root)
    untrusted_mount = mounts.untrusted_mount(os.path.realpath(os.fsencode(root)), mounts.read_mounts())
    if untrusted_mount is None:
        return DirectAccess(root, archive)
    return ChildAccess(root, PATIENCE_SECONDS, archive)


class _ReportedError(NamedTuple):
    """An error that a child met instead of an answer, to be raised here."""

    error: OSError | SourceChanged


def _decode_outcome(decode: Callable[[Any], _Answer], reply: Any) -> _Answer | _ReportedError:
    """Decode an answer of :mod:`archiver.intake.folder.access_worker`; raises TypeError or ValueError."""
    match reply:
        case ["ok", value]:
            return decode(value)
        case ["error", int(number), str(reason)]:
            return _ReportedError(OSError(number, reason))
        case ["own", str(path)]:
            return _ReportedError(OwnFile(text_to_name(path)))
        case ["unstable"]:
            return _ReportedError(SourceChanged())
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
    """A file held open by a child, which serves nobody else until :meth:`close`."""

    def __init__(
        self, access: ChildAccess, worker: Worker, path: bytes, stat_data: StatData, is_being_written: bool
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
        """Return True if file and name still are as they were opened; raises OSError."""
        return self._access.call_worker(self._worker, self._path, bool, "check")

    def close(self) -> None:
        """Let the child close the file, and serve others."""
        if self._worker.is_ready:
            # A child that cannot even close is ended by that, and with it the file is closed.
            with suppress(OSError):
                self._access.call_worker(self._worker, self._path, bool, "close")
        self._access.return_worker(self._worker)
