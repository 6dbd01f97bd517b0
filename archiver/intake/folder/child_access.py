"""Read the watched folder by child processes, each of which may hang instead of this process.

On a network filesystem a ``stat`` can wait for ever, and nothing can end a process that waits for it.  A child
that does not answer is abandoned, and the top-level folder that it reads counts as unreadable until it ends.  The
other top-level folders are still read.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

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
from archiver.intake.folder.mounts_below import check_mounted
from archiver.store.content.own_files import OwnFile
from archiver.store.content.source import Source, SourceChanged, StatData
from archiver.workers import Worker, WorkerHung, WorkerProgram, name_to_text, text_to_name

_Answer = TypeVar("_Answer")

#: If a child's whole answer takes longer, its filesystem counts as hanging. Lower, and a server whose disks have
#: to spin up counts as hanging too. Higher, and a share that hangs delays the scan of all others for longer.
PATIENCE_SECONDS = 20.0
#: Lower, and a folder with a million entries of some hundred bytes each cannot be listed. Higher, and a child that
#: misbehaves fills the memory of this process.
_LONGEST_LISTING_BYTES = 1 << 30


class ChildAccess:
    """An access to the watched folder by child processes; see :class:`archiver.intake.folder.access.FolderAccess`.

    A filesystem that hangs blocks a child process, and this process only for ``patience_seconds``.  Such a child
    is abandoned, and until the kernel lets it end, each request about the same top-level folder raises
    TimeoutError at once.  A :class:`~archiver.workers.Worker` is a child process as this process sees it.

    Several threads may call; each call has a separate worker.  The owner ends all of them with :meth:`close`.
    """

    def __init__(self, root: Path | bytes, patience_seconds: float, archive: Path | bytes | None = None) -> None:
        """Give access to the folder ``root``; workers are started when needed.

        ``archive`` is the folder of the archive, whose files must not be archived; None if there is none to avoid.
        """
        self._program = WorkerProgram(
            "archiver.intake.folder.access_worker",
            (os.fsencode(root), os.fsencode(archive or b"")),
            longest_answer_bytes=_LONGEST_LISTING_BYTES,
        )
        self.vanished_mounts: frozenset[bytes] = frozenset()
        self.unmounted_automounts: frozenset[bytes] = frozenset()
        # The client of a network filesystem may refuse a lease whoever has the file open.
        self.proves_writers = False
        self._patience_seconds = patience_seconds
        self._lock = threading.Lock()
        self._idle_workers: list[Worker] = []
        #: Top-level folder (empty for the watched folder itself) -> the worker that hangs in it.
        self._hanging_workers: dict[bytes, Worker] = {}

    def list_folder(self, path: bytes) -> Iterator[DirectoryEntry]:
        """Yield the entries of a folder; in the watched folder itself, each entry is looked up separately."""
        check_mounted(path, self.vanished_mounts)
        if path:
            yield from self._call_free_worker(decode_entries, "entries", path)
        else:
            yield from self._list_watched_folder()

    def listed_in_turn(self) -> AbstractContextManager[Callable[[bytes], Iterator[DirectoryEntry]]]:
        """Return a context manager whose value is :meth:`list_folder`: workers cannot share an open folder."""
        return nullcontext(self.list_folder)

    def _list_watched_folder(self) -> Iterator[DirectoryEntry]:
        """Yield the entries of the watched folder, with a separate request for each name.

        A single request for all entries would fail if one of them is the mount point of a hanging share.
        """
        for entry_name in self._call_free_worker(decode_names, "names", b""):
            try:
                yield self._call_free_worker(decode_entry, "entry", entry_name)
            except FileNotFoundError:
                # The file was deleted after the names were listed.
                continue
            except OwnFile:
                yield DirectoryEntry(entry_name, stat.S_IFDIR, StatData.unknown(), is_own=True)
            except TimeoutError:
                # The mount point of a hanging share is a folder.  Listing that folder raises TimeoutError again.
                yield DirectoryEntry(entry_name, stat.S_IFDIR, StatData.unknown())
            except OSError as error:
                # The mount point of a FUSE program that died, or a damaged inode.
                yield DirectoryEntry(entry_name, 0, StatData.unknown(), error=error.strerror or str(error))

    def look_up(self, path: bytes) -> DirectoryEntry:
        """Return the entry of a single path; a link is not followed."""
        check_mounted(path, self.vanished_mounts)
        return self._call_free_worker(decode_entry, "entry", path)

    def read_link(self, path: bytes) -> bytes:
        """Return the text of a symbolic link."""
        return self._call_free_worker(text_to_name, "link", path)

    def looked_up_in_turn(self) -> AbstractContextManager[Callable[[bytes], DirectoryEntry]]:
        """Return a context manager whose value is :meth:`look_up`, because workers cannot share an open folder."""
        return nullcontext(self.look_up)

    def root_identity(self) -> RootIdentity:
        """Return the identity of the watched folder itself, even if its path leads to a file; raises OSError."""
        return self._call_free_worker(decode_root, "root", b"")

    def is_locked(self, path: bytes) -> bool:
        """Return True if the names in a folder are encrypted, and the key is not loaded."""
        return self._call_free_worker(bool, "locked", path)

    def is_own_log(self, path: bytes) -> bool:
        """Return False: the child processes cannot see where the output of this process goes."""
        return False

    def open(self, path: bytes) -> Source:
        """Open a file for reading, with a worker that serves no other request until the file is closed."""
        worker = self._take_worker(path)
        try:
            opened_file = self.call_worker(worker, path, decode_opened, "open", name_to_text(path))
        except (OSError, SourceChanged):
            self.return_worker(worker)
            raise
        return _WorkerSource(self, worker, path, opened_file)

    def opened_in_turn(self) -> AbstractContextManager[Callable[[bytes], Source]]:
        """Return a context manager whose value is :meth:`open`, because workers cannot share an open folder."""
        return nullcontext(self.open)

    def close(self) -> None:
        """End the workers; a worker hanging in the kernel ends as soon as the system call returns."""
        with self._lock:
            for worker in (*self._idle_workers, *self._hanging_workers.values()):
                worker.kill()
            self._idle_workers.clear()

    def _call_free_worker(self, decode: Callable[[Any], _Answer], request_name: str, path: bytes) -> _Answer:
        """Send a request about ``path`` to a free worker, and return the decoded answer.

        ``request_name`` is one of those that :class:`archiver.intake.folder.access_worker.FolderReader` answers.

        Raises the OSError or SourceChanged that the worker reports, and TimeoutError if its filesystem hangs.
        """
        worker = self._take_worker(path)
        try:
            return self.call_worker(worker, path, decode, request_name, name_to_text(path))
        finally:
            self.return_worker(worker)

    def call_worker(
        self, worker: Worker, path: bytes, decode: Callable[[Any], _Answer], request_name: str, *arguments: object
    ) -> _Answer:
        """Send a request about ``path`` to a taken worker, and return the decoded answer.

        ``arguments`` are those of the request.  Raises the errors of :meth:`call_for_content`.
        """
        return self.call_for_content(worker, path, memoryview(b""), decode, request_name, *arguments)[0]

    def call_for_content(
        self,
        worker: Worker,
        path: bytes,
        buffer: memoryview,
        decode: Callable[[Any], _Answer],
        request_name: str,
        *arguments: object,
    ) -> tuple[_Answer, int]:
        """Send a request about ``path`` to a taken worker, and receive content into ``buffer``.

        ``arguments`` are those of the request.  Returns the decoded answer, and the number of bytes received.

        Raises the OSError or SourceChanged that the worker reports, WorkerHung, which is a TimeoutError, if the
        worker does not answer in time, and another WorkerProblem if the worker does not send a usable answer.
        """
        try:
            outcome, content_length = worker.call_for_content(
                [request_name, *arguments], partial(decode_outcome, decode), buffer, self._patience_seconds
            )
        except WorkerHung:
            # The next request about the same top-level folder fails at once.
            with self._lock:
                self._hanging_workers[path.partition(b"/")[0]] = worker
            raise
        if isinstance(outcome, ReportedError):
            raise outcome.error
        return outcome, content_length

    def _take_worker(self, path: bytes) -> Worker:
        """Return a free worker for a request about ``path``; the caller gives it back with :meth:`return_worker`.

        Raises TimeoutError if a worker still hangs in the same top-level folder, or in the watched folder itself.
        """
        with self._lock:
            for top_folder in {b"", path.partition(b"/")[0]}:
                if top_folder in self._hanging_workers and not self._hanging_workers[top_folder].is_gone:
                    raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
                self._hanging_workers.pop(top_folder, None)
            return self._idle_workers.pop() if self._idle_workers else Worker(self._program)

    def return_worker(self, worker: Worker) -> None:
        """Let a worker serve other requests, unless this process killed the worker for hanging or misbehaving."""
        with self._lock:
            if worker.is_ready:
                self._idle_workers.append(worker)


class _WorkerSource:
    """A file that a worker holds open; the worker serves no other request until :meth:`close`."""

    def __init__(self, access: ChildAccess, worker: Worker, path: bytes, opened_file: OpenedFile) -> None:
        """Take over ``worker``, which has opened the file at ``path``."""
        self._access = access
        self._worker = worker
        self._path = path
        self.stat_data = opened_file.stat_data
        self.is_being_written = opened_file.is_being_written
        # Of a remote filesystem, see ``ChildAccess.proves_writers``.
        self.lease_error = 0
        # Some filesystems in user space report no blocks at all; such a file counts with its size.
        self.allocated_bytes = opened_file.allocated_bytes or opened_file.stat_data.size

    def readinto(self, buffer: memoryview) -> int:
        """Read the next bytes into ``buffer``; return their number, which is 0 at the end.  Raises OSError."""
        return self._access.call_for_content(self._worker, self._path, buffer, bool, "read", len(buffer))[1]

    def is_unchanged(self) -> bool:
        """Return True if the file has not changed since opening, and is still at its path; raises OSError."""
        return self._access.call_worker(self._worker, self._path, bool, "check")

    def drop_cached_pages(self) -> None:
        """Let the next reads come from the filesystem; raises OSError."""
        self._access.call_worker(self._worker, self._path, bool, "uncache")

    def close(self) -> None:
        """Let the worker close the file, and serve other requests; never raises OSError."""
        if self._worker.is_ready:
            # A worker that does not answer is killed, which closes the file too.
            with suppress(OSError):
                self._access.call_worker(self._worker, self._path, bool, "close")
        self._access.return_worker(self._worker)
