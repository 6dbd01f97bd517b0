"""Compare the watched folder with the snapshot in a single walk, without reading a file."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field

from archiver.intake.folder.access import FolderAccess
from archiver.intake.ignore import IgnoreRules
from archiver.intake.path_reasons import (
    IGNORED,
    OWN,
    SPECIAL_FILES,
    TOO_DEEP,
    TOO_LONG,
    UNREADABLE_FILE,
    UNREADABLE_FOLDER,
)
from archiver.intake.snapshot import FOLDER, SkippedPath, Snapshot, State
from archiver.store.content.own_files import OwnFile
from archiver.store.content.source import StatData

#: Nobody has looked below such a path: everything archived from there counts as unchanged.
_NOT_ENTERED_CODES = frozenset({UNREADABLE_FOLDER.code, OWN.code, TOO_DEEP.code, TOO_LONG.code})
_UNREADABLE_CODES = frozenset({UNREADABLE_FILE.code, UNREADABLE_FOLDER.code, TOO_DEEP.code, TOO_LONG.code})

#: From 2.43 on git reads no tree that is deeper than 2,048: beyond, one file would stop every export.
_MAX_DEPTH = 2000
#: Each name below a long path repeats it: at ten times as much, a thousand such files fill the memory.
_MAX_PATH_BYTES = 1 << 16
#: The bits of ``st_mode`` that ``stat.S_IFMT`` keeps, without a call for each of a million files.
_TYPE_BITS = 0o170000


def is_unreadable(item: SkippedPath) -> bool:
    """Return True for an unreadable path that should be archived; False for links and ignored names."""
    return item.code in _UNREADABLE_CODES


@dataclass(slots=True)
class ScanResult:
    """The differences between a folder and the snapshot."""

    changed: dict[bytes, State] = field(default_factory=dict)  # the state now, by path; None: deleted
    skipped: list[SkippedPath] = field(default_factory=list)
    #: Inode -> path of every folder that was walked, to compare with the folders that the kernel watches.
    folders: dict[int, bytes] = field(default_factory=dict)


class Scanner:
    """Walk the watched folder, and compare with a snapshot; nothing is kept between two scans."""

    def __init__(self, access: FolderAccess, ignore: IgnoreRules) -> None:
        self._access = access
        self._ignore_rules = ignore

    def scan(self, snapshot: Snapshot, start: bytes = b"") -> ScanResult:
        """Compare everything at or below ``start`` with the snapshot.

        Paths below a folder that cannot be read count as unchanged, never as deleted.

        Raises FileNotFoundError if the watched folder is gone.
        """
        result = ScanResult()
        visited_folders: set[bytes] = set()
        unvisited_folders = [start]
        while unvisited_folders:
            folder = unvisited_folders.pop()
            try:
                unvisited_folders += self._compare_folder(folder, snapshot, result)
            except (FileNotFoundError, NotADirectoryError):
                if not folder:
                    raise
                # It has gone since its parent was listed: its archived files are reported as deleted below.
                continue
            except OwnFile as error:
                result.skipped.append(SkippedPath(error.path, OWN.code))
                continue
            except OSError as error:
                result.skipped.append(SkippedPath(folder, UNREADABLE_FOLDER.code, error.strerror or ""))
                continue
            visited_folders.add(folder)
        self._add_deleted_folders(snapshot, start, visited_folders, result)
        return result

    def read_state(self, path: bytes) -> State:
        """Return the present state of a path; None if nothing to be archived lies there.

        Raises OSError if the path cannot be looked at, or lies too deep to be archived.
        """
        if _exceeded_limit(path.rpartition(b"/")[0]) is not None:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        try:
            _, mode, signature, _ = self._access.look_up(path)
        except (FileNotFoundError, NotADirectoryError):
            # Deleted, or a folder above became a file: both are the state to report.
            return None
        if stat.S_ISDIR(mode):
            return FOLDER
        if stat.S_ISREG(mode) and self._ignore_rules.matching_pattern(os.path.basename(path)) is None:
            return signature
        return None

    def is_empty_folder(self, path: bytes) -> bool:
        """Return True for a folder without any name; raises OSError."""
        try:
            return next(self._access.list_folder(path), None) is None
        except (FileNotFoundError, NotADirectoryError):
            # No folder any more, so no empty one.
            return False

    def _compare_folder(self, folder: bytes, snapshot: Snapshot, result: ScanResult) -> list[bytes]:
        """Compare the names directly in a folder, and return the folders below to go on with.

        Nothing is added to ``result.changed`` if the folder cannot be read to the end.  Raises OSError.
        """
        entries = self._access.list_folder(folder)
        unseen_names = snapshot.folder_entries(folder)
        prefix = folder + b"/" if folder else b""
        subfolders = []
        changed_states: dict[bytes, State] = {}
        is_empty = True
        matching_pattern, take_archived = self._ignore_rules.matching_pattern, unseen_names.pop
        for name, mode, signature, is_own in entries:
            is_empty = False
            archived_state = take_archived(name, None)
            if mode & _TYPE_BITS == stat.S_IFREG and not is_own and matching_pattern(name) is None:
                if signature != archived_state:
                    changed_states[prefix + name] = signature
                continue
            path = prefix + name
            if not stat.S_ISDIR(mode) or is_own:
                result.skipped.append(self._skipped_path(path, name, mode, is_own))
                if archived_state is not None and not is_own:
                    changed_states[path] = None
            elif (limit := _exceeded_limit(path)) is not None:
                result.skipped.append(limit)
            else:
                subfolders.append(path)
                result.folders[signature.inode] = path
                if isinstance(archived_state, StatData):
                    changed_states[path] = FOLDER
        if is_empty and folder and snapshot.archived_state(folder) != FOLDER:
            changed_states[folder] = FOLDER
        changed_states.update((prefix + name, None) for name in unseen_names)
        # Only now: a folder that fails half-way counts as not read at all.
        result.changed.update(changed_states)
        return subfolders

    def _skipped_path(self, path: bytes, name: bytes, mode: int, is_own: bool) -> SkippedPath:
        if is_own:
            return SkippedPath(path, OWN.code)
        if special_file := SPECIAL_FILES.get(stat.S_IFMT(mode)):
            return SkippedPath(path, special_file.code)
        return SkippedPath(path, IGNORED.code, self._ignore_rules.matching_pattern(name) or "")

    def _add_deleted_folders(
        self, snapshot: Snapshot, start: bytes, visited_folders: set[bytes], result: ScanResult
    ) -> None:
        """Add the archived entries of folders now gone; a folder that could not be entered is not gone."""
        not_entered = [item.path for item in result.skipped if item.code in _NOT_ENTERED_CODES]
        for folder in snapshot.folders_below(start):
            if folder in visited_folders or any(_is_at_or_below(folder, top) for top in not_entered):
                continue
            for name in snapshot.folder_entries(folder):
                result.changed[folder + b"/" + name if folder else name] = None


def _is_at_or_below(path: bytes, top: bytes) -> bool:
    return not top or path == top or path.startswith(top + b"/")


def _exceeded_limit(folder: bytes) -> SkippedPath | None:
    """Return why nothing in a folder so deep, or with so long a path, is archived; None within the limits."""
    if len(folder) > _MAX_PATH_BYTES:
        return SkippedPath(folder, TOO_LONG.code, str(_MAX_PATH_BYTES))
    return SkippedPath(folder, TOO_DEEP.code, str(_MAX_DEPTH)) if folder.count(b"/") >= _MAX_DEPTH else None
