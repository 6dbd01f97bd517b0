"""Copy files of the watched folder into the spool, the archive's folder for copies that are not archived yet.

A file that cannot be read becomes a part of the result, and does not stop the others.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from archiver.documents import integrity
from archiver.errors import StorageError
from archiver.intake.exclusion.size_limits import NO_LIMITS, SizeLimits, TooLarge
from archiver.intake.folder.access import FolderAccess
from archiver.intake.path_reasons import (
    COPY_REFUSED,
    REFUSED_FILE,
    SPARSE,
    TOO_LARGE,
    UNKNOWN_LENGTH,
    UNREADABLE_FILE,
)
from archiver.intake.snapshot import SkippedPath
from archiver.store.content.objects import ContentStore
from archiver.store.content.source import Source, SourceChanged, UnknownLength
from archiver.store.content.spool import StagedCopy, is_sparse
from archiver.store.system_limits import find_limit

_OpenFile = Callable[[bytes], Source]
#: The errors of a file that another program refuses for a while: a virus scanner on this machine (EPERM; a lack of
#: permission is EACCES), or a client that has the file open on a share (EBUSY, and ETXTBSY before Linux 5.5).
_REFUSALS = frozenset({errno.EPERM, errno.EBUSY, errno.ETXTBSY})


class ReadingStopped(Exception):
    """The daemon is stopping; the copies of this attempt were discarded."""


class _Held(Exception):
    """A process of this machine has the file open for writing."""


@dataclass(frozen=True, slots=True)
class ReadingOrder:
    """The files to read, and how to treat each of them; paths are relative to the watched folder."""

    paths: Sequence[bytes]
    #: The files that are read even while a process has them open for writing.
    overdue: set[bytes] = field(default_factory=set)
    #: The files whose copies only the archive's owner may read.
    private: set[bytes] = field(default_factory=set)
    #: Path -> SHA-256 values: only the archive's owner may read the copy of this file if it has one of these.
    restricted: dict[bytes, frozenset[str]] = field(default_factory=dict)

    def mark(self, path: bytes, copy: StagedCopy) -> StagedCopy:
        """Return ``copy``, the copy of the file ``path``, marked as private if only the owner may read it."""
        is_private = path in self.private or copy.sha256 in self.restricted.get(path, ())
        return copy._replace(is_private=True) if is_private else copy


@dataclass(slots=True)
class StagingResult:
    """The outcome for each file of a reading order; paths are relative to the watched folder."""

    #: The copies in the spool, by path.
    staged: dict[bytes, StagedCopy] = field(default_factory=dict)
    #: Files that changed or disappeared while they were read.
    unstable: list[bytes] = field(default_factory=list)
    #: Files that a process has open for writing.
    held: list[bytes] = field(default_factory=list)
    #: Files that cannot be read, with the reason.
    unreadable: list[SkippedPath] = field(default_factory=list)
    #: Sparse files among the copied ones, with the note for ``archiver status``.
    sparse: list[SkippedPath] = field(default_factory=list)

    def add(self, other: StagingResult) -> None:
        """Add the result of another reading order to this result."""
        self.staged |= other.staged
        self.unstable += other.unstable
        self.held += other.held
        self.unreadable += other.unreadable
        self.sparse += other.sparse

    def select(self, paths: Collection[bytes]) -> StagingResult:
        """Return the outcomes for the files ``paths`` alone."""
        return StagingResult(
            {path: self.staged[path] for path in paths if path in self.staged},
            [path for path in self.unstable if path in paths],
            [path for path in self.held if path in paths],
            [skipped_path for skipped_path in self.unreadable if skipped_path.path in paths],
            [note for note in self.sparse if note.path in paths],
        )


class FileReader:
    """Copies files of the watched folder into the spool, and hashes the content on the way."""

    def __init__(
        self,
        access: FolderAccess,
        content: ContentStore,
        check_stop: Callable[[], None] = lambda: None,
        limits: SizeLimits = NO_LIMITS,
    ) -> None:
        """Read through ``access`` into the spool of ``content``; the caller closes ``access``.

        ``check_stop`` is called before each file is opened and before each chunk is written, and may raise
        ReadingStopped.  A file beyond ``limits`` counts as unreadable.
        """
        self._access = access
        self._content = content
        self._check_stop = check_stop
        self._limits = limits

    def read(self, order: ReadingOrder) -> StagingResult:
        """Copy the files of ``order`` into the spool; return the outcome for each file.

        The caller publishes or discards the copies.

        Raises StorageError if the archive's disk cannot be written, ReadingStopped if ``check_stop`` raises it.
        Nothing is left in the spool then.
        """
        result = StagingResult()
        try:
            with self._access.opened_in_turn() as open_file:
                for path in order.paths:
                    self._read_file(path, open_file, order, result)
        except BaseException:
            # Whatever the reason, the service goes on, and nobody else knows of the copies.
            self._content.spool.discard_copies(result.staged.values())
            raise
        return result

    def read_and_publish(self, order: ReadingOrder) -> StagingResult:
        """Read the files of ``order``, and publish the copies as content objects; no copy stays in the spool.

        Raises the errors of :meth:`read`.  Content that was published before the error stays, and the next attempt
        reuses it.
        """
        result = self.read(order)
        publish_result(self._content, result)
        result.staged = {path: copy._replace(spool_path=None) for path, copy in result.staged.items()}
        return result

    def _read_file(self, path: bytes, open_file: _OpenFile, order: ReadingOrder, result: StagingResult) -> None:
        """Copy a file, and add the outcome to ``result``; raises StorageError or ReadingStopped."""
        try:
            result.staged[path] = order.mark(path, self._copy_to_spool(path, open_file, order, result))
        except TooLarge as error:
            result.unreadable.append(SkippedPath(path, TOO_LARGE.code, str(error.counted_bytes)))
        except UnknownLength:
            result.unreadable.append(SkippedPath(path, UNKNOWN_LENGTH.code, ""))
        except (_Held, BlockingIOError):
            # A writer has the file open, or a lease on it that it gives back within 45 s, as Samba's oplocks do.
            result.held.append(path)
        except (SourceChanged, FileNotFoundError, NotADirectoryError):
            # The file is not there any more, or is another one: that is a change, and no failure to read.
            result.unstable.append(path)
        except OSError as error:
            if (limit := find_limit(error)) is not None:
                # It says nothing about the file.
                raise limit from error
            reason = REFUSED_FILE if error.errno in _REFUSALS else UNREADABLE_FILE
            result.unreadable.append(SkippedPath(path, reason.code, error.strerror or type(error).__name__))

    def _copy_to_spool(
        self, path: bytes, open_file: _OpenFile, order: ReadingOrder, result: StagingResult
    ) -> StagedCopy:
        """Copy a file into the spool; the copy states the damage, if the content shows any.

        Adds a note to ``result`` for a sparse file.

        Raises TooLarge if the file is beyond the limits, _Held if a process has the file open for writing, unless
        it is overdue in ``order``.  Raises SourceChanged if the file changes while it is copied, OSError if it
        cannot be read, StorageError if the archive's disk cannot be written, ReadingStopped if the daemon is
        stopping.
        """
        self._check_stop()
        source = open_file(path)
        try:
            self._limits.check_file(source)
            is_open = source.is_being_written
            if is_open and path not in order.overdue:
                raise _Held
            copy = self._content.spool.stage_copy(source, self._check_stop)
            if self._limits.are_set and is_sparse(source):
                result.sparse.append(SkippedPath(path, SPARSE.code, str(source.allocated_bytes)))
        finally:
            source.close()
        if is_open and self._access.proves_writers:
            # What is written later may be missing from the copy, whatever the copy looks like.
            return copy._replace(health=integrity.OPEN_FOR_WRITING)
        defect = integrity.find_defect(copy.spool_path, path)
        return copy._replace(health=defect) if defect else copy


def publish_result(content: ContentStore, result: StagingResult) -> None:
    """Publish the copies of ``result``; a copy refused by another program becomes an unreadable file instead.

    A virus scanner may take a single file from the spool, and everything else must not wait for that file.

    Raises StorageError if the archive's disk cannot be written; no copy is left in the spool then.
    """
    try:
        content.publish_copies(result.staged.values())
    except StorageError:
        try:
            if not _drop_refused_copies(content, result):
                raise
            content.publish_copies(result.staged.values())
        except StorageError:
            content.spool.discard_copies(result.staged.values())
            raise


def _drop_refused_copies(content: ContentStore, result: StagingResult) -> bool:
    """Move each file whose copy another program refuses to the unreadable files; return True if there is one."""
    paths_by_copy = {copy.spool_path: path for path, copy in result.staged.items()}
    unpublished_copies = [
        copy for copy in result.staged.values() if not content.has_object(copy.sha256, copy.stat_data.size)
    ]
    refused_copies = list(content.spool.find_refused_copies(unpublished_copies))
    for copy, error in refused_copies:
        path = paths_by_copy[copy.spool_path]
        del result.staged[path]
        content.spool.discard_copies([copy])
        result.unreadable.append(SkippedPath(path, COPY_REFUSED.code, error.strerror or ""))
    return bool(refused_copies)


def drop_removed_objects(content: ContentStore, result: StagingResult) -> bool:
    """Move files whose objects were removed after publication to the unreadable files; return True if any was."""
    removed_paths = [
        path for path, copy in result.staged.items() if copy.stat_data.size and content.is_removed(copy.sha256)
    ]
    for path in removed_paths:
        del result.staged[path]
        result.unreadable.append(SkippedPath(path, COPY_REFUSED.code, os.strerror(errno.ENOENT)))
    return bool(removed_paths)
