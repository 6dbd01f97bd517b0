"""Compare the watched folder with the snapshot in a single walk, without reading a file.

The *snapshot* is ``state.db``: the state of each path when it was last archived.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from archiver.intake.absence.absent_folders import AbsentFolders, folders_on_path
from archiver.intake.exclusion.ignore_rules import IgnoreRules
from archiver.intake.exclusion.pointer_files import POINTER_FILES_BY_SUFFIX
from archiver.intake.exclusion.stand_ins import find_in_folder
from archiver.intake.folder.access import FolderAccess
from archiver.intake.folder.entries import DirectoryEntry
from archiver.intake.path_reasons import (
    IGNORED,
    LIMIT_CODES,
    LOCKED_FOLDER,
    NO_LONGER_CAPTURED,
    NOT_MOUNTED_FOLDER,
    OWN,
    OWN_LOG,
    SPECIAL_FILES,
    TOO_DEEP,
    TOO_LONG,
    UNREADABLE_ENTRY,
    UNREADABLE_FILE_CODES,
    UNREADABLE_FOLDER,
)
from archiver.intake.snapshot import FOLDER, SkippedPath, Snapshot, State, StoredState, decode_stored_state
from archiver.store import names
from archiver.store.content.own_files import OwnFile
from archiver.store.content.source import StatData

#: Reasons of folders that cannot be read, or of entries that may be such a folder.
_UNSEEN_CODES = frozenset(
    {
        *(UNREADABLE_FOLDER.code, LOCKED_FOLDER.code, NOT_MOUNTED_FOLDER.code, UNREADABLE_ENTRY.code),
        *(TOO_DEEP.code, TOO_LONG.code),
    }
)
#: Number of an error in listing a folder -> the reason.
_REASON_BY_ERROR = {errno.ENOKEY: LOCKED_FOLDER, errno.ENODEV: NOT_MOUNTED_FOLDER}
#: Reasons not to enter a folder. Changes in it are not seen, so everything in it counts as unchanged.
_NOT_ENTERED_CODES = _UNSEEN_CODES | {OWN.code, OWN_LOG.code, IGNORED.code, NO_LONGER_CAPTURED.code}
#: Reasons that keep a path out of the archive although it belongs there.
_UNREADABLE_CODES = _UNSEEN_CODES | LIMIT_CODES | UNREADABLE_FILE_CODES

#: The last four characters of the names that :func:`find_in_folder` recognizes by their suffix.
_POINTER_ENDINGS = frozenset((b"." + suffix)[-4:] for suffix in POINTER_FILES_BY_SUFFIX)

#: Levels of folders. From version 2.43 on, git reads no tree deeper than 2,048 levels: a deeper file would make
#: every export fail.
_MAX_DEPTH = 2000
#: Each path below a long path repeats it. At ten times this limit, a thousand such files would fill the memory.
_MAX_PATH_BYTES = 1 << 16
#: The bits of ``st_mode`` that ``stat.S_IFMT`` keeps. A mask is faster than a call for each of a million files.
_TYPE_BITS = 0o170000


def is_unreadable(skipped_path: SkippedPath) -> bool:
    """Return True if the path should be archived, and cannot be read or exceeds a limit."""
    return skipped_path.code in _UNREADABLE_CODES


@dataclass(slots=True)
class ScanResult:
    """The differences between a folder and the snapshot; all paths are relative to the watched folder."""

    #: Path -> its present state, if that differs from the snapshot; None for a path that is deleted.
    changed: dict[bytes, State] = field(default_factory=dict)
    #: Those of the changed files that the snapshot does not have, so that nobody needs to look them up again.
    new_files: set[bytes] = field(default_factory=set)
    #: Paths that are not archived, with the reason, in no particular order.
    skipped: list[SkippedPath] = field(default_factory=list)
    #: Files that are archived, but stand for a document that is somewhere else, with the reason.
    stand_ins: list[SkippedPath] = field(default_factory=list)
    #: Inode -> path of every subfolder, to compare with the folders that the kernel watches.
    folders: dict[int, bytes] = field(default_factory=dict)

    @property
    def listed_paths(self) -> list[SkippedPath]:
        """Return the paths for ``archiver status``: those that are not archived, and the stand-ins."""
        return [*self.skipped, *self.stand_ins]


class Scanner:
    """Walk the watched folder, and compare its files with a snapshot; keeps nothing between two scans."""

    def __init__(self, access: FolderAccess, ignore_rules: IgnoreRules) -> None:
        """Scan the folder that ``access`` reads, without the names that match ``ignore_rules``.

        The caller closes ``access``.
        """
        self._access = access
        self._ignore_rules = ignore_rules

    def scan(self, snapshot: Snapshot, start_folder: bytes = b"") -> ScanResult:
        """Compare everything at or below ``start_folder`` with the snapshot; empty is the whole watched folder.

        Paths below a folder that cannot be read or has an ignored name count as unchanged, never as deleted; so
        does an archived file whose name is ignored now.  If ``start_folder`` is ignored, or lies in an ignored
        folder, the result is empty.

        Raises FileNotFoundError or NotADirectoryError if ``start_folder`` is the watched folder, and missing or
        not a folder.  Any other missing folder counts as deleted.
        """
        scan_result = ScanResult()
        if start_folder and self.is_ignored(start_folder, is_folder=True):
            return scan_result
        visited_folders: set[bytes] = set()
        unvisited_folders = [start_folder]
        with self._access.listed_in_turn() as list_folder:
            while unvisited_folders:
                folder = unvisited_folders.pop()
                try:
                    unvisited_folders += self._compare_folder(folder, list_folder, snapshot, scan_result)
                except (FileNotFoundError, NotADirectoryError):
                    if not folder:
                        raise
                    # The folder was deleted, perhaps after its parent was listed.  Its files are added below.
                    continue
                except OwnFile as error:
                    scan_result.skipped.append(SkippedPath(error.path, OWN.code))
                    continue
                except OSError as error:
                    scan_result.skipped.append(_explain_unlisted_folder(folder, error))
                    continue
                visited_folders.add(folder)
        self._add_deleted_folders(snapshot, start_folder, visited_folders, scan_result)
        return scan_result

    def is_ignored(self, path: bytes, is_folder: bool) -> bool:
        """Return True if the name of ``path``, or of a folder above it, matches an ignore pattern."""
        return self._ignore_rules.covers(path, is_folder)

    def read_state(self, path: bytes) -> State:
        """Return the present state of a path; for a folder FOLDER, even if it is not empty.

        Returns None if nothing is at the path, or something that is not archived, such as a link or an ignored
        file.

        Raises OSError if the path cannot be looked at, or is too deep or too long to be archived.
        """
        return self._read_state(path, self._access.look_up)

    @property
    def proves_writers(self) -> bool:
        """Return True if a refused lease proves that a process of this machine has the file open for writing."""
        return self._access.proves_writers

    @contextmanager
    def states_read_in_turn(self) -> Iterator[Callable[[bytes], State]]:
        """Yield a function like :meth:`read_state` that is faster for successive paths in the same folder."""
        with self._access.looked_up_in_turn() as look_up:
            yield lambda path: self._read_state(path, look_up)

    def _read_state(self, path: bytes, look_up: Callable[[bytes], DirectoryEntry]) -> State:
        """Return the state of a path as :meth:`read_state` does, by means of the function ``look_up``."""
        if _find_exceeded_limit(path.rpartition(b"/")[0]) is not None:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        try:
            entry = look_up(path)
        except (FileNotFoundError, NotADirectoryError):
            # The path was deleted, or a folder above it became a file.
            return None
        if stat.S_ISDIR(entry.mode):
            return FOLDER
        if stat.S_ISREG(entry.mode) and self._ignore_rules.matching_pattern(entry.name) is None:
            return entry.stat_data
        return None

    def is_empty_folder(self, path: bytes) -> bool:
        """Return True if a folder is at the path and nothing is in it; raises OSError."""
        try:
            return next(self._access.list_folder(path), None) is None
        except (FileNotFoundError, NotADirectoryError):
            # The folder was deleted, or a file replaced it.
            return False

    def _compare_folder(
        self,
        folder: bytes,
        list_folder: Callable[[bytes], Iterator[DirectoryEntry]],
        snapshot: Snapshot,
        scan_result: ScanResult,
    ) -> list[bytes]:
        """Compare the entries of a folder with the snapshot, and add the differences to ``scan_result``.

        Returns the paths of the folders directly below, which are still to be compared.

        Raises OSError if the folder cannot be read to the end, with the number ENOKEY if it is locked; nothing is
        added to ``scan_result`` then.
        """
        entries = list_folder(folder)
        # Name -> archived state.  The loop removes each name that it finds, so that only deleted names remain.
        unseen_states = snapshot.stored_states(folder)
        prefix = folder + b"/" if folder else b""
        subfolders: dict[bytes, int] = {}
        skipped_paths: list[SkippedPath] = []
        changed_states: dict[bytes, State] = {}
        new_files: list[bytes] = []
        is_empty = True
        stand_in_names: list[tuple[bytes, int]] = []
        # Local names save time, because a scan compares a million files.
        matching_pattern, take_archived_state = self._ignore_rules.matching_pattern, unseen_states.pop
        for entry_name, entry_mode, stat_data, is_own, error in entries:
            is_empty = False
            archived_state = take_archived_state(entry_name, None)
            file_type = entry_mode & _TYPE_BITS
            pattern = matching_pattern(entry_name, file_type == stat.S_IFDIR)
            if file_type == stat.S_IFREG and not is_own and pattern is None:
                # Few files have one of the suffixes or no content, so a cheap comparison comes first.
                if entry_name[-4:].lower() in _POINTER_ENDINGS or stat_data.size == 0:
                    stand_in_names.append((entry_name, stat_data.size))
                if stat_data != archived_state and not _is_same_state(archived_state, stat_data):
                    changed_states[prefix + entry_name] = stat_data
                    if archived_state is None:
                        new_files.append(prefix + entry_name)
                continue
            entry_path = prefix + entry_name
            if file_type != stat.S_IFDIR or is_own or pattern is not None:
                is_archived = archived_state is not None or snapshot.has_entries_below(entry_path)
                skipped_paths.append(
                    SkippedPath(entry_path, UNREADABLE_ENTRY.code, error)
                    if error is not None and pattern is None
                    else self._explain_skipped_path(
                        entry_path, file_type, pattern, is_own=is_own, is_archived=is_archived
                    )
                )
                if archived_state is not None and not is_own and pattern is None and error is None:
                    # The archived file or folder was replaced by something that is not archived.
                    changed_states[entry_path] = None
            elif (skipped_folder := _find_exceeded_limit(entry_path)) is not None:
                skipped_paths.append(skipped_folder)
            else:
                subfolders[entry_path] = stat_data.inode
                if archived_state is not None and archived_state != FOLDER:
                    # The archived file was replaced by a folder.
                    changed_states[entry_path] = FOLDER
        changed_states |= _find_new_empty_folder(folder, is_empty, snapshot)
        changed_states.update((prefix + entry_name, None) for entry_name in unseen_states)
        # The names of a locked folder are never the archived ones, so a scan without changes need not ask.
        self._check_not_locked(folder, has_changes=bool(changed_states))
        # Only now, because a folder that cannot be read to the end counts as not read at all.
        scan_result.changed.update(changed_states)
        scan_result.new_files.update(new_files)
        scan_result.stand_ins += find_in_folder(prefix, stand_in_names)
        scan_result.skipped += skipped_paths
        scan_result.folders.update((inode, path) for path, inode in subfolders.items())
        return list(subfolders)

    def _check_not_locked(self, folder: bytes, *, has_changes: bool) -> None:
        """Raise an OSError with the number ENOKEY if the folder has changes because it is locked."""
        if has_changes and self._access.is_locked(folder):
            raise OSError(errno.ENOKEY, os.strerror(errno.ENOKEY))

    def _explain_skipped_path(
        self, path: bytes, file_type: int, pattern: str | None, *, is_own: bool, is_archived: bool
    ) -> SkippedPath:
        """Return a path that is not archived, with the reason.

        ``file_type`` is a value of ``stat.S_IFMT``, and ``pattern`` the ignore pattern that matches.  ``is_own``
        is True if the file belongs to the archive, ``is_archived`` if something at or below the path is archived.
        """
        if is_own:
            return SkippedPath(path, (OWN_LOG if self._is_own_log(path, file_type) else OWN).code)
        if pattern is not None:
            # If the name was not ignored before, the archived content stays in the newest version.
            return SkippedPath(path, (NO_LONGER_CAPTURED if is_archived else IGNORED).code, pattern)
        return SkippedPath(path, SPECIAL_FILES.get(file_type, IGNORED).code, self._describe_link(path, file_type))

    def _is_own_log(self, path: bytes, file_type: int) -> bool:
        """Return True if the output of this process is redirected to the file."""
        try:
            return file_type == stat.S_IFREG and self._access.is_own_log(path)
        except OSError:
            # The log was renamed since the folder was listed.  The next scan looks again.
            return False

    def _describe_link(self, path: bytes, file_type: int) -> str:
        """Return where a link leads, as text; empty for anything else, and for a link that cannot be read."""
        if file_type != stat.S_IFLNK:
            return ""
        try:
            return names.name_as_text(self._access.read_link(path))
        except OSError:
            # The link was deleted or replaced since the folder was listed.  The next scan looks again.
            return ""

    def _add_deleted_folders(
        self, snapshot: Snapshot, start_folder: bytes, visited_folders: set[bytes], scan_result: ScanResult
    ) -> None:
        """Add the archived entries of deleted folders at or below ``start_folder`` to ``scan_result``, as deleted.

        A folder is deleted if it was not visited, unless it is at or below a folder that could not be entered.
        """
        not_entered_paths = {
            skipped_path.path for skipped_path in scan_result.skipped if skipped_path.code in _NOT_ENTERED_CODES
        }
        absent_folders = AbsentFolders(self._access, visited_folders)
        # The mount point itself may be missing as well.
        unlisted_mounts = absent_folders.find_vanished_mounts(start_folder) - not_entered_paths
        scan_result.skipped += [SkippedPath(path, NOT_MOUNTED_FOLDER.code) for path in unlisted_mounts]
        not_entered_paths |= unlisted_mounts
        for folder in snapshot.folders_below(start_folder):
            if folder in visited_folders or not not_entered_paths.isdisjoint(folders_on_path(folder)):
                continue
            if absent_folders.is_hidden(folder):
                continue
            for entry_name in snapshot.folder_entries(folder):
                scan_result.changed[folder + b"/" + entry_name if folder else entry_name] = None
        scan_result.skipped += [SkippedPath(path, LOCKED_FOLDER.code) for path in absent_folders.locked_folders]


def _is_same_state(stored_state: StoredState | None, stat_data: StatData) -> bool:
    """Return True if a stored state is the state of a file with ``stat_data``."""
    return stored_state is not None and decode_stored_state(stored_state) == stat_data


def _explain_unlisted_folder(folder: bytes, error: OSError) -> SkippedPath:
    """Return a folder that could not be listed because of ``error``, with the reason."""
    if (reason := _REASON_BY_ERROR.get(error.errno or 0)) is not None:
        return SkippedPath(folder, reason.code)
    return SkippedPath(folder, UNREADABLE_FOLDER.code, error.strerror or "")


def _find_new_empty_folder(folder: bytes, is_empty: bool, snapshot: Snapshot) -> dict[bytes, State]:
    """Return ``folder`` with its state if it is empty and not archived yet; the watched folder never counts."""
    return {folder: FOLDER} if is_empty and folder and snapshot.archived_state(folder) != FOLDER else {}


def _find_exceeded_limit(folder: bytes) -> SkippedPath | None:
    """Return ``folder`` with the reason if the path is too deep or too long to archive anything inside.

    Returns None for a folder within the limits.
    """
    if len(folder) > _MAX_PATH_BYTES:
        return SkippedPath(folder, TOO_LONG.code, str(_MAX_PATH_BYTES))
    if folder.count(b"/") >= _MAX_DEPTH:
        return SkippedPath(folder, TOO_DEEP.code, str(_MAX_DEPTH))
    return None


def find_outermost_folders(folders: set[bytes]) -> list[bytes]:
    """Return the outermost of ``folders``, because scanning a folder covers everything inside, too."""
    outermost_folders: list[bytes] = []
    # Without the slash at the end, ``a-b`` would come between ``a`` and ``a/b``.
    for folder in sorted(folders, key=lambda name: name + b"/"):
        if not outermost_folders or not (folder + b"/").startswith(outermost_folders[-1] + b"/"):
            outermost_folders.append(folder)
    return outermost_folders
