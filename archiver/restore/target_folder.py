"""The folder to restore to, written through directory descriptors, component by component.

A link planted in the target cannot lead a restore out of it.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from archiver.errors import NotFoundError, StorageError, UsageError
from archiver.model import Material
from archiver.store import names
from archiver.store.content.objects import ContentStore
from archiver.store.fsync import begin_write_out


@dataclass(frozen=True, slots=True)
class RestoreItem:
    """A file or empty folder to write."""

    #: Relative to the target.
    path: bytes
    material: Material


class TargetFolder:
    """The folder to restore to, entered component by component without following links.

    Holds an open descriptor of the folder inside a ``with`` block. Safe to use from several threads.
    """

    def __init__(self, root: Path, create: bool) -> None:
        self._root = root
        self._create = create
        self._root_fd: int | None = None

    def __enter__(self) -> TargetFolder:
        try:
            self._root_fd = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._root_fd = None
        except OSError as error:
            raise UsageError(
                "{path} cannot be used as a folder ({reason}). Nothing was written. Choose another one with --to.",
                path=self._root,
                reason=error.strerror,
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        if self._root_fd is not None:
            os.close(self._root_fd)

    @contextmanager
    def _open_parent(self, path: bytes) -> Iterator[tuple[int | None, bytes]]:
        """Yield a descriptor of the folder with ``path``, and the last name; close the descriptor afterwards.

        The descriptor is None if a folder on the way is missing, or is a link or a file. With ``create`` missing
        folders are made, and anything else in the way raises OSError.
        """
        *parent_names, name = path.split(b"/")
        if self._root_fd is None:
            yield None, name
            return
        folder_fd = os.dup(self._root_fd)
        try:
            for parent_name in parent_names:
                if self._create:
                    _ensure_folder(parent_name, folder_fd)
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                deeper_fd = os.open(parent_name, flags, dir_fd=folder_fd)
                os.close(folder_fd)
                folder_fd = deeper_fd
            yield folder_fd, name
        except (FileNotFoundError, NotADirectoryError):
            if self._create:
                raise
            yield None, name
        finally:
            os.close(folder_fd)

    def stat_file(self, path: bytes) -> os.stat_result | None:
        """Return the stat data of a file in the target, without following a link; None without a file."""
        with self._open_parent(path) as (folder_fd, name):
            if folder_fd is None:
                return None
            try:
                return os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
            except FileNotFoundError:
                # The usual case: nothing was restored to this target before.
                return None

    def hash_file(self, path: bytes) -> str:
        """Return the SHA-256 of a regular file in the target; empty if the file cannot be read."""
        with self._open_parent(path) as (folder_fd, name):
            try:
                file_fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder_fd)
            except OSError:
                # A file that cannot be compared counts as differing, so nothing overwrites it without leave.
                return ""
            with open(file_fd, "rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()

    def make_folder(self, path: bytes) -> None:
        """Make an empty folder, unless the folder exists; raises OSError."""
        with self._open_parent(path) as (folder_fd, name):
            if folder_fd is not None:
                _ensure_folder(name, folder_fd)

    def write_file(self, content: ContentStore, item: RestoreItem) -> int:
        """Write a file under a temporary name, check the bytes, then rename the file; return the size.

        Raises NotFoundError or StorageError for content that is missing or damaged, and OSError. The target has no
        incomplete file then, only after a crash one with a temporary name.
        """
        with self._open_parent(item.path) as (folder_fd, name):
            temporary_name = b".archiver-restore-%d-%d" % (os.getpid(), threading.get_ident())
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            file_fd = os.open(temporary_name, flags, 0o666, dir_fd=folder_fd)
            is_renamed = False
            try:
                with open(file_fd, "wb", buffering=0) as stream:
                    _copy_and_check(content, item, stream.fileno())
                    begin_write_out(stream.fileno())
                    _set_mtime(stream.fileno(), item.material.mtime_ns)
                os.rename(temporary_name, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
                is_renamed = True
            finally:
                if not is_renamed:
                    os.unlink(temporary_name, dir_fd=folder_fd)
        return item.material.size


def _set_mtime(file_fd: int, mtime_ns: int) -> None:
    # The bytes are what counts: a time that this filesystem cannot hold must not stop the other files.
    with suppress(OSError, OverflowError):
        os.utime(file_fd, ns=(mtime_ns, mtime_ns))


def _ensure_folder(name: bytes, parent_fd: int) -> None:
    """Make a folder unless it exists; raises NotADirectoryError for a link or file with the name."""
    try:
        os.mkdir(name, dir_fd=parent_fd)
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_mode):
            raise NotADirectoryError(f"{names.text(name)} is in the way") from None


def _copy_and_check(content: ContentStore, item: RestoreItem, file_fd: int) -> None:
    """Copy archived content to an open file, and compare the digest of the copied bytes.

    Raises NotFoundError for missing, StorageError for damaged content.
    """
    material = item.material
    if material.size == 0:
        return
    digest = hashlib.sha256()
    try:
        for chunk in content.views(material.sha256 or ""):
            digest.update(chunk)
            unwritten = chunk
            while unwritten:
                unwritten = unwritten[os.write(file_fd, unwritten) :]
    except FileNotFoundError:
        raise NotFoundError(
            "The content of {path} is not in the archive. It was not restored; everything before it was. "
            "Run archiver verify.",
            path=names.text(item.path),
        ) from None
    if digest.hexdigest() != material.sha256:
        raise StorageError(
            "The archived content of {path} is damaged. It was not restored; everything before it was. "
            "Run archiver verify, and bring the object {sha256} back from a backup or a clone.",
            path=names.text(item.path),
            sha256=material.sha256,
        )
