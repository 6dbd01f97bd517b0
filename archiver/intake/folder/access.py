"""Access to the watched folder: in this process, or by child processes if it lies on a network filesystem."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from archiver.intake.folder import encryption, filesystem_id, mounts
from archiver.intake.folder.child_access import PATIENCE_SECONDS, ChildAccess
from archiver.intake.folder.entries import DirectoryEntry, RootIdentity
from archiver.intake.folder.mounts_below import check_mounted
from archiver.intake.folder.nesting import check_folders_not_nested
from archiver.store.content.own_files import OwnFiles, read_log_identities
from archiver.store.content.root_folder import RootFolder
from archiver.store.content.source import FileSource, Source, StatData


class FolderAccess(Protocol):
    """Read the watched folder.

    Paths are relative to the watched folder, which itself is the empty path.  No link is followed, except in the
    path of the watched folder itself.  Every method but :meth:`close` may raise OSError.

    Files and folders of the archive itself, which must not be archived, appear in a listing.  Looking up or
    opening one of them raises OwnFile, which is an OSError.
    """

    #: Paths where filesystems with archived files were mounted before: nothing there can be listed or looked up.
    vanished_mounts: frozenset[bytes]
    #: Paths where an automounter could not mount a filesystem with archived files: nothing there was deleted.
    unmounted_automounts: frozenset[bytes]
    #: True if a refused lease proves that a process of this machine has the file open for writing.
    proves_writers: bool

    def list_folder(self, path: bytes) -> Iterator[DirectoryEntry]:
        """Yield the entries of a folder, in any order, without those of the folders below."""

    def listed_in_turn(self) -> AbstractContextManager[Callable[[bytes], Iterator[DirectoryEntry]]]:
        """Return a context manager whose value is a function that lists a folder, like :meth:`list_folder`.

        The function is faster for a walk that lists each folder soon after the one above, because it may keep some
        folders open.  A listing must have ended before the next one begins.
        """

    def look_up(self, path: bytes) -> DirectoryEntry:
        """Return the entry of a single path, not following a link; raises FileNotFoundError if there is none."""

    def read_link(self, path: bytes) -> bytes:
        """Return the text of a symbolic link."""

    def looked_up_in_turn(self) -> AbstractContextManager[Callable[[bytes], DirectoryEntry]]:
        """Return a context manager whose value is a function that looks up a path, like :meth:`look_up`.

        As with :meth:`opened_in_turn`, the function is faster for successive files of the same folder.
        """

    def root_identity(self) -> RootIdentity:
        """Return what identifies the watched folder itself, even if its path leads to a file."""

    def is_locked(self, path: bytes) -> bool:
        """Return True if the names in a folder are encrypted, and the key is not loaded."""

    def is_own_log(self, path: bytes) -> bool:
        """Return True if the output of this process is redirected to the file."""

    def open(self, path: bytes) -> Source:
        """Open a file, which the caller closes; raises SourceChanged if the path does not lead to a file."""

    def opened_in_turn(self) -> AbstractContextManager[Callable[[bytes], Source]]:
        """Return a context manager whose value is a function that opens a file, like :meth:`open`.

        The function is faster for successive files of the same folder, because it may keep that folder open.  So
        the context should be short.  Only one file may be open at a time.
        """

    def close(self) -> None:
        """Close folders, and end child processes."""


class DirectAccess:
    """Read the watched folder in this process, for local filesystems; see :class:`FolderAccess`."""

    def __init__(self, root: Path | bytes, archive: Path | bytes | None = None) -> None:
        """Give access to the folder ``root``, which may be missing.

        ``archive`` is the folder of the archive, whose files must not be archived; None if there is none to avoid.
        """
        self.root = os.fsencode(root)
        self.vanished_mounts: frozenset[bytes] = frozenset()
        self.unmounted_automounts: frozenset[bytes] = frozenset()
        self.proves_writers = True
        self._root_folder = RootFolder(self.root, OwnFiles(None if archive is None else os.fsencode(archive)))

    def list_folder(self, path: bytes) -> Iterator[DirectoryEntry]:
        """Yield the entries of a folder, which stays open until the iteration ends.

        An entry that is deleted during the listing is left out.  Raises OSError if the folder cannot be listed,
        and OwnFile if it belongs to the archive.
        """
        check_mounted(path, self.vanished_mounts)
        with self._root_folder.opened_folder(path) as folder_descriptor:
            yield from self._list_open_folder(folder_descriptor)

    @contextmanager
    def listed_in_turn(self) -> Iterator[Callable[[bytes], Iterator[DirectoryEntry]]]:
        """Yield a function that lists folders, entering a folder from the one above if that was just listed."""
        with self._root_folder.folder_opener() as open_folder:

            def list_folder(path: bytes) -> Iterator[DirectoryEntry]:
                """Yield the entries of a folder; raises the errors of list_folder."""
                check_mounted(path, self.vanished_mounts)
                return self._list_open_folder(open_folder(path))

            yield list_folder

    def list_names(self, path: bytes) -> list[bytes]:
        """Return the names in a folder, in any order, without a ``stat`` call for each, which may hang.

        Raises OSError if the folder cannot be listed, and OwnFile if it belongs to the archive.
        """
        with (
            self._root_folder.opened_folder(path) as folder_descriptor,
            _open_listing(folder_descriptor) as listing,
        ):
            return [dir_entry.name for dir_entry in listing]

    def look_up(self, path: bytes) -> DirectoryEntry:
        """Return the entry of a single path; a link is not followed."""
        check_mounted(path, self.vanished_mounts)
        return self._as_entry(path, self._root_folder.stat_path(path))

    def read_link(self, path: bytes) -> bytes:
        """Return the text of a symbolic link."""
        folder, _, name = path.rpartition(b"/")
        with self._root_folder.opened_folder(folder) as folder_descriptor:
            return os.readlink(name, dir_fd=folder_descriptor)

    @contextmanager
    def looked_up_in_turn(self) -> Iterator[Callable[[bytes], DirectoryEntry]]:
        """Yield a function that looks up paths, entering a folder once for successive files inside."""
        with self._root_folder.parent_folder_opener() as open_parent_folder:

            def look_up(path: bytes) -> DirectoryEntry:
                """Return the entry of a path below the watched folder; raises the errors of look_up."""
                check_mounted(path, self.vanished_mounts)
                name = path.rpartition(b"/")[2]
                return self._as_entry(path, os.stat(name, dir_fd=open_parent_folder(path), follow_symlinks=False))

            yield look_up

    def root_identity(self) -> RootIdentity:
        """Return the identity of the watched folder itself; links in its path are followed.  Raises OSError."""
        folder_descriptor = os.open(self.root, os.O_PATH | os.O_CLOEXEC)
        try:
            root_stat = os.fstat(folder_descriptor)
            return RootIdentity(
                root_stat.st_dev,
                root_stat.st_ino,
                root_stat.st_mode,
                filesystem_id.read_uuid(folder_descriptor, root_stat.st_dev),
                filesystem_id.read_fsid(folder_descriptor),
            )
        finally:
            os.close(folder_descriptor)

    def is_locked(self, path: bytes) -> bool:
        """Return True if the names in a folder are encrypted, and the key is not loaded.  Raises OSError."""
        with self._root_folder.opened_folder(path) as folder_descriptor:
            return encryption.is_locked(folder_descriptor)

    def is_own_log(self, path: bytes) -> bool:
        """Return True if the output of this process is redirected to the file.  Raises OSError."""
        file_stat = self._root_folder.stat_path(path)
        return (file_stat.st_dev, file_stat.st_ino) in read_log_identities()

    def _list_open_folder(self, folder_descriptor: int) -> Iterator[DirectoryEntry]:
        """Yield the entries of an open folder as :meth:`list_folder` does; the caller closes the folder."""
        # Local names, and tuple.__new__ instead of the classes, save time: a scan lists a million files.
        new_tuple, stat_entry = tuple.__new__, os.stat
        own_files = self._root_folder.own_files
        with _open_listing(folder_descriptor) as listing:
            for dir_entry in listing:
                entry_name = dir_entry.name
                try:
                    entry_stat = stat_entry(entry_name, dir_fd=folder_descriptor, follow_symlinks=False)
                except FileNotFoundError:
                    # The file was deleted after the folder was listed.
                    continue
                except OSError as error:
                    yield _unexaminable_entry(entry_name, error, folder_descriptor)
                    continue
                inode = entry_stat.st_ino
                is_own = (entry_stat.st_dev, inode) in own_files.identities and own_files.contains_file(entry_stat)
                numbers = (entry_stat.st_size, entry_stat.st_mtime_ns, entry_stat.st_ctime_ns, inode)
                fields = (entry_name, entry_stat.st_mode, new_tuple(StatData, numbers), is_own, None)
                yield new_tuple(DirectoryEntry, fields)

    def _as_entry(self, path: bytes, entry_stat: os.stat_result) -> DirectoryEntry:
        """Return the entry of ``path`` with this ``stat`` result; raises OwnFile if it belongs to the archive."""
        self._root_folder.own_files.refuse_own_file(entry_stat, path)
        return DirectoryEntry(path.rpartition(b"/")[2], entry_stat.st_mode, StatData.from_stat_result(entry_stat))

    def open(self, path: bytes) -> Source:
        """Open a file for reading; raises SourceChanged if the path does not lead to a file."""
        return FileSource(self._root_folder, path)

    @contextmanager
    def opened_in_turn(self) -> Iterator[Callable[[bytes], Source]]:
        """Yield a function that opens files, entering a folder once for successive files inside."""
        with self._root_folder.parent_folder_opener(skip_own_check=True) as open_parent_folder:
            yield lambda path: FileSource(self._root_folder, path, open_parent_folder(path))

    def close(self) -> None:
        """Do nothing: no descriptor stays open between two calls."""


def _unexaminable_entry(name: bytes, error: OSError, folder_descriptor: int) -> DirectoryEntry:
    """Return the entry for a name without a result of ``stat``, such as the mount point of a dead FUSE program.

    Raises ``error`` if this user may not examine anything in the folder.
    """
    folder_link = b"/proc/self/fd/%d" % folder_descriptor
    if isinstance(error, PermissionError) and not os.access(folder_link, os.X_OK, effective_ids=True):
        raise error
    return DirectoryEntry(name, 0, StatData.unknown(), error=error.strerror or str(error))


def _open_listing(folder_descriptor: int) -> AbstractContextManager[Iterator[os.DirEntry[bytes]]]:
    """Open the listing of an open folder, with names as bytes; the caller closes it.  Raises OSError.

    The folder is listed by its descriptor's path in /proc: for a descriptor, os.scandir returns names as text, and
    the encoding of some locales (Big5) does not give the bytes of a name back.
    """
    try:
        return os.scandir(b"/proc/self/fd/%d" % folder_descriptor)
    except FileNotFoundError:
        # The folder itself cannot be missing: it is open.
        raise OSError(errno.ENOSYS, "/proc is not mounted") from None


def open_access(root: Path, archive: Path) -> FolderAccess:
    """Return access to the folder ``root``, by child processes if the folder lies on or above a remote mount.

    The access refuses the files of ``archive``.  The caller closes it.

    Raises ConfigError if one of the two folders is, or contains, the other.
    """
    check_folders_not_nested(archive, root)
    return open_access_again(root, os.path.realpath(os.fsencode(root)), archive)


def open_access_again(root: Path, real_path: bytes, archive: Path) -> FolderAccess:
    """Return access as :func:`open_access` does, without a look at the folder, which may hang by now.

    ``real_path`` is the path of ``root`` without links.
    """
    if mounts.find_remote_mount(real_path, mounts.read_mounts()) is None:
        return DirectAccess(root, archive)
    return ChildAccess(root, PATIENCE_SECONDS, archive)
