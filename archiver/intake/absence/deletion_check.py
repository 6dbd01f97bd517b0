"""Decide whether missing files were deleted, or are only absent: not mounted, locked, or in another folder.

Pure evidence counts: something known to the archive must still be seen below the watched folder.
docs/adr/0016-the-watched-folder-and-absence.md has the rules, and the failures that led to them.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from archiver.errors import LazyMessage
from archiver.intake.exclusion.ignore_rules import IgnoreRules
from archiver.intake.folder.access import FolderAccess
from archiver.intake.folder.entries import DirectoryEntry
from archiver.intake.folder.mounts_below import is_covered
from archiver.intake.snapshot import Snapshot, State, split_path
from archiver.store.content.source import StatData

ALL_FILES_GONE = LazyMessage.define(
    "All archived files ({value}) are missing from the watched folder. Nothing is captured until one of them "
    "returns, and no archived data was lost. Check that the right filesystem is mounted; in a container, restart "
    "the container. If the files were removed on purpose, run: archiver watch accept --reason TEXT",
    code="folder.all-files-gone",
)
_LookUp = Callable[[bytes], DirectoryEntry]


class Deletions(NamedTuple):
    """The result of examining the paths of missing files."""

    #: Paths that cannot be looked at, because a folder above them is locked.
    unseen: frozenset[bytes]
    #: The number of archived files if nothing known to the archive is left, so that nothing proves a deletion.
    missing_count: int = 0


class DeletionCheck:
    """Look for proof of deletions; keeps nothing between two calls."""

    def __init__(self, access: FolderAccess, snapshot: Snapshot, ignore_rules: IgnoreRules) -> None:
        """Look through ``access`` for the archived paths in ``snapshot``; the caller closes both.

        Names that ``ignore_rules`` exclude prove nothing, although an earlier release may have archived them:
        litter such as ``.DS_Store`` also stands in an empty mount point.
        """
        self._access = access
        self._snapshot = snapshot
        self._ignore_rules = ignore_rules

    def examine(self, changed_states: Mapping[bytes, State], *, is_held: bool = False) -> Deletions:
        """Examine the paths whose state is None, among all paths that differ from the archive.

        ``is_held`` means that everything was found missing before.  Somebody may have made folders and files with
        the former names since then, so only the archived files themselves are a proof, by size and mtime.  Their
        inode numbers prove nothing: ext4 gives the number of a deleted file to the next new one.

        Without such a path, the result says whether the other changes may be captured: if every archived file is
        gone, and nobody has noticed yet, a new file would later be the proof that all others were deleted.

        The caller has checked that the folder is the watched one.  Raises sqlite3.Error.
        """
        deleted_paths = {path for path, state in changed_states.items() if state is None}
        with self._access.looked_up_in_turn() as look_up:
            unseen_paths = self._find_unseen(deleted_paths, look_up)
            if self._has_known_file(deleted_paths, look_up, is_exact=is_held and bool(deleted_paths)):
                return Deletions(unseen_paths)
            archived_states = {
                path: state for path, state in self._snapshot.file_entries() if not self._ignore_rules.covers(path)
            }
            missing_count = len(archived_states.keys() - self._find_unseen(archived_states, look_up))
        if (
            not missing_count
            or _has_moved_file(archived_states, changed_states)
            or (not is_held and self._has_known_place(archived_states))
        ):
            return Deletions(unseen_paths)
        return Deletions(unseen_paths, missing_count)

    def find_unseen(self, changed_states: Mapping[bytes, State]) -> frozenset[bytes]:
        """Return the deleted paths out of sight, without a search for proof of the other deletions."""
        with self._access.looked_up_in_turn() as look_up:
            return self._find_unseen((path for path, state in changed_states.items() if state is None), look_up)

    def _find_unseen(self, paths: Iterable[bytes], look_up: _LookUp) -> frozenset[bytes]:
        """Select from ``paths`` everything below a folder that is locked, or cannot be examined."""
        is_readable_by_folder: dict[bytes, bool] = {}
        return frozenset(
            path for path in paths if not self._is_readable(split_path(path)[0], look_up, is_readable_by_folder)
        )

    def _is_readable(self, folder: bytes, look_up: _LookUp, is_readable_by_folder: dict[bytes, bool]) -> bool:
        """Return True if a missing name in ``folder`` shows a deletion; the results are kept in the dict."""
        if folder not in is_readable_by_folder:
            is_readable_by_folder[folder] = self._examine_folder(folder, look_up, is_readable_by_folder)
        return is_readable_by_folder[folder]

    def _examine_folder(self, folder: bytes, look_up: _LookUp, is_readable_by_folder: dict[bytes, bool]) -> bool:
        """Return True if ``folder`` or, if missing, the folder above shows all names inside."""
        if is_covered(folder, self._access.unmounted_automounts):
            return False
        try:
            is_folder = not folder or stat.S_ISDIR(look_up(folder).mode)
            if is_folder:
                return not self._access.is_locked(folder)
        except (FileNotFoundError, NotADirectoryError):
            # The folder is missing.  Whether it was deleted can be seen in the folder above.
            pass
        except OSError:
            return False
        # Without the watched folder itself, nothing can be seen.
        return bool(folder) and self._is_readable(split_path(folder)[0], look_up, is_readable_by_folder)

    def _has_known_file(self, deleted_paths: Collection[bytes], look_up: _LookUp, *, is_exact: bool) -> bool:
        """Return True if an archived file, not among ``deleted_paths``, is at the archived path.

        With ``is_exact``, another file at the path does not count.
        """
        neighbors = (
            folder + b"/" + name if folder else name
            for folder in {split_path(path)[0] for path in deleted_paths}
            for name in self._snapshot.stored_states(folder)
        )

        def is_proof(path: bytes) -> bool:
            """Return True if a file is at ``path``, and neither deleted nor litter."""
            if path in deleted_paths or self._ignore_rules.covers(path):
                return False
            archived_state = self._snapshot.archived_state(path) if is_exact else None
            return _is_file(path, look_up, archived_state if isinstance(archived_state, StatData) else None)

        # Neighbors first, because one of them usually settles the question.
        return any(map(is_proof, neighbors)) or any(is_proof(path) for path, _ in self._snapshot.file_entries())

    def _has_known_place(self, archived_paths: Iterable[bytes]) -> bool:
        """Return True if something stands at one of ``archived_paths``, or at the path of a folder above it.

        Both are so only if something stands at the first name of the path, so nothing else is looked up: there may
        be a million paths.  The watched folder itself does not count: every empty mount point is such a folder.
        """
        return any(map(self._is_seen, {path.partition(b"/")[0] for path in archived_paths}))

    def _is_seen(self, place: bytes) -> bool:
        """Return True if a folder with all names inside, a file or a link can be seen at a path."""
        try:
            return not stat.S_ISDIR(self._access.look_up(place).mode) or not self._access.is_locked(place)
        except OSError:
            # What is missing, or cannot be examined, proves nothing.
            return False


def _has_moved_file(archived_states: Mapping[bytes, StatData], changed_states: Mapping[bytes, State]) -> bool:
    """Return True if a changed file is an archived file under another name.

    The size and the mtime are those of an archived file, and so are the inode number or the last name.  If the
    archived state is not known, as after the loss of ``state.db``, the last name is enough.
    """
    known_inodes = {(state.inode, state.size, state.mtime_ns) for state in archived_states.values()}
    known_names = {(split_path(path)[1], state.size, state.mtime_ns) for path, state in archived_states.items()}
    unknown = StatData.unknown()
    for path, state in changed_states.items():
        if isinstance(state, StatData) and path not in archived_states:
            name = split_path(path)[1]
            if (state.inode, state.size, state.mtime_ns) in known_inodes or {
                (name, state.size, state.mtime_ns),
                (name, unknown.size, unknown.mtime_ns),
            } & known_names:
                return True
    return False


def _is_file(path: bytes, look_up: _LookUp, archived_state: StatData | None) -> bool:
    """Return True if a regular file can be seen at the path: the archived one, if its state is given."""
    try:
        entry = look_up(path)
    except OSError:
        # A file that cannot be examined proves nothing.
        return False
    if not stat.S_ISREG(entry.mode):
        return False
    if archived_state in (None, StatData.unknown()):
        return True
    present_state = entry.stat_data
    return (present_state.size, present_state.mtime_ns) == (archived_state.size, archived_state.mtime_ns)
