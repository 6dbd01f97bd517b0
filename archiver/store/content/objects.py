"""Keep content objects: the bytes of each material once, in the layout of Git LFS.

A copy in the spool becomes an object when it is renamed, and its bytes are durable before that.  So every object
is complete, even after a crash.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from archiver.errors import StorageError
from archiver.path_existence import is_folder, is_there
from archiver.store.disk_errors import disk_write_error
from archiver.store.failpoints import Step, announce_step
from archiver.store.fsync import sync_filesystem, sync_path
from archiver.store.permissions import clear_immutable_flag

if TYPE_CHECKING:
    # Imported only when needed: most commands copy nothing, and start sooner without this module.
    from archiver.store.content.spool import Spool, StagedCopy

#: How much is read at once.  Smaller chunks cost more system calls; larger ones save no time, and each thread that
#: reads would occupy more memory.
CHUNK_BYTES = 1 << 20
#: Mode of a copy, and of an object that the reading group may read.
SHARED_MODE = 0o444
#: Mode of an object that only the archive's owner may read.
_OWNER_MODE = 0o400
#: Up to this many files are synced one by one, because ``syncfs`` also waits for the writes of other programs.
#: More single syncs than this take longer than one ``syncfs``.
_MAX_SINGLE_SYNCS = 64


def lfs_pointer(sha256: str, size: int) -> bytes:
    """Return the Git LFS pointer (specification v1) to a content object: the small file that git stores instead.

    The pointer to an empty material is empty, because ``git lfs fsck`` refuses a pointer of size 0.
    """
    if size == 0:
        return b""
    return b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n" % (sha256.encode(), size)


class ContentStore:
    """The content objects of an archive; several threads may use one store at the same time."""

    def __init__(self, objects: Path, spool: Path) -> None:
        """Use the objects in the folder ``objects``, and ``spool`` for copies that are not archived yet.

        Both folders must be on the same filesystem, because copies are renamed from one to the other.
        """
        self.objects_folder = objects
        self._objects_root = os.fspath(objects)
        self._spool_folder = spool
        #: The attribute ``buffer`` belongs to a single thread; see :meth:`_read_buffer`.
        self._thread_local = threading.local()

    @cached_property
    def spool(self) -> Spool:
        """Return the spool for copies that are not archived yet."""
        from archiver.store.content.spool import Spool

        return Spool(self._spool_folder)

    def path(self, sha256: str) -> Path:
        """Return the path of an object, whether or not the object exists."""
        return Path(self._object_path(sha256))

    def _object_path(self, sha256: str) -> str:
        """Return the path of an object as a string; for thousands of paths, pathlib is slower than the disk."""
        return f"{self._objects_root}/{sha256[:2]}/{sha256[2:4]}/{sha256}"

    def has_object(self, sha256: str, size: int) -> bool:
        """Return True if the object exists and has ``size`` bytes; its bytes are not read."""
        try:
            return os.stat(self._object_path(sha256)).st_size == size
        except OSError:
            # The object is missing or cannot be reached: the caller stores the content again.
            return False

    def is_removed(self, sha256: str) -> bool:
        """Return True if somebody removed this object alone: the file is missing, and the folder stands."""
        object_path = self._object_path(sha256)
        try:
            return is_folder(os.path.dirname(object_path)) and not is_there(object_path)
        except OSError:
            # The disk fails, and the caller reports that.
            return False

    def is_intact(self, sha256: str, size: int) -> bool:
        """Read the whole object; return True if it has ``size`` bytes and their SHA-256 is ``sha256``."""
        if not self.has_object(sha256, size):
            return False
        digest = hashlib.sha256()
        try:
            with open(self._object_path(sha256), "rb", buffering=0) as object_file:
                while read_count := object_file.readinto(self._read_buffer()):
                    digest.update(self._read_buffer()[:read_count])
        except OSError:
            # An object that cannot be read counts as damaged.
            return False
        return digest.hexdigest() == sha256

    def _read_buffer(self) -> memoryview:
        """Return the calling thread's own buffer of CHUNK_BYTES, which the first call creates."""
        if not hasattr(self._thread_local, "buffer"):
            self._thread_local.buffer = memoryview(bytearray(CHUNK_BYTES))
        buffer: memoryview = self._thread_local.buffer
        return buffer

    def publish_copies(self, copies: Iterable[StagedCopy]) -> None:
        """Turn every copy in the spool into the content object with the same SHA-256; return when all are durable.

        A copy of an existing object is deleted.  After a crash, an object either exists as a whole or not at all,
        and copies may stay in the spool until :meth:`Spool.clear` is called.  Raises StorageError if the archive's
        disk cannot be written.
        """
        spool_paths: dict[str, str] = {}
        try:
            for copy in copies:
                if copy.spool_path is None:
                    continue
                if copy.is_private:
                    self._restrict_copy_to_owner(copy)
                if copy.sha256 in spool_paths or self.has_object(copy.sha256, copy.stat_data.size):
                    # An earlier attempt may have published this copy before it failed.
                    with suppress(FileNotFoundError):
                        os.unlink(copy.spool_path)
                else:
                    spool_paths[copy.sha256] = copy.spool_path
            if spool_paths:
                self._publish_objects(spool_paths)
        except OSError as error:
            raise disk_write_error(self._spool_folder, error) from error

    def _restrict_copy_to_owner(self, copy: StagedCopy) -> None:
        """Let only the archive's owner read a copy, and any object with the same bytes."""
        # The copy is missing if an earlier attempt has published it.
        with suppress(FileNotFoundError):
            os.chmod(copy.spool_path or "", _OWNER_MODE)
        with suppress(OSError):
            # Usually the object does not exist yet.  If it does, a material that is not sensitive may have the
            # same bytes.
            self.restrict_to_owner(copy.sha256)

    def restrict_to_owner(self, sha256: str) -> None:
        """Let only the archive's owner read an object; raises OSError if the object is missing or immutable."""
        os.chmod(self._object_path(sha256), _OWNER_MODE)

    def share_with_group(self, sha256: str) -> None:
        """Let the reading group read an object again; raises OSError if the object is missing or immutable."""
        os.chmod(self._object_path(sha256), SHARED_MODE)

    def is_open_to_others(self, sha256: str) -> bool:
        """Return True if not only the archive's owner may read an object; raises OSError for a missing object."""
        return os.stat(self._object_path(sha256)).st_mode & SHARED_MODE & ~_OWNER_MODE != 0

    def _publish_objects(self, spool_paths: dict[str, str]) -> None:
        """Rename copies to objects that do not exist yet, durably; raises OSError.

        ``spool_paths`` has the path of each copy by the SHA-256.
        """
        # The bytes become durable before the names: otherwise a power cut could leave an incomplete object.
        self._sync_paths(list(spool_paths.values()))
        announce_step(Step.CONTENT_SYNCED)
        changed_folders = {self._objects_root}
        for sha256, spool_path in spool_paths.items():
            # An object is two folders deep: .../ab/cd/abcd...
            outer_folder = f"{self._objects_root}/{sha256[:2]}"
            inner_folder = f"{outer_folder}/{sha256[2:4]}"
            changed_folders |= {inner_folder, outer_folder}
            object_path = f"{inner_folder}/{sha256}"
            try:
                os.rename(spool_path, object_path)
            except FileNotFoundError:
                _make_object_folder(inner_folder)
                os.rename(spool_path, object_path)
        announce_step(Step.CONTENT_NAMED)
        self._sync_paths(list(changed_folders))
        announce_step(Step.CONTENT_DURABLE)

    def _sync_paths(self, paths: list[str]) -> None:
        """Make files or folders of the archive durable: one by one or, if there are many, with one ``syncfs``.

        Raises OSError if any of them cannot be synced.
        """
        if len(paths) > _MAX_SINGLE_SYNCS:
            sync_filesystem(self.objects_folder)
            return
        for path in paths:
            sync_path(path)

    def destroy_objects(self, sha256_digests: Iterable[str]) -> None:
        """Delete the objects with these SHA-256 values, durably.

        Only :mod:`archiver.retention.disposal` may call this, which checks that retention has ended.  A missing
        object is no error, so that a disposal can be repeated after a crash.

        Raises StorageError for the first object that cannot be deleted, and if the deletions cannot be made
        durable.
        """
        changed_folders = set()
        for sha256 in sha256_digests:
            object_path = self.path(sha256)
            clear_immutable_flag(object_path)
            try:
                object_path.unlink(missing_ok=True)
            except OSError as error:
                raise StorageError(
                    "Cannot delete the object {path} ({reason}). The disposal is incomplete. Fix this, then run "
                    "the disposal again. If the object has the immutable flag, first run: archiver protect --off",
                    path=object_path,
                    reason=error.strerror,
                ) from None
            announce_step(Step.CONTENT_DESTROYED)
            changed_folders.add(os.fspath(object_path.parent))
        self._sync_deletions(changed_folders)

    def _sync_deletions(self, changed_folders: Iterable[str]) -> None:
        """Make the deletions in ``changed_folders`` durable, and skip missing folders; raises StorageError."""
        for folder in changed_folders:
            try:
                if is_folder(folder):
                    sync_path(folder)
            except OSError as error:
                raise StorageError(
                    "Cannot make the deletions in {path} durable ({reason}). The disposal is incomplete. Check "
                    "the disk, then run the disposal again.",
                    path=folder,
                    reason=error.strerror,
                ) from None

    def read_views(self, sha256: str) -> Iterator[memoryview]:
        """Yield an object's bytes, chunk by chunk, as views of a buffer that the next chunk overwrites.

        Faster than :meth:`read_chunks`, but a thread may read only one object at a time in this way.  Raises
        OSError when a chunk is requested, FileNotFoundError for a missing object.
        """
        buffer = self._read_buffer()
        with open(self.path(sha256), "rb", buffering=0) as object_file:
            while read_count := object_file.readinto(buffer):
                yield buffer[:read_count]

    def read_chunks(self, sha256: str) -> Iterator[bytes]:
        """Yield an object's bytes, chunk by chunk; raises OSError (FileNotFoundError for a missing object)."""
        with open(self.path(sha256), "rb") as object_file:
            while chunk := object_file.read(CHUNK_BYTES):
                yield chunk


def _make_object_folder(inner_folder: str) -> None:
    """Create the folder of an object, and the folder above unless it exists; raises OSError."""
    # Most objects of a large capture need a folder, and os.makedirs looks for the upper one each time.
    try:
        os.mkdir(inner_folder)
    except FileExistsError:
        pass  # another reading process has just created the folder
    except FileNotFoundError:
        os.makedirs(inner_folder, exist_ok=True)
