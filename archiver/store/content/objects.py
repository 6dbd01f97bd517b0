"""Content objects: the bytes of materials, once each, in the layout of Git LFS.

An object is read once: the bytes that are hashed are the bytes that are written.
It gets its final name only after it is durable, so that an object under its
SHA-256 is whole after any crash.
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
from archiver.existence import is_folder
from archiver.store.content.copier import Copier, WriteFailed
from archiver.store.content.source import Source, StatData, Unstable
from archiver.store.failpoints import Step, reached
from archiver.store.fsync import sync_filesystem, sync_path
from archiver.store.permissions import allow_deletion

CHUNK_BYTES = 1 << 20
_SHARED, _PRIVATE = 0o444, 0o400
#: Up to here each file is synced by itself: ``syncfs`` would also flush whatever
#: other programs have just written to the same filesystem.
_SYNC_EACH = 64

#: Two ticks of the slowest kernel clock (HZ=100), which is what ctime counts in.
_TICK_NS = 20_000_000


@dataclass(frozen=True, slots=True)
class Staged:
    """A copy in the spool, hashed but not durable yet.

    ``fresh``: the file had changed so shortly before that a second change would
    bear the same time, so its signature cannot be trusted and it is read again.
    ``health``: what was noted of the copy; ``private``: nobody but the owner may read it.
    """

    sha256: str
    signature: StatData
    spool: str | None
    fresh: bool = False
    health: str = ""
    private: bool = False


def pointer(sha256: str, size: int) -> bytes:
    """The Git LFS pointer of a content object (specification v1).

    Empty for an empty material: ``git lfs fsck`` refuses a pointer of size 0.
    """
    if size == 0:
        return b""
    return b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n" % (sha256.encode(), size)


class ContentStore:
    """The content objects below ``archive.git/lfs/objects``."""

    def __init__(self, objects: Path, spool: Path) -> None:
        self.objects = objects
        self._root = os.fspath(objects)
        self.spool = spool
        self._mine = threading.local()

    def path(self, sha256: str) -> Path:
        """Where the object lies, whether or not it exists."""
        return Path(self._name(sha256))

    def _name(self, sha256: str) -> str:
        # Thousands of these in a row: pathlib would take longer than the disk.
        return f"{self._root}/{sha256[:2]}/{sha256[2:4]}/{sha256}"

    def has(self, sha256: str, size: int) -> bool:
        """Whether a whole object of that size is in place."""
        try:
            return os.stat(self._name(sha256)).st_size == size
        except OSError:
            return False

    def is_intact(self, sha256: str, size: int) -> bool:
        """Read the object and return True if its bytes still have that name."""
        if not self.has(sha256, size):
            return False
        digest = hashlib.sha256()
        try:
            with open(self._name(sha256), "rb", buffering=0) as stream:
                while count := stream.readinto(self._buffer()):
                    digest.update(self._buffer()[:count])
        except OSError:
            # An unreadable object is as bad as a missing one.
            return False
        return digest.hexdigest() == sha256

    def stage(self, source: Source, proceed: Callable[[], None] = lambda: None) -> Staged:
        """Copy ``source`` into the spool while hashing it.

        ``proceed`` is called before each piece is written and may raise to give it up.
        Raises Unstable when it changed meanwhile, OSError when it cannot be
        read, StorageError when the archive's disk cannot take it.
        """
        signature = source.signature
        fresh = abs(clock.wall_ns() - signature.ctime_ns) < _TICK_NS
        if signature.size == 0:
            staged = Staged(hashlib.sha256().hexdigest(), signature, None, fresh)
        else:
            staged = self._copy(source, fresh, proceed)
        try:
            if not source.is_unchanged():
                raise Unstable
        except (Unstable, OSError):
            self.discard([staged])
            raise
        return staged

    def _copy(self, source: Source, fresh: bool, proceed: Callable[[], None]) -> Staged:
        try:
            out, name = tempfile.mkstemp(dir=self.spool)
        except OSError as error:
            raise self._full(error) from error
        kept = False
        try:
            digest = self._pump(source, out, proceed)
            os.fchmod(out, _SHARED)
            kept = True
        finally:
            os.close(out)
            if not kept:
                os.unlink(name)
        reached(Step.CONTENT_STAGED)
        return Staged(digest, source.signature, name, fresh)

    def _pump(self, source: Source, out: int, proceed: Callable[[], None]) -> str:
        digest = hashlib.sha256()
        size = source.signature.size

        def advance(total: int) -> None:
            proceed()
            if total > size:
                raise Unstable

        try:
            copier = self._copier()
            total = copier.copy(source.readinto, out, size, [digest], advance)
            copier.wait()
        except WriteFailed as error:
            raise self._full(error) from error
        if total != size:
            raise Unstable
        return digest.hexdigest()

    def _copier(self) -> Copier:
        if not hasattr(self._mine, "copier"):
            self._mine.copier = Copier()
        copier: Copier = self._mine.copier
        return copier

    def _buffer(self) -> memoryview:
        if not hasattr(self._mine, "buffer"):
            self._mine.buffer = memoryview(bytearray(CHUNK_BYTES))
        buffer: memoryview = self._mine.buffer
        return buffer

    def publish(self, staged: Iterable[Staged]) -> None:
        """Make every staged object durable under its SHA-256.

        Returns only after the names are durable too; raises StorageError.
        """
        new: dict[str, str] = {}
        for item in staged:
            if item.spool is None:
                continue
            if item.private:
                self._hide(item)
            if item.sha256 in new or self.has(item.sha256, item.signature.size):
                os.unlink(item.spool)
            else:
                new[item.sha256] = item.spool
        if not new:
            return
        try:
            self._publish(new)
        except OSError as error:
            raise self._full(error) from error

    def _hide(self, item: Staged) -> None:
        os.chmod(item.spool or "", _PRIVATE)
        with suppress(OSError):
            # It is there already, under a name that nobody called sensitive.
            self.make_private(item.sha256)

    def make_private(self, sha256: str) -> None:
        """Leave an object to its owner alone; raises OSError, also where it is immutable."""
        os.chmod(self._name(sha256), _PRIVATE)

    def _publish(self, new: dict[str, str]) -> None:
        # Crash window: bytes first, names second. The other way round a power cut
        # could leave a whole-looking object with holes under its SHA-256.
        self._sync(list(new.values()))
        reached(Step.CONTENT_SYNCED)
        folders = {self._root}
        for sha256, spool in new.items():
            target = self._name(sha256)
            inner, outer = target[:-65], target[:-68]
            if inner not in folders:
                os.makedirs(inner, exist_ok=True)
                folders |= {inner, outer}
            os.rename(spool, target)
        reached(Step.CONTENT_NAMED)
        self._sync(list(folders))
        reached(Step.CONTENT_DURABLE)

    def _sync(self, paths: list[str]) -> None:
        if len(paths) > _SYNC_EACH:
            sync_filesystem(self.objects)
            return
        for path in paths:
            sync_path(path)

    def discard(self, staged: Iterable[Staged]) -> None:
        """Drop spool copies that will not be archived."""
        for item in staged:
            if item.spool is not None:
                with suppress(FileNotFoundError):
                    os.unlink(item.spool)

    def clear_spool(self) -> None:
        """Remove copies that a crash left behind; only with the daemon's lock held."""
        for leftover in self.spool.glob("tmp*"):
            leftover.unlink(missing_ok=True)

    def destroy(self, going: Iterable[str]) -> None:
        """Delete objects, durably; those that are gone already are no error.

        Only for :mod:`archiver.retention.disposal`.  Raises StorageError.
        """
        folders = set()
        for sha256 in going:
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
        """The object's bytes in one buffer of this thread's, overwritten each time; raises FileNotFoundError."""
        buffer = self._buffer()
        with open(self.path(sha256), "rb", buffering=0) as stream:
            while count := stream.readinto(buffer):
                yield buffer[:count]

    def chunks(self, sha256: str) -> Iterator[bytes]:
        """The object's bytes; raises FileNotFoundError."""
        with open(self.path(sha256), "rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk

    def _full(self, error: OSError) -> StorageError:
        return StorageError(
            "The archive's disk cannot be written at {path} ({reason}). Nothing archived was lost and the "
            "watched folder was not touched. Make room or mend the disk; archiving then goes on by itself.",
            path=self.spool,
            reason=error.strerror,
        )
