"""Reading files into the spool: what became of each is a value, never a stop for the others."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field, replace

from archiver.documents import integrity
from archiver.errors import ArchiverError
from archiver.intake.folder.access import FolderAccess
from archiver.intake.path_reasons import UNREADABLE_FILE
from archiver.intake.snapshot import SkippedPath
from archiver.store.content.objects import ContentStore, StagedCopy
from archiver.store.content.source import Source, SourceChanged

_OpenFile = Callable[[bytes], Source]


class ReadingStopped(Exception):
    """The daemon was told to end; nothing of this attempt was kept."""


class _Held(Exception):
    """A process of this machine still holds the file open for writing."""


@dataclass(slots=True)
class StagingResult:
    """What reading files came to."""

    staged: dict[bytes, StagedCopy] = field(default_factory=dict)
    unstable: list[bytes] = field(default_factory=list)
    held: list[bytes] = field(default_factory=list)
    unreadable: list[SkippedPath] = field(default_factory=list)

    def add(self, part: StagingResult) -> None:
        """Take in what a batch came to."""
        self.staged |= part.staged
        self.unstable += part.unstable
        self.held += part.held
        self.unreadable += part.unreadable


class FileReader:
    """Copies files into the spool while hashing them."""

    def __init__(
        self, access: FolderAccess, content: ContentStore, proceed: Callable[[], None] = lambda: None
    ) -> None:
        """``proceed`` is called before each chunk and may raise ReadingStopped."""
        self._access = access
        self._content = content
        self._proceed = proceed

    def read(self, paths: Iterable[bytes], overdue: Container[bytes]) -> StagingResult:
        """Stage every path; one that is open for writing waits, unless it is overdue.

        Raises StorageError or ReadingStopped; nothing is left in the spool then.
        """
        read = StagingResult()
        try:
            with self._access.opened_in_turn() as open_file:
                for path in paths:
                    self._read_one(path, open_file, path in overdue, read)
        except (ArchiverError, ReadingStopped):
            self._content.discard(read.staged.values())
            raise
        return read

    def _read_one(self, path: bytes, open_file: _OpenFile, overdue: bool, read: StagingResult) -> None:
        try:
            read.staged[path] = self._stage(path, open_file, overdue)
        except _Held:
            read.held.append(path)
        except (SourceChanged, FileNotFoundError, NotADirectoryError):
            read.unstable.append(path)
        except OSError as error:
            read.unreadable.append(SkippedPath(path, UNREADABLE_FILE.code, error.strerror or type(error).__name__))

    def _stage(self, path: bytes, open_file: _OpenFile, overdue: bool) -> StagedCopy:
        self._proceed()
        source = open_file(path)
        try:
            if source.is_being_written and not overdue:
                raise _Held
            staged = self._content.stage(source, self._proceed)
        finally:
            source.close()
        doubt = integrity.find_doubt(staged.spool_path, path)
        return replace(staged, health=doubt) if doubt else staged
