"""Read the watched folder: directly, or through a child process that may hang in place of this one.

On a network filesystem a ``stat`` can wait for ever, and nothing ends a process that waits in it.  So child
processes read such a folder.  If a child does not answer, it is left behind, and its filing counts as unreadable
until the child ends.  The other filings are still read.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from archiver.intake.folder import mounts
from archiver.intake.folder.enclosure import check_separate
from archiver.intake.folder.entries import (
    DirectoryEntry,
    OpenedFile,
    ReportedError,
    RootIdentity,
    decode_entries,
    decode_entry,
    decode_names,
    decode_opened,
    decode_outcome,
    decode_root,
)
from archiver.store.content.own_files import OwnFile, OwnFiles
from archiver.store.content.root_folder import RootFolder
from archiver.store.content.source import FileSource, Source, SourceChanged, StatData
from archiver.workers import Worker, WorkerHung, WorkerProgram, name_to_text

_Answer = TypeVar("_Answer")

#: If a child's whole answer takes longer, its filesystem counts as hanging. Lower, and a server whose disks have
#: to spin up counts as hanging too. Higher, and a share that hangs delays the scan of all others for longer.
PATIENCE_SECONDS = 20.0
#: Lower, and a folder with a million entries of some hundred bytes each cannot be listed. Higher, and a child that
#: misbehaves fills the memory of this process.
_LONGEST_LISTING_BYTES = 1 << 30


class FolderAccess(Protocol):
    """Read the watched folder.

    Paths are relative to the watched folder, which itself is the empty path.  No link is followed, except in the
    path of the watched folder itself.  Every method but :meth:`close` may raise OSError.

    Files and folders of the archive appear in a listing, but cannot be looked up or opened: OwnFile, which is an
    OSError, is raised instead.
    """

    def list_folder(self, path: bytes) -> Iterator[DirectoryEntry]:
        """Yield the entries of a folder, in any order, without those of the folders below."""

    def look_up(self, path: bytes) -> DirectoryEntry:
        """Return the entry of a single path, of a link itself; raises FileNotFoundError if there is none."""

    def open(self, path: bytes) -> Source:
        """Open a file, which the caller closes; raises SourceChanged if the path no longer leads to a file."""

    def opened_in_turn(self) -> AbstractContextManager[Callable[[bytes], Source]]:
        """Return a context of a function that opens files as :meth:`open` does.

        It is faster for successive files of the same folder.  Only one file may be open at a time, and the context
        should be short: meanwhile a folder of the last file may be open.
        """

    def close(self) -> None:
        """Release folders, and end children."""


class DirectAccess:
    """Read the watched folder in this process, for local filesystems; see :class:`FolderAccess`."""

    def __init__(self, root: Path | bytes, archive: Path | bytes | None = None) -> None:
        """Give access to the folder ``root``, which may be missing.

        ``archive`` is the folder of the archive, whose files must not be archived; None if there is none to avoid.
        """
        self.root = os.fsencode(root)
        self._root_folder = RootFolder(self.root, OwnFiles(None if archive is None else os.fsencode(archive)))

    def list_folder(self, path: bytes) -> Iterator[DirectoryEntry]:
        """Yield the entries of a folder, which is open until the iteration ends."""
        # Local names, and tuple.__new__ instead of the class, save time: a scan lists a million files.
        new_tuple, stat_data_of, stat_of, own_files = (
            tuple.__new__,
            StatData.from_stat_result,
            os.stat,
            self._root_folder.own_files,
        )
        with (
            self._root_folder.opened_folder(path) as folder_descriptor,
            _open_listing(folder_descriptor) as listing,
        ):
            for listed in listing:
                name = listed.name
                try:
                    status = stat_of(name, dir_fd=folder_descriptor, follow_symlinks=False)
                except FileNotFoundError:
                    # The file was deleted after the folder was listed.
                    continue
                is_own = (status.st_dev, status.st_ino) in own_files.identities and own_files.contains_file(status)
                yield new_tuple(DirectoryEntry, (name, status.st_mode, stat_data_of(status), is_own))

    def list_names(self, path: bytes) -> list[bytes]:
        """Return the names in a folder, without a ``stat`` of each, which may hang."""
        with (
            self._root_folder.opened_folder(path) as folder_descriptor,
            _open_listing(folder_descriptor) as listing,
        ):
            return [listed.name for listed in listing]

    def look_up(self, path: bytes) -> DirectoryEntry:
        """Return the entry of a single path, of a link itself."""
        status = self._root_folder.stat_path(path)
        self._root_folder.own_files.refuse_own_file(status, path)
        return DirectoryEntry(os.path.basename(path), status.st_mode, StatData.from_stat_result(status))

    def open(self, path: bytes) -> Source:
        """Open a file for reading; raises SourceChanged if the path no longer leads to a file."""
        return FileSource(self._root_folder, path)

    @contextmanager
    def opened_in_turn(self) -> Iterator[Callable[[bytes], Source]]:
        """Yield a function that opens files, and enters a folder once for successive files in it."""
        with self._root_folder.parent_folder_opener() as open_parent_folder:
            yield lambda path: FileSource(self._root_folder, path, open_parent_folder(path))

    def close(self) -> None:
        """Do nothing: no descriptor is open between two calls."""


def _open_listing(folder_descriptor: int) -> AbstractContextManager[Iterator[os.DirEntry[bytes]]]:
    """Open the listing of an open folder, with names as bytes; the caller closes it.  Raises OSError.

    The folder is listed by its descriptor's path in /proc: for a descriptor, os.scandir returns names as text, and
    the encoding of some locales (Big5) does not give the bytes of a name back.
    """
    try:
        return os.scandir(b"/proc/self/fd/%d" % folder_descriptor)
    except FileNotFoundError:
        # The folder itself cannot be missing: it is open.
        raise OSError(errno.ENOSYS, "/proc is not mounted") from None


class ChildAccess:
    """Read the watched folder by child processes, for filesystems that may hang; see :class:`FolderAccess`.

    A filesystem that hangs blocks a child, and this process only for ``patience_seconds``.  Such a child is left
    behind, and until the kernel lets it end, each request about its filing raises TimeoutError at once.

    Several threads may call; each call has a child of its own.  The owner ends all children with :meth:`close`.
    """

    def __init__(self, root: Path | bytes, patience_seconds: float, archive: Path | bytes | None = None) -> None:
        """Give access to the folder ``root``; children are started when they are needed.

        ``archive`` is the folder of the archive, whose files must not be archived; None if there is none to avoid.
        """
        self._program = WorkerProgram(
            "archiver.intake.folder.access_worker",
            (os.fsencode(root), os.fsencode(archive or b"")),
            longest_answer_bytes=_LONGEST_LISTING_BYTES,
        )
        self._patience_seconds = patience_seconds
        self._lock = threading.Lock()
        self._idle_workers: list[Worker] = []
        #: First folder of a path (empty for the watched folder itself) -> the child that hangs in it.
        self._hanging_workers: dict[bytes, Worker] = {}

    def list_folder(self, path: bytes) -> Iterator[DirectoryEntry]:
        """Yield the entries of a folder; those of the watched folder itself are looked up one by one."""
        if path:
            yield from self._call_free_worker(decode_entries, "entries", path)
        else:
            yield from self._list_filings()

    def _list_filings(self) -> Iterator[DirectoryEntry]:
        """Yield the entries of the watched folder, with a call for each name.

        If one call returned all entries, the mount point of a single share that hangs would make it fail.
        """
        for name in self._call_free_worker(decode_names, "names", b""):
            try:
                yield self.look_up(name)
            except FileNotFoundError:
                # The file was deleted after the names were listed.
                continue
            except OwnFile:
                yield DirectoryEntry(name, stat.S_IFDIR, StatData.unknown(), is_own=True)
            except TimeoutError:
                # The mount point of a share that hangs is a folder.  Listing it raises TimeoutError again.
                yield DirectoryEntry(name, stat.S_IFDIR, StatData.unknown())

    def look_up(self, path: bytes) -> DirectoryEntry:
        """Return the entry of a single path, of a link itself."""
        return self._call_free_worker(decode_entry, "entry", path)

    def root_identity(self) -> RootIdentity:
        """Return the identity of the watched folder itself, even if its path leads to a file; raises OSError."""
        return self._call_free_worker(decode_root, "root", b"")

    def open(self, path: bytes) -> Source:
        """Open a file for reading, with a child that serves no other call until the file is closed."""
        worker = self._take_worker(path)
        try:
            opened_file = self.call_worker(worker, path, decode_opened, "open", name_to_text(path))
        except (OSError, SourceChanged):
            self.return_worker(worker)
            raise
        return _RemoteSource(self, worker, path, opened_file)

    def opened_in_turn(self) -> AbstractContextManager[Callable[[bytes], Source]]:
        """Return a context of :meth:`open`: each file has a child, so an open folder would save nothing."""
        return nullcontext(self.open)

    def close(self) -> None:
        """End the children; a child that hangs in the kernel ends as soon as the kernel lets it."""
        with self._lock:
            for worker in (*self._idle_workers, *self._hanging_workers.values()):
                worker.kill()
            self._idle_workers.clear()

    def _call_free_worker(self, decode: Callable[[Any], _Answer], kind: str, path: bytes) -> _Answer:
        """Send a request about ``path`` to a free child, and return the decoded answer.

        ``kind`` is a request of :class:`archiver.intake.folder.access_worker.FolderReader`.

        Raises the OSError or SourceChanged that the child met, and TimeoutError if its filesystem hangs.
        """
        worker = self._take_worker(path)
        try:
            return self.call_worker(worker, path, decode, kind, name_to_text(path))
        finally:
            self.return_worker(worker)

    def call_worker(
        self, worker: Worker, path: bytes, decode: Callable[[Any], _Answer], kind: str, *values: object
    ) -> _Answer:
        """Send a request about ``path`` to this child, and return the decoded answer.

        Raises as :meth:`call_for_content` does.
        """
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
        """Send a request about ``path`` to this child, and receive content into ``buffer``.

        Returns the decoded answer, and the length of the content in bytes.

        Raises the OSError or SourceChanged that the child met, WorkerHung, which is a TimeoutError, if it does not
        answer, and another WorkerProblem if it gives no usable answer.
        """
        try:
            outcome, content_length = worker.call_for_content(
                [kind, *values], partial(decode_outcome, decode), buffer, self._patience_seconds
            )
        except WorkerHung:
            # The next request about the same filing fails at once.
            with self._lock:
                self._hanging_workers[path.partition(b"/")[0]] = worker
            raise
        if isinstance(outcome, ReportedError):
            raise outcome.error
        return outcome, content_length

    def _take_worker(self, path: bytes) -> Worker:
        """Return a free child for a request about ``path``; the caller gives it back with :meth:`return_worker`.

        Raises TimeoutError if another child still hangs in the same filing, or in the watched folder itself.
        """
        with self._lock:
            for filing in {b"", path.partition(b"/")[0]}:
                if filing in self._hanging_workers and not self._hanging_workers[filing].is_gone:
                    raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
                self._hanging_workers.pop(filing, None)
            return self._idle_workers.pop() if self._idle_workers else Worker(self._program)

    def return_worker(self, worker: Worker) -> None:
        """Let a child serve other requests, unless it was ended because it hung or misbehaved."""
        with self._lock:
            if worker.is_ready:
                self._idle_workers.append(worker)


def open_access(root: Path, archive: Path) -> FolderAccess:
    """Return access to the folder ``root``, through children if a mount at or below it may hang.

    The files of ``archive`` are left out.  The caller closes the access.

    Raises ConfigError if the two folders are the same, or one lies inside the other and is not passed over.
    """
    check_separate(archive, root)
    untrusted_mount = mounts.untrusted_mount(os.path.realpath(os.fsencode(root)), mounts.read_mounts())
    if untrusted_mount is None:
        return DirectAccess(root, archive)
    return ChildAccess(root, PATIENCE_SECONDS, archive)


class _RemoteSource:
    """A file that a child holds open; the child serves nobody else until :meth:`close`."""

    def __init__(self, access: ChildAccess, worker: Worker, path: bytes, opened_file: OpenedFile) -> None:
        """Take over ``worker``, which has opened the file at ``path``."""
        self._access = access
        self._worker = worker
        self._path = path
        self.stat_data = opened_file.stat_data
        self.is_being_written = opened_file.is_being_written

    def readinto(self, buffer: memoryview) -> int:
        """Read the next bytes into ``buffer``; return their number, which is 0 at the end.  Raises OSError."""
        return self._access.call_for_content(self._worker, self._path, buffer, bool, "read", len(buffer))[1]

    def is_unchanged(self) -> bool:
        """Return True if the file is as at opening, and the path still leads to it; raises OSError."""
        return self._access.call_worker(self._worker, self._path, bool, "check")

    def close(self) -> None:
        """Let the child close the file, and serve other requests; never raises OSError."""
        if self._worker.is_ready:
            # A child that does not answer is ended, and that closes the file too.
            with suppress(OSError):
                self._access.call_worker(self._worker, self._path, bool, "close")
        self._access.return_worker(self._worker)
