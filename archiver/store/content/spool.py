"""The spool: the archive's folder for files that are copied but not archived yet.

A file is read once, so that the bytes that are hashed are the bytes that are written.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import NamedTuple

from archiver import clock
from archiver.path_existence import is_folder
from archiver.store.content.copier import LARGE_FILE_BYTES, Copier, WriteFailed, write_chunk
from archiver.store.content.objects import SHARED_MODE
from archiver.store.content.source import Source, SourceChanged, StatData, UnknownLength
from archiver.store.disk_errors import disk_write_error
from archiver.store.failpoints import Step, announce_step

#: The names of copies begin with this.
_PREFIX = "tmp"
#: The unit in which holes are kept; a multiple of each filesystem's block size.  Higher, and more zeros between
#: data are written; lower, and reading takes more system calls.
_SPARSE_CHUNK_BYTES = 256 << 10
#: Two changes of a file within this time may have the same ctime: it advances by the ticks of the kernel's clock,
#: and the slowest one (HZ=100) has two ticks in this time.
_TICK_NS = 20_000_000
#: The same for a filesystem that keeps whole seconds, or every second one, such as FAT.
_COARSE_TICK_NS = 2_000_000_000
_SECOND_NS = 1_000_000_000


class StagedCopy(NamedTuple):
    """A copy of a file in the spool; it is hashed, but not durable and not archived yet."""

    sha256: str
    #: The stat data of the source when it was opened.
    stat_data: StatData
    #: None for an empty file, for which no object is stored, and after the copy was published as an object.
    spool_path: str | None
    #: True if the source changed just before it was read.  A second change may have the same ctime, so the stat
    #: data would not show it, and the file must be read again (git calls such an entry racily clean).
    is_racy: bool = False
    #: The code of the damage that the copy seems to have; empty for none.
    health: str = ""
    #: True if only the owner may read the object, because the material is sensitive.
    is_private: bool = False


class Spool:
    """The archive's folder with the copies; several threads may use one spool at the same time."""

    def __init__(self, folder: Path) -> None:
        """Create copies in ``folder``, which exists already."""
        self.folder = folder
        #: The beginning of the path of each copy, with a random part that no other spool uses.
        self._name_prefix = f"{os.fspath(folder)}/{_PREFIX}{os.urandom(6).hex()}-"
        self._numbers = count()
        #: The attributes ``copier`` and ``small_buffer`` belong to a single thread, which creates both.
        self._thread_local = threading.local()

    def stage_copy(self, source: Source, heartbeat: Callable[[], None] = lambda: None) -> StagedCopy:
        """Copy ``source`` into the spool, and hash the bytes that are written; return the copy.

        ``heartbeat`` is called before each chunk is written, to show that the copy makes progress, and may raise
        to abandon the copy.  The caller publishes the copy as an object or passes it to :meth:`discard_copies`,
        and closes ``source``.

        Raises SourceChanged if the source changed during the copy, UnknownLength if the filesystem states a wrong
        size, OSError if the source cannot be read, StorageError if the archive's disk cannot be written.  Nothing
        is left in the spool then.
        """
        stat_data = source.stat_data
        tick_ns = _TICK_NS if stat_data.ctime_ns % _SECOND_NS else _COARSE_TICK_NS
        is_racy = abs(clock.wall_time_ns() - stat_data.ctime_ns) < tick_ns
        try:
            if stat_data.size == 0:
                staged_copy = _stage_empty_copy(source, is_racy)
            else:
                staged_copy = self._stage_nonempty_copy(source, is_racy, heartbeat)
        except SourceChanged:
            if source.is_unchanged():
                raise UnknownLength from None
            raise
        try:
            if not source.is_unchanged():
                raise SourceChanged
        except (SourceChanged, OSError):
            self.discard_copies([staged_copy])
            raise
        return staged_copy

    def _stage_nonempty_copy(self, source: Source, is_racy: bool, heartbeat: Callable[[], None]) -> StagedCopy:
        """Copy a source that is not empty into a new file of the spool; return the copy.

        The errors are those of :meth:`stage_copy`, and nothing is left in the spool after an error.  The caller
        checks that the source is still unchanged.
        """
        spool_path = f"{self._name_prefix}{next(self._numbers)}"
        try:
            spool_descriptor = os.open(spool_path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise disk_write_error(self.folder, error) from error
        if source.stat_data.size < LARGE_FILE_BYTES:
            copy_and_hash = self._copy_and_hash_small
        else:
            copy_and_hash = self._copy_and_hash_sparse if is_sparse(source) else self._copy_and_hash
        is_complete = False
        try:
            sha256 = copy_and_hash(source, spool_descriptor, heartbeat)
            os.fchmod(spool_descriptor, SHARED_MODE)
            is_complete = True
        finally:
            os.close(spool_descriptor)
            if not is_complete:
                os.unlink(spool_path)
        announce_step(Step.CONTENT_STAGED)
        return StagedCopy(sha256, source.stat_data, spool_path, is_racy)

    def _copy_and_hash_small(self, source: Source, spool_descriptor: int, heartbeat: Callable[[], None]) -> str:
        """Copy a source that fits into a buffer, as :meth:`_copy_and_hash` does, with fewer system calls."""
        expected_size = source.stat_data.size
        # The buffer has one byte more than expected, which is filled only if the file has grown.
        buffer = self._small_buffer()[: expected_size + 1]
        filled_bytes = 0
        while filled_bytes <= expected_size:
            read_bytes = source.readinto(buffer[filled_bytes:])
            filled_bytes += read_bytes
            # Each read requests one byte more than is expected: if only this byte is missing, the file has ended.
            if not read_bytes or filled_bytes == expected_size:
                break
        if filled_bytes != expected_size:
            raise SourceChanged
        heartbeat()
        content = buffer[:expected_size]
        try:
            write_chunk(spool_descriptor, content)
        except WriteFailed as error:
            raise disk_write_error(self.folder, error) from error
        return hashlib.sha256(content).hexdigest()

    def _copy_and_hash(self, source: Source, spool_descriptor: int, heartbeat: Callable[[], None]) -> str:
        """Copy ``source`` to an empty file of the spool; return the SHA-256 of exactly the bytes written.

        Raises SourceChanged if the source is longer or shorter than when it was opened, OSError if it cannot be
        read, StorageError if the archive's disk cannot be written.
        """
        digest = hashlib.sha256()
        expected_size = source.stat_data.size

        def check_progress(copied_bytes: int) -> None:
            """Report progress; raises SourceChanged if the source has more bytes than when it was opened."""
            heartbeat()
            # Without this check, a file that grows as fast as it is read would be copied for ever.
            if copied_bytes > expected_size:
                raise SourceChanged

        try:
            copier = self._thread_copier()
            copied_bytes = copier.copy(source.readinto, spool_descriptor, expected_size, [digest], check_progress)
            copier.wait()
        except WriteFailed as error:
            raise disk_write_error(self.folder, error) from error
        if copied_bytes != expected_size:
            raise SourceChanged
        return digest.hexdigest()

    def _copy_and_hash_sparse(self, source: Source, spool_descriptor: int, heartbeat: Callable[[], None]) -> str:
        """Copy a sparse source as :meth:`_copy_and_hash` does, and leave holes where it has only zero bytes.

        Otherwise a file of 1 TB that occupies a single block would fill the archive's disk.
        """
        digest = hashlib.sha256()
        expected_size, copied_bytes = source.stat_data.size, 0
        buffer, zeros = bytearray(_SPARSE_CHUNK_BYTES), bytes(_SPARSE_CHUNK_BYTES)
        try:
            while filled_bytes := source.readinto(memoryview(buffer)):
                heartbeat()
                copied_bytes += filled_bytes
                if copied_bytes > expected_size:
                    raise SourceChanged
                chunk = memoryview(buffer)[:filled_bytes]
                digest.update(chunk)
                if filled_bytes == len(zeros) and buffer == zeros:
                    os.lseek(spool_descriptor, filled_bytes, os.SEEK_CUR)
                else:
                    write_chunk(spool_descriptor, chunk)
        except WriteFailed as error:
            raise disk_write_error(self.folder, error) from error
        if copied_bytes != expected_size:
            raise SourceChanged
        try:
            os.ftruncate(spool_descriptor, expected_size)
        except OSError as error:
            raise disk_write_error(self.folder, error) from error
        return digest.hexdigest()

    def _thread_copier(self) -> Copier:
        """Return the calling thread's own copier, which the first call creates."""
        if not hasattr(self._thread_local, "copier"):
            self._thread_local.copier = Copier()
        copier: Copier = self._thread_local.copier
        return copier

    def _small_buffer(self) -> memoryview:
        """Return the calling thread's own buffer for small files, which the first call creates."""
        if not hasattr(self._thread_local, "small_buffer"):
            self._thread_local.small_buffer = memoryview(bytearray(LARGE_FILE_BYTES))
        buffer: memoryview = self._thread_local.small_buffer
        return buffer

    def find_refused_copies(self, copies: Iterable[StagedCopy]) -> Iterator[tuple[StagedCopy, OSError]]:
        """Yield each copy that another program has removed from the spool or locked, with the error.

        Yields nothing if the spool itself is not usable: its disk is the reason then.
        """
        try:
            tempfile.TemporaryFile(dir=self.folder).close()
        except OSError:
            return
        for copy in copies:
            if copy.spool_path is not None:
                try:
                    os.close(os.open(copy.spool_path, os.O_RDONLY | os.O_CLOEXEC))
                except (FileNotFoundError, PermissionError) as error:
                    yield copy, error

    def discard_copies(self, copies: Iterable[StagedCopy]) -> None:
        """Delete copies that will not be archived from the spool; ignore copies that are already deleted."""
        for copy in copies:
            if copy.spool_path is not None:
                # A copy that another program has locked stays until the spool is cleared.
                with suppress(FileNotFoundError, PermissionError):
                    os.unlink(copy.spool_path)

    def clear(self) -> None:
        """Delete all copies in the spool, which are left over from a crash.

        The caller holds the daemon's lock; otherwise another process could be using the copies.
        """
        for leftover_path in self.folder.glob(f"{_PREFIX}*"):
            if is_folder(leftover_path, follow_links=False):
                # The folder of a child process that was killed: see process_folder.
                shutil.rmtree(leftover_path, ignore_errors=True)
            else:
                leftover_path.unlink(missing_ok=True)


def _stage_empty_copy(source: Source, is_racy: bool) -> StagedCopy:
    """Return the copy of a source that is empty by its stat data; raises SourceChanged if it is not, and OSError.

    A FUSE filesystem may state 0 bytes for a file whose size it learns only when the file is read.
    """
    if source.readinto(memoryview(bytearray(1))):
        raise SourceChanged
    return StagedCopy(hashlib.sha256().hexdigest(), source.stat_data, None, is_racy)


def is_sparse(source: Source) -> bool:
    """Return True if at least half of a large source is holes, or compressed away, on its filesystem."""
    return source.stat_data.size >= LARGE_FILE_BYTES and 2 * source.allocated_bytes <= source.stat_data.size


@contextmanager
def process_folder(spool_folder: Path) -> Iterator[Path]:
    """Create a folder in the spool for the copies of one process; delete it at the end of the block.

    Processes that create and rename files in the same folder wait for each other in the kernel.  After a crash,
    :meth:`Spool.clear` deletes the folder.  Raises OSError if it cannot be created.
    """
    folder = tempfile.mkdtemp(prefix=_PREFIX, dir=spool_folder)
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
