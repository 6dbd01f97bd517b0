"""Copy files of the watched folder into the spool, the archive's folder for copies that are not archived yet.

A file that cannot be read becomes a part of the result, and does not stop the others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from archiver.documents import integrity
from archiver.errors import ArchiverError, StorageError
from archiver.intake.folder.access import FolderAccess
from archiver.intake.path_reasons import UNREADABLE_FILE
from archiver.intake.snapshot import SkippedPath
from archiver.store.content.objects import ContentStore
from archiver.store.content.source import Source, SourceChanged
from archiver.store.content.spool import StagedCopy

_OpenFile = Callable[[bytes], Source]


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

    def mark(self, path: bytes, staged: StagedCopy) -> StagedCopy:
        """Return the copy ``staged`` of a file, marked as private if only the archive's owner may read it."""
        is_private = path in self.private or staged.sha256 in self.restricted.get(path, ())
        return staged._replace(is_private=True) if is_private else staged


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

    def add(self, part: StagingResult) -> None:
        """Add the result of another reading order to this one."""
        self.staged |= part.staged
        self.unstable += part.unstable
        self.held += part.held
        self.unreadable += part.unreadable

    def select(self, paths: Collection[bytes]) -> StagingResult:
        """Return the part of this result that concerns the files ``paths``."""
        return StagingResult(
            {path: self.staged[path] for path in paths if path in self.staged},
            [path for path in self.unstable if path in paths],
            [path for path in self.held if path in paths],
            [item for item in self.unreadable if item.path in paths],
        )


class FileReader:
    """Copies files of the watched folder into the spool, and hashes the content on the way."""

    def __init__(
        self, access: FolderAccess, content: ContentStore, proceed: Callable[[], None] = lambda: None
    ) -> None:
        """Read through ``access`` into the spool of ``content``; the caller closes ``access``.

        ``proceed`` is called before each file is opened and before each chunk is written, and may raise
        ReadingStopped.
        """
        self._access = access
        self._content = content
        self._proceed = proceed

    def read(self, order: ReadingOrder) -> StagingResult:
        """Copy the files of ``order`` into the spool; return the outcome for each file.

        The caller publishes or discards the copies.

        Raises StorageError if the archive's disk cannot be written, ReadingStopped if ``proceed`` raises it.
        Nothing is left in the spool then.
        """
        read = StagingResult()
        try:
            with self._access.opened_in_turn() as open_file:
                for path in order.paths:
                    self._read_one(path, open_file, order, read)
        except (ArchiverError, ReadingStopped):
            self._content.spool.discard_copies(read.staged.values())
            raise
        return read

    def read_and_publish(self, order: ReadingOrder) -> StagingResult:
        """Read the files of ``order``, and publish the copies as content objects; no copy stays in the spool.

        Raises the errors of :meth:`read`.  Content that was published before the error stays, and the next attempt
        reuses it.
        """
        read = self.read(order)
        try:
            self._content.publish_copies(read.staged.values())
        except StorageError:
            self._content.spool.discard_copies(read.staged.values())
            raise
        read.staged = {path: copy._replace(spool_path=None) for path, copy in read.staged.items()}
        return read

    def _read_one(self, path: bytes, open_file: _OpenFile, order: ReadingOrder, read: StagingResult) -> None:
        """Copy a file, and add the outcome to ``read``; raises StorageError or ReadingStopped."""
        try:
            read.staged[path] = order.mark(path, self._stage(path, open_file, path in order.overdue))
        except _Held:
            read.held.append(path)
        except (SourceChanged, FileNotFoundError, NotADirectoryError):
            # The file is not there any more, or is another one: that is a change, and no failure to read.
            read.unstable.append(path)
        except OSError as error:
            read.unreadable.append(SkippedPath(path, UNREADABLE_FILE.code, error.strerror or type(error).__name__))

    def _stage(self, path: bytes, open_file: _OpenFile, overdue: bool) -> StagedCopy:
        """Copy a file into the spool; the copy states the damage, if the content shows any.

        Raises _Held if a process has the file open for writing and the file is not ``overdue``, SourceChanged if
        the file changes while it is copied, OSError if it cannot be read, StorageError if the archive's disk
        cannot be written, ReadingStopped if the daemon is stopping.
        """
        self._proceed()
        source = open_file(path)
        try:
            if source.is_being_written and not overdue:
                raise _Held
            staged = self._content.spool.stage_copy(source, self._proceed)
        finally:
            source.close()
        defect = integrity.find_defect(staged.spool_path, path)
        return staged._replace(health=defect) if defect else staged
