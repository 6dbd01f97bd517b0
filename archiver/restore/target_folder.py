"""Write to the folder of a restore through directory descriptors, one component of a path at a time.

Because no component may be a link, a symbolic link planted in the target cannot lead a restore out of the target.
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
from archiver.store.index.restrictions import Restriction

#: The mode of a restored file, before the umask of the user takes rights away.
_NEW_FILE_MODE = 0o666
#: The mode of a restored file that is restricted: only the user who restored it can read it, and decides who else
#: may.
_NEW_RESTRICTED_MODE = 0o600


@dataclass(frozen=True, slots=True)
class RestoreItem:
    """A file or an empty folder to restore."""

    #: Relative to the target, with slashes.
    path: bytes
    material: Material
    #: The restriction that covers the file; None for a file that everybody with access to the archive may read.
    restriction: Restriction | None = None


class TargetFolder:
    """The folder of a restore. Paths inside of it are followed component by component, and never through a link.

    Use it as a context manager, which keeps a descriptor of the folder open inside the ``with`` block. Several
    threads may share it.
    """

    def __init__(self, root: Path, creates_folders: bool) -> None:
        """Prepare to use the folder ``root``, which is opened when the ``with`` block is entered.

        With ``creates_folders``, the methods create missing folders inside of ``root``, but not ``root`` itself.
        """
        self._root = root
        self._creates_folders = creates_folders
        self._root_fd: int | None = None

    def __enter__(self) -> TargetFolder:
        """Open the folder. A missing folder counts as empty. Raises UsageError if opening fails."""
        try:
            # Links are followed here, because the user chose this path.
            self._root_fd = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._root_fd = None
        except OSError as error:
            raise UsageError(
                "Cannot use {path} as a folder ({reason}). Nothing was changed. Choose another folder with --to.",
                path=self._root,
                reason=error.strerror,
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        """Close the folder."""
        if self._root_fd is not None:
            os.close(self._root_fd)

    @contextmanager
    def _open_parent(self, path: bytes) -> Iterator[tuple[int | None, bytes]]:
        """Yield a descriptor of the folder that contains ``path``, and the last component of ``path``.

        The descriptor is closed at the end of the block. It is None if the target or a folder on the way is
        missing, or if a link or a file is in its place. With ``creates_folders``, missing folders are created
        instead, and a link or a file in the way raises OSError.
        """
        *parent_names, entry_name = path.split(b"/")
        if self._root_fd is None:
            yield None, entry_name
            return
        folder_fd = os.dup(self._root_fd)
        try:
            for parent_name in parent_names:
                if self._creates_folders:
                    _create_missing_folder(parent_name, folder_fd)
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                subfolder_fd = os.open(parent_name, flags, dir_fd=folder_fd)
                os.close(folder_fd)
                folder_fd = subfolder_fd
            yield folder_fd, entry_name
        except (FileNotFoundError, NotADirectoryError):
            if self._creates_folders:
                raise
            yield None, entry_name
        finally:
            os.close(folder_fd)

    def stat_entry(self, path: bytes) -> os.stat_result | None:
        """Return the stat data of whatever is at ``path``, a link included; None if nothing is there.

        Raises OSError if a folder on the way cannot be entered.
        """
        with self._open_parent(path) as (parent_fd, entry_name):
            if parent_fd is None:
                return None
            try:
                return os.stat(entry_name, dir_fd=parent_fd, follow_symlinks=False)
            except FileNotFoundError:
                # The usual case: nothing was restored to this folder before.
                return None

    def hash_file(self, path: bytes) -> str:
        """Return the SHA-256 of a regular file, in hexadecimal; an empty string if the file cannot be opened.

        Call this only for a path at which :meth:`stat_entry` found a file. Raises OSError if reading fails.
        """
        with self._open_parent(path) as (parent_fd, entry_name):
            try:
                file_fd = os.open(entry_name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
            except OSError:
                # No digest equals the empty string. So the file counts as differing, and is not overwritten unless
                # the user allows that.
                return ""
            with open(file_fd, "rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()

    def create_folder(self, path: bytes) -> None:
        """Create the folder at ``path`` and all parents, if missing. Raises OSError on failure.

        Does nothing if the target does not exist, or if a parent is missing and ``creates_folders`` is False.
        """
        with self._open_parent(path) as (parent_fd, entry_name):
            if parent_fd is not None:
                _create_missing_folder(entry_name, parent_fd)

    def write_file(self, content: ContentStore, item: RestoreItem) -> int:
        """Write a file under a temporary name, check the bytes, rename the file, and return its size in bytes.

        Raises NotFoundError if the content is missing, StorageError if the content is damaged, OSError if the
        target cannot be written. The temporary file is removed then. After a crash the temporary file remains, and
        another restore ignores it.
        """
        with self._open_parent(item.path) as (parent_fd, entry_name):
            # Several threads may write to the same folder.
            temporary_name = b".archiver-restore-%d-%d" % (os.getpid(), threading.get_ident())
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            file_mode = _NEW_FILE_MODE if item.restriction is None else _NEW_RESTRICTED_MODE
            file_fd = os.open(temporary_name, flags, file_mode, dir_fd=parent_fd)
            is_renamed = False
            try:
                with open(file_fd, "wb", buffering=0) as stream:
                    _copy_verified_content(content, item, stream.fileno())
                    begin_write_out(stream.fileno())
                    _set_mtime(stream.fileno(), item.material.mtime_ns)
                os.rename(temporary_name, entry_name, src_dir_fd=parent_fd, dst_dir_fd=parent_fd)
                is_renamed = True
            finally:
                if not is_renamed:
                    os.unlink(temporary_name, dir_fd=parent_fd)
        return item.material.size


def _set_mtime(file_fd: int, mtime_ns: int) -> None:
    """Set the modification time of an open file, if the filesystem can store that time."""
    # A wrong time is harmless. An error would keep all other files from being restored.
    with suppress(OSError, OverflowError):
        os.utime(file_fd, ns=(mtime_ns, mtime_ns))


def _create_missing_folder(name: bytes, parent_fd: int) -> None:
    """Create the folder ``name`` in an open folder, if it is missing.

    Raises NotADirectoryError if a link or a file has the name, OSError if the folder cannot be created.
    """
    try:
        os.mkdir(name, dir_fd=parent_fd)
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_mode):
            raise NotADirectoryError(f"{names.name_as_text(name)} is in the way") from None


def _copy_verified_content(content: ContentStore, item: RestoreItem, file_fd: int) -> None:
    """Copy the content of a material to an open file, and check the SHA-256 of the copied bytes.

    Raises NotFoundError if the content is missing, StorageError if the content is damaged, OSError if the file
    cannot be written.
    """
    material = item.material
    if material.size == 0:
        return  # an empty file has no content object
    digest = hashlib.sha256()
    try:
        for chunk in content.read_views(material.sha256 or ""):
            digest.update(chunk)
            unwritten_bytes = chunk
            while unwritten_bytes:
                # The kernel may write only a part of the bytes.
                unwritten_bytes = unwritten_bytes[os.write(file_fd, unwritten_bytes) :]
    except FileNotFoundError:
        raise NotFoundError(
            "The archive lacks the content of {path}. This file was not restored; all files before it were "
            "restored. To verify the archive, run: archiver verify",
            path=names.name_as_text(item.path),
        ) from None
    if digest.hexdigest() != material.sha256:
        raise StorageError(
            "The archived content of {path} is damaged. This file was not restored; all files before it were "
            "restored. Recover the object {sha256} from a backup or a clone. To verify the archive, run: "
            "archiver verify",
            path=names.name_as_text(item.path),
            sha256=material.sha256,
        )
