"""Comparing the watched folder with the snapshot: one walk, no file is read."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from archiver.intake.ignore import IgnoreRules
from archiver.intake.snapshot import FOLDER, Noted, Snapshot, State
from archiver.store.content import Signature

IGNORED = "matches the ignore pattern {value}"
UNREADABLE_FOLDER = "the folder cannot be read: {value}"
UNREADABLE_FILE = "the file cannot be read: {value}"
_SPECIAL: Mapping[int, str] = {
    stat.S_IFLNK: "is a symbolic link, which is not followed",
    stat.S_IFIFO: "is a FIFO, not a file",
    stat.S_IFSOCK: "is a socket, not a file",
    stat.S_IFBLK: "is a block device, not a file",
    stat.S_IFCHR: "is a character device, not a file",
}


@dataclass(slots=True)
class Findings:
    """What a scan found: paths whose state differs from the snapshot, and skips."""

    changed: dict[bytes, State] = field(default_factory=dict)
    skipped: list[Noted] = field(default_factory=list)


class Scanner:
    """Walks the watched folder."""

    def __init__(self, root: Path, ignore: IgnoreRules) -> None:
        self._root = os.fsencode(root)
        self._ignore = ignore

    def scan(self, snapshot: Snapshot, start: bytes = b"") -> Findings:
        """Compare everything at or below ``start`` with the snapshot.

        What lies below a folder that cannot be read counts as unchanged, never
        as deleted.  Raises FileNotFoundError where the watched folder is gone.
        """
        found = Findings()
        visited: set[bytes] = set()
        blocked: list[bytes] = []
        stack = [start]
        while stack:
            folder = stack.pop()
            try:
                entries = list(os.scandir(self.absolute(folder)))
            except (FileNotFoundError, NotADirectoryError):
                if not folder:
                    raise
                continue
            except OSError as error:
                blocked.append(folder)
                found.skipped.append(Noted(folder, UNREADABLE_FOLDER, error.strerror or ""))
                continue
            visited.add(folder)
            stack += self._folder(folder, entries, snapshot, found)
        self._vanished(snapshot, start, visited, blocked, found)
        return found

    def absolute(self, path: bytes) -> bytes:
        """A relative path below the watched folder as an absolute one."""
        return self._root + b"/" + path if path else self._root

    def state(self, path: bytes) -> State:
        """The state of one path now; None also for what is not archived."""
        try:
            status = os.lstat(self.absolute(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stat.S_ISDIR(status.st_mode):
            return FOLDER
        if stat.S_ISREG(status.st_mode) and self._ignore.match(os.path.basename(path)) is None:
            return Signature.of(status)
        return None

    def _folder(
        self, folder: bytes, entries: list[os.DirEntry[bytes]], snapshot: Snapshot, found: Findings
    ) -> list[bytes]:
        known = snapshot.folder(folder)
        subfolders = []
        for entry in entries:
            path = folder + b"/" + entry.name if folder else entry.name
            before = known.pop(entry.name, None)
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                known[entry.name] = before
                continue
            if stat.S_ISDIR(status.st_mode):
                subfolders.append(path)
                if isinstance(before, Signature):
                    found.changed[path] = FOLDER
                continue
            state = self._file(path, entry.name, status, found)
            if state != before:
                found.changed[path] = state
        if not entries and folder and snapshot.get(folder) != FOLDER:
            found.changed[folder] = FOLDER
        for name in known:
            found.changed[folder + b"/" + name if folder else name] = None
        return subfolders

    def _file(self, path: bytes, name: bytes, status: os.stat_result, found: Findings) -> State:
        if special := _SPECIAL.get(stat.S_IFMT(status.st_mode)):
            found.skipped.append(Noted(path, special))
            return None
        if (pattern := self._ignore.match(name)) is not None:
            found.skipped.append(Noted(path, IGNORED, pattern))
            return None
        return Signature.of(status)

    def _vanished(
        self,
        snapshot: Snapshot,
        start: bytes,
        visited: set[bytes],
        blocked: list[bytes],
        found: Findings,
    ) -> None:
        for folder in snapshot.folders_below(start):
            if folder in visited or any(_below(folder, top) for top in blocked):
                continue
            for name in snapshot.folder(folder):
                found.changed[folder + b"/" + name if folder else name] = None


def _below(path: bytes, top: bytes) -> bool:
    return not top or path == top or path.startswith(top + b"/")
