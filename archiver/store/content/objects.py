"""Keep content objects: the bytes of each material once, in the layout of Git LFS.

A file is read once: the bytes that are hashed are the bytes that are written.  The copy gets its final name only
when it is durable, so that an object under its SHA-256 is whole after any crash.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from archiver import clock
from archiver.errors import StorageError
from archiver.path_existence import is_folder
from archiver.store.content.copier import Copier, WriteFailed
from archiver.store.content.source import Source, SourceChanged, StatData
from archiver.store.failpoints import Step, reached
from archiver.store.fsync import sync_filesystem, sync_path
from archiver.store.permissions import allow_deletion

#: Larger chunks save no time and occupy this memory in each thread that reads; smaller ones cost more calls.
CHUNK_BYTES = 1 << 20
_SHARED_MODE, _OWNER_MODE = 0o444, 0o400
#: Up to this many files are synced one by one, since ``syncfs`` also flushes the writes of other programs; beyond,
#: single syncs take longer than that.
_MAX_SINGLE_SYNCS = 64

#: Two ticks of the slowest kernel clock (HZ=100), which is what ctime counts in.
_TICK_NS = 20_000_000


@dataclass(frozen=True, slots=True)
class StagedCopy:
    """A copy in the spool, hashed but not durable yet."""

    sha256: str
    #: The source at opening.
    stat_data: StatData
    #: None for an empty file: no object is stored for it.
    spool_path: str | None
    #: The source changed so shortly before that a second change would bear the same ctime (git's "racily clean"):
    #: the stat data cannot show that change, so the file is read again.
    is_racy: bool = False
    #: Code of the damage that the copy seems to have; empty for none.
    health: str = ""
    #: Only the owner may read the object.
    is_private: bool = False


def pointer(sha256: str, size: int) -> bytes:
    """Return the Git LFS pointer of a content object (specification v1).

    Empty for an empty material: ``git lfs fsck`` refuses a pointer of size 0.
    """
    if size == 0:
        return b""
    return b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n" % (sha256.encode(), size)


class ContentStore:
    """The content objects below ``archive.git/lfs/objects``; for several threads at a time."""

    def __init__(self, objects: Path, spool: Path) -> None:
        self.objects = objects
        self._root = os.fspath(objects)
        self.spool = spool
        self._thread_local = threading.local()

    def path(self, sha256: str) -> Path:
        """Return the path of an object, existing or not."""
        return Path(self._object_name(sha256))

    def _object_name(self, sha256: str) -> str:
        # Thousands of these in a row: pathlib would take longer than the disk.
        return f"{self._root}/{sha256[:2]}/{sha256[2:4]}/{sha256}"

    def has(self, sha256: str, size: int) -> bool:
        """Return True if an object of that size is in place; reads no bytes."""
        try:
            return os.stat(self._object_name(sha256)).st_size == size
        except OSError:
            # Missing or out of reach: the caller stores the content again.
            return False

    def is_intact(self, sha256: str, size: int) -> bool:
        """Read an object; return True if its bytes still have the SHA-256 of the name."""
        if not self.has(sha256, size):
            return False
        digest = hashlib.sha256()
        try:
            with open(self._object_name(sha256), "rb", buffering=0) as stream:
                while count := stream.readinto(self._buffer_of_this_thread()):
                    digest.update(self._buffer_of_this_thread()[:count])
        except OSError:
            # An unreadable object is as bad as a missing one.
            return False
        return digest.hexdigest() == sha256

    def stage(self, source: Source, heartbeat: Callable[[], None] = lambda: None) -> StagedCopy:
        """Copy ``source`` into the spool and hash the bytes on the way.

        ``heartbeat`` is called before each chunk is written, and may raise to abandon the copy.  The caller passes
        the result to :meth:`publish` or :meth:`discard`.

        Raises SourceChanged if the source changed during the copy, OSError if it cannot be read, StorageError if
        the archive's disk cannot hold it.  Nothing is left in the spool then.
        """
        stat_data = source.stat_data
        is_racy = abs(clock.wall_ns() - stat_data.ctime_ns) < _TICK_NS
        if stat_data.size == 0:
            staged = StagedCopy(hashlib.sha256().hexdigest(), stat_data, None, is_racy)
        else:
            staged = self._stage_copy(source, is_racy, heartbeat)
        try:
            if not source.is_unchanged():
                raise SourceChanged
        except (SourceChanged, OSError):
            self.discard([staged])
            raise
        return staged

    def _stage_copy(self, source: Source, is_racy: bool, heartbeat: Callable[[], None]) -> StagedCopy:
        try:
            descriptor, spool_path = tempfile.mkstemp(dir=self.spool)
        except OSError as error:
            raise self._disk_problem(error) from error
        is_complete = False
        try:
            digest = self._copy_and_hash(source, descriptor, heartbeat)
            os.fchmod(descriptor, _SHARED_MODE)
            is_complete = True
        finally:
            os.close(descriptor)
            if not is_complete:
                os.unlink(spool_path)
        reached(Step.CONTENT_STAGED)
        return StagedCopy(digest, source.stat_data, spool_path, is_racy)

    def _copy_and_hash(self, source: Source, staged_descriptor: int, heartbeat: Callable[[], None]) -> str:
        """Copy ``source`` to the descriptor; return the SHA-256 of exactly the bytes written.

        Raises SourceChanged if the source is longer or shorter than at opening, StorageError if the disk is full.
        """
        digest = hashlib.sha256()
        expected_size = source.stat_data.size

        def check_progress(copied_bytes: int) -> None:
            heartbeat()
            # A file that grows as fast as it is read would never end.
            if copied_bytes > expected_size:
                raise SourceChanged

        try:
            copier = self._copier_of_this_thread()
            copied_bytes = copier.copy(source.readinto, staged_descriptor, expected_size, [digest], check_progress)
            copier.wait()
        except WriteFailed as error:
            raise self._disk_problem(error) from error
        if copied_bytes != expected_size:
            raise SourceChanged
        return digest.hexdigest()

    def _copier_of_this_thread(self) -> Copier:
        if not hasattr(self._thread_local, "copier"):
            self._thread_local.copier = Copier()
        copier: Copier = self._thread_local.copier
        return copier

    def _buffer_of_this_thread(self) -> memoryview:
        if not hasattr(self._thread_local, "buffer"):
            self._thread_local.buffer = memoryview(bytearray(CHUNK_BYTES))
        buffer: memoryview = self._thread_local.buffer
        return buffer

    def publish(self, copies: Iterable[StagedCopy]) -> None:
        """Make every copy durable under its SHA-256; return when the names are durable too.

        After a crash, an object either exists whole or not at all; its copy stays in the spool until
        :meth:`clear_spool`.  Raises StorageError.
        """
        spool_paths: dict[str, str] = {}
        for copy in copies:
            if copy.spool_path is None:
                continue
            if copy.is_private:
                self._restrict_to_owner(copy)
            if copy.sha256 in spool_paths or self.has(copy.sha256, copy.stat_data.size):
                os.unlink(copy.spool_path)
            else:
                spool_paths[copy.sha256] = copy.spool_path
        if not spool_paths:
            return
        try:
            self._publish_objects(spool_paths)
        except OSError as error:
            raise self._disk_problem(error) from error

    def _restrict_to_owner(self, copy: StagedCopy) -> None:
        os.chmod(copy.spool_path or "", _OWNER_MODE)
        with suppress(OSError):
            # An object with these bytes may exist, readable for the group; usually there is none yet.
            self.make_private(copy.sha256)

    def make_private(self, sha256: str) -> None:
        """Restrict an object to its owner; raises OSError, also for an immutable object."""
        os.chmod(self._object_name(sha256), _OWNER_MODE)

    def _publish_objects(self, spool_paths: dict[str, str]) -> None:
        # Bytes first, names second: otherwise a power cut could leave an object with holes under its SHA-256.
        self._sync_paths(list(spool_paths.values()))
        reached(Step.CONTENT_SYNCED)
        folders = {self._root}
        for sha256, spool_path in spool_paths.items():
            object_path = self._object_name(sha256)
            inner_folder, outer_folder = object_path[:-65], object_path[:-68]
            if inner_folder not in folders:
                os.makedirs(inner_folder, exist_ok=True)
                folders |= {inner_folder, outer_folder}
            os.rename(spool_path, object_path)
        reached(Step.CONTENT_NAMED)
        self._sync_paths(list(folders))
        reached(Step.CONTENT_DURABLE)

    def _sync_paths(self, paths: list[str]) -> None:
        if len(paths) > _MAX_SINGLE_SYNCS:
            sync_filesystem(self.objects)
            return
        for path in paths:
            sync_path(path)

    def discard(self, copies: Iterable[StagedCopy]) -> None:
        """Delete spool copies that will not be archived."""
        for copy in copies:
            if copy.spool_path is not None:
                with suppress(FileNotFoundError):
                    os.unlink(copy.spool_path)

    def clear_spool(self) -> None:
        """Delete copies left by a crash; only with the daemon's lock held, so that no copy is in use."""
        for leftover_path in self.spool.glob("tmp*"):
            leftover_path.unlink(missing_ok=True)

    def destroy(self, digests: Iterable[str]) -> None:
        """Delete objects durably; a missing object is no error, so that a disposal can be repeated after a crash.

        Only for :mod:`archiver.retention.disposal`, which checks that retention has ended.  Raises StorageError.
        """
        folders = set()
        for sha256 in digests:
            path = self.path(sha256)
            allow_deletion(path)
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise StorageError(
                    "The content object {path} cannot be deleted ({reason}). The disposal is not finished; "
                    "nothing "
                    "else was lost. Where the immutable flag protects it, take that off with: archiver protect "
                    "--off; then run the disposal again.",
                    path=path,
                    reason=error.strerror,
                ) from None
            reached(Step.CONTENT_DESTROYED)
            folders.add(os.fspath(path.parent))
        for folder in folders:
            if is_folder(folder):
                sync_path(folder)

    def views(self, sha256: str) -> Iterator[memoryview]:
        """Yield an object's bytes in a buffer of this thread, overwritten each time; raises FileNotFoundError."""
        buffer = self._buffer_of_this_thread()
        with open(self.path(sha256), "rb", buffering=0) as stream:
            while count := stream.readinto(buffer):
                yield buffer[:count]

    def chunks(self, sha256: str) -> Iterator[bytes]:
        """Yield an object's bytes; raises FileNotFoundError."""
        with open(self.path(sha256), "rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk

    def _disk_problem(self, error: OSError) -> StorageError:
        return StorageError(
            "The archive's disk cannot be written at {path} ({reason}). Nothing archived was lost and the "
            "watched folder was not touched. Make room or mend the disk; archiving then goes on by itself.",
            path=self.spool,
            reason=error.strerror,
        )
