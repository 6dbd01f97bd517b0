"""Read files into the spool; a file that cannot be read is a part of the result, and does not stop the others."""

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
    """The daemon is stopping; no copy of this attempt was kept."""


class _Held(Exception):
    """A process of this machine has the file open for writing."""


@dataclass(frozen=True, slots=True)
class ReadingOrder:
    """Files to be read; paths are relative to the watched folder."""

    paths: Sequence[bytes]
    #: Those that are read even if a process has them open for writing.
    overdue: set[bytes] = field(default_factory=set)
    #: Those whose copies only the archive's owner may read.
    private: set[bytes] = field(default_factory=set)
    #: The same, but only of copies that have one of these SHA-256 values, by path.
    restricted: dict[bytes, frozenset[str]] = field(default_factory=dict)

    def mark(self, path: bytes, staged: StagedCopy) -> StagedCopy:
        """Return the copy of ``path``, marked as private if it is."""
        is_private = path in self.private or staged.sha256 in self.restricted.get(path, ())
        return staged._replace(is_private=True) if is_private else staged


@dataclass(slots=True)
class StagingResult:
    """The outcome for each file to be read; paths are relative to the watched folder."""

    #: The copies in the spool, by path.
    staged: dict[bytes, StagedCopy] = field(default_factory=dict)
    #: Files that changed or disappeared while they were read.
    unstable: list[bytes] = field(default_factory=list)
    #: Files that a process has open for writing.
    held: list[bytes] = field(default_factory=list)
    #: Files that cannot be read, with the reason.
    unreadable: list[SkippedPath] = field(default_factory=list)

    def add(self, part: StagingResult) -> None:
        """Add the result of a batch to this one."""
        self.staged |= part.staged
        self.unstable += part.unstable
        self.held += part.held
        self.unreadable += part.unreadable

    def select(self, paths: Collection[bytes]) -> StagingResult:
        """Return the result for some of the files."""
        return StagingResult(
            {path: self.staged[path] for path in paths if path in self.staged},
            [path for path in self.unstable if path in paths],
            [path for path in self.held if path in paths],
            [item for item in self.unreadable if item.path in paths],
        )


class FileReader:
    """A reader copying files of the watched folder into the spool, and hashing the content on the way."""

    def __init__(
        self, access: FolderAccess, content: ContentStore, proceed: Callable[[], None] = lambda: None
    ) -> None:
        """Read through ``access`` into the spool of ``content``.

        ``proceed`` is called before each file and before each chunk is written, and may raise ReadingStopped.
        """
        self._access = access
        self._content = content
        self._proceed = proceed

    def read(self, order: ReadingOrder) -> StagingResult:
        """Copy the files of ``order`` into the spool; return the outcome for each.

        The caller publishes or discards the copies.

        Raises StorageError if the archive's disk cannot be written, ReadingStopped if ``proceed`` does; nothing is
        left in the spool then.
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
        """Read the files of ``order``, and publish the copies, so that the result names none in the spool.

        Raises as :meth:`read` does.  Content that was published nevertheless is reused by the next attempt.
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
            read.unstable.append(path)
        except OSError as error:
            read.unreadable.append(SkippedPath(path, UNREADABLE_FILE.code, error.strerror or type(error).__name__))

    def _stage(self, path: bytes, open_file: _OpenFile, overdue: bool) -> StagedCopy:
        """Copy a file into the spool, and note any damage shown by the content.

        Raises _Held if a process writes to the file and it is not ``overdue``, SourceChanged if it changes,
        OSError if it cannot be read, StorageError and ReadingStopped.
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
