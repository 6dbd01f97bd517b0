"""Comparing the watched folder with the snapshot: one walk, no file is read."""

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

#: Nobody has looked below such a path: what the archive has of it counts as unchanged.
_NOT_ENTERED = frozenset({UNREADABLE_FOLDER.code, OWN.code, TOO_DEEP.code, TOO_LONG.code})
_UNREADABLE = frozenset({UNREADABLE_FILE.code, UNREADABLE_FOLDER.code, TOO_DEEP.code, TOO_LONG.code})

#: From 2.43 on git reads no tree that is deeper than 2,048: beyond, one file would stop every export.
_DEEPEST = 2000
#: Each name below a long path repeats it: at ten times as much, a thousand such files fill the memory.
_LONGEST_BYTES = 1 << 16
_KIND = 0o170000


def is_unreadable(item: SkippedPath) -> bool:
    """Return True for what should be archived and cannot be read; a link or an ignored name is no such thing."""
    return item.code in _UNREADABLE


@dataclass(slots=True)
class ScanResult:
    """What a scan found: paths whose state differs from the snapshot, and skips.

    ``folders`` has the inode of every folder that was walked, to compare with
    the folders that the kernel watches.
    """

    changed: dict[bytes, State] = field(default_factory=dict)
    skipped: list[SkippedPath] = field(default_factory=list)
    folders: dict[int, bytes] = field(default_factory=dict)


class Scanner:
    """Walks the watched folder."""

    def __init__(self, access: FolderAccess, ignore: IgnoreRules) -> None:
        self._access = access
        self._ignore = ignore

    def scan(self, snapshot: Snapshot, start: bytes = b"") -> ScanResult:
        """Compare everything at or below ``start`` with the snapshot.

        What lies below a folder that cannot be read counts as unchanged, never
        as deleted.  Raises FileNotFoundError where the watched folder is gone.
        """
        found = ScanResult()
        visited: set[bytes] = set()
        stack = [start]
        while stack:
            folder = stack.pop()
            try:
                stack += self._folder(folder, snapshot, found)
            except (FileNotFoundError, NotADirectoryError):
                if not folder:
                    raise
                continue
            except OwnFile as error:
                found.skipped.append(SkippedPath(error.path, OWN.code))
                continue
            except OSError as error:
                found.skipped.append(SkippedPath(folder, UNREADABLE_FOLDER.code, error.strerror or ""))
                continue
            visited.add(folder)
        self._vanished(snapshot, start, visited, found)
        return found

    def state(self, path: bytes) -> State:
        """The state of one path now; None also for what is not archived; raises OSError."""
        if _beyond(path.rpartition(b"/")[0]) is not None:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        try:
            _, mode, signature, _ = self._access.look_up(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stat.S_ISDIR(mode):
            return FOLDER
        if stat.S_ISREG(mode) and self._ignore.matching_pattern(os.path.basename(path)) is None:
            return signature
        return None

    def is_empty_folder(self, path: bytes) -> bool:
        """Whether nothing lies in the folder; raises OSError."""
        try:
            return next(self._access.list_folder(path), None) is None
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _folder(self, folder: bytes, snapshot: Snapshot, found: ScanResult) -> list[bytes]:
        entries = self._access.list_folder(folder)
        known = snapshot.folder(folder)
        prefix = folder + b"/" if folder else b""
        subfolders = []
        changed: dict[bytes, State] = {}
        is_empty = True
        is_ignored, forget = self._ignore.matching_pattern, known.pop
        for name, mode, signature, is_own in entries:
            is_empty = False
            before = forget(name, None)
            if mode & _KIND == stat.S_IFREG and not is_own and is_ignored(name) is None:
                if signature != before:
                    changed[prefix + name] = signature
                continue
            path = prefix + name
            if not stat.S_ISDIR(mode) or is_own:
                found.skipped.append(self._skipped(path, name, mode, is_own))
                if before is not None and not is_own:
                    changed[path] = None
            elif (reason := _beyond(path)) is not None:
                found.skipped.append(reason)
            else:
                subfolders.append(path)
                found.folders[signature.inode] = path
                if isinstance(before, StatData):
                    changed[path] = FOLDER
        if is_empty and folder and snapshot.get(folder) != FOLDER:
            changed[folder] = FOLDER
        changed.update((prefix + name, None) for name in known)
        # Only now: a folder that fails half-way counts as not read at all.
        found.changed.update(changed)
        return subfolders

    def _skipped(self, path: bytes, name: bytes, mode: int, is_own: bool) -> SkippedPath:
        if is_own:
            return SkippedPath(path, OWN.code)
        if special := SPECIAL_FILES.get(stat.S_IFMT(mode)):
            return SkippedPath(path, special.code)
        return SkippedPath(path, IGNORED.code, self._ignore.matching_pattern(name) or "")

    def _vanished(self, snapshot: Snapshot, start: bytes, visited: set[bytes], found: ScanResult) -> None:
        blocked = [item.path for item in found.skipped if item.code in _NOT_ENTERED]
        for folder in snapshot.folders_below(start):
            if folder in visited or any(_below(folder, top) for top in blocked):
                continue
            for name in snapshot.folder(folder):
                found.changed[folder + b"/" + name if folder else name] = None


def _below(path: bytes, top: bytes) -> bool:
    return not top or path == top or path.startswith(top + b"/")


def _beyond(folder: bytes) -> SkippedPath | None:
    """Why nothing in a folder is archived that lies so deep; None: it does not."""
    if len(folder) > _LONGEST_BYTES:
        return SkippedPath(folder, TOO_LONG.code, str(_LONGEST_BYTES))
    return SkippedPath(folder, TOO_DEEP.code, str(_DEEPEST)) if folder.count(b"/") >= _DEEPEST else None
