"""Make the refs agree with the journal again after a crash or a power cut.

Only the journal's ref is certainly on the disk before a version is acknowledged
(:mod:`archiver.store.git.ref_transaction`).  So a power cut can leave any other ref missing, empty, or at its
former value.  Git cannot replace an empty ref: every way to update it fails with "reference broken".
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from archiver.errors import LazyMessage, StorageError
from archiver.path_existence import is_folder, is_plain_file, is_there
from archiver.store.fsync import sync_path
from archiver.store.git import interrupted_write, packed_refs
from archiver.store.git.ref_transaction import ZERO, RefUpdate
from archiver.store.git.repository import JOURNAL, Repository
from archiver.store.journal import Journal
from archiver.store.repair import journal_repair, set_aside

#: Maximum number of events in a transaction.  A crash explains missing refs of the last transaction only, because
#: each transaction is synced before the next one begins.  If any other ref is missing, somebody removed it, and a
#: person has to decide.
_LAST_TRANSACTION_EVENTS = 64
#: What a power cut leaves of a ref: nothing, zeros, or the beginning of an object id.
_BROKEN = re.compile(rb"[0-9a-f]{0,39}\0*\n?")
_LOST_REFS = "refs/lost/"


class CleanUp(NamedTuple):
    """The refs that were removed after a crash, and have to be restored from the journal."""

    #: Names of refs whose broken file was removed.
    broken_refs: tuple[str, ...] = ()
    #: True if this program wrote ``packed-refs``, in which refs may be missing.
    are_packed_refs_rebuilt: bool = False


def clean_up(root: Path, repository: Repository, notify: Callable[[LazyMessage], None]) -> CleanUp:
    """Remove the lock files and broken refs that a crashed writer or a power cut left, before git reads the refs.

    ``notify`` is called with a message about each repair.  Returns the removed refs, which :func:`complete_refs`
    restores.

    The file of the journal's ref stays, whatever it contains.  Without this file, git would take the former value
    from ``packed-refs``, and events would seem never to have been written.

    Raises Busy if a git process of the crashed writer still runs, StorageError if a file cannot be removed.
    """
    path = repository.path
    try:
        interrupted_write.remove_leftovers(path)
        kept_path = _rebuild_packed_refs(root, path)
        broken_refs = tuple(ref for ref in _loose_refs(path) if _is_broken(path / ref))
        for ref in broken_refs:
            os.unlink(path / ref)
    except OSError as error:
        raise StorageError(
            "Cannot clean up {path} after a crash: {reason}. No archived data was lost. Check the disk, and the "
            "owner of the archive's files.",
            path=path,
            reason=error.strerror or error,
        ) from None
    if kept_path is not None:
        notify(
            LazyMessage(
                "Rebuilt {name} after a crash. The damaged file was kept as {path}.",
                name=packed_refs.NAME,
                path=kept_path,
            )
        )
    if broken_refs:
        notify(LazyMessage("Removed because they were empty after a crash: {refs}.", refs=", ".join(broken_refs)))
    return CleanUp(broken_refs, packed_refs.was_written_here(path))


def _rebuild_packed_refs(root: Path, path: Path) -> Path | None:
    """Replace a damaged ``packed-refs`` by its intact lines; return the path at which the old file is kept.

    Returns None and changes nothing if the file is not damaged, or if the journal's ref is not intact.
    """
    if packed_refs.is_whole(path) or not _has_readable_journal(path):
        return None
    # Commands that only read import this module, and this import takes milliseconds.
    import shutil

    intact_refs = packed_refs.read(path)
    copy_path = path / f"{packed_refs.NAME}.damaged"
    if is_plain_file(path / packed_refs.NAME):
        # Copied, not moved, so that a crash leaves either the old file or the new one in its place.
        shutil.copyfile(path / packed_refs.NAME, copy_path)
        sync_path(os.fspath(copy_path))
        kept_path = set_aside.put_away(root, copy_path)
    else:
        kept_path = set_aside.put_away(root, path / packed_refs.NAME)
    packed_refs.write(path, intact_refs)
    return kept_path


def complete_refs(
    repository: Repository, journal: Journal, removed: CleanUp, notify: Callable[[LazyMessage], None]
) -> None:
    """Set the refs that a crash may have damaged to their values in the journal.

    These are the refs of the last transaction, the refs in ``removed``, and all refs if the packed refs were
    rebuilt.  A missing ref is created, and a branch is moved forward.  A ref with any other value stays, and so
    does a ref whose object is missing.  ``notify`` is called with the names of the changed refs, if any.

    Raises StorageError if git fails.
    """
    present_refs = repository.refs()
    moves = []
    for ref, expected_oid in _find_refs_to_complete(journal, removed).items():
        present_oid = present_refs.get(ref)
        if (
            present_oid == expected_oid
            or ref.startswith(_LOST_REFS)
            or not _object_exists(repository, expected_oid)
        ):
            continue
        is_branch = ref.startswith("refs/heads/")
        if present_oid is None or (is_branch and repository.descends_from(expected_oid, present_oid)):
            moves.append(RefUpdate(ref, present_oid or ZERO, expected_oid))
    if moves:
        repository.move_refs(moves)
        notify(LazyMessage("Completed after a crash: {refs}.", refs=", ".join(move.ref for move in moves)))
    if packed_refs.was_written_here(repository.path):
        # Let git write the file again, with the targets of tags, which this program leaves out.
        repository.pack_refs()


def _find_refs_to_complete(journal: Journal, removed: CleanUp) -> dict[str, str]:
    """Return ref -> object id in the journal for each ref that a crash may have damaged."""
    if removed.are_packed_refs_rebuilt:
        return _expected_refs(journal, None)
    expected_refs = _expected_refs(journal, _LAST_TRANSACTION_EVENTS)
    older_refs = set(removed.broken_refs) - expected_refs.keys()
    if older_refs:
        all_refs = _expected_refs(journal, None)
        expected_refs |= {ref: all_refs[ref] for ref in older_refs & all_refs.keys()}
    return expected_refs


def _expected_refs(journal: Journal, event_count: int | None) -> dict[str, str]:
    """Return ref -> object id according to the newest ``event_count`` events, or all events if that is None."""
    events = journal.events_since(None) if event_count is None else journal.newest_events(event_count)
    return journal_repair.expected_refs((event.commit, event.refs) for event in events)


def _has_readable_journal(repository_path: Path) -> bool:
    """Return True if the journal's ref has an intact file, or no file and an intact line in ``packed-refs``."""
    path = repository_path / JOURNAL
    return not _is_broken(path) if is_there(path) else JOURNAL in packed_refs.read(repository_path)


def _loose_refs(repository_path: Path) -> Iterator[str]:
    """Yield the name of each ref, except the journal's, that has a separate file; does not follow links."""
    refs_folder = repository_path / "refs"
    if not is_folder(refs_folder, follow_links=False):
        return
    for folder, _, file_names in os.walk(refs_folder):
        for file_name in file_names:
            ref = os.path.relpath(os.path.join(folder, file_name), repository_path)
            if ref != JOURNAL:
                yield ref


def _is_broken(path: Path) -> bool:
    """Return True if ``path`` is a regular file with only a part of an object id, or with nothing.

    A power cut leaves no link, no file with another text, and no file that cannot be read: False for these.
    """
    try:
        return _BROKEN.fullmatch(packed_refs.read_regular_file(path, packed_refs.MAX_REF_BYTES)) is not None
    except OSError:
        # Not a regular file, or not readable: git and verify report it.
        return False


def _object_exists(repository: Repository, oid: str) -> bool:
    """Return True if the repository has the object and can read it."""
    try:
        repository.read(oid)
    except KeyError:
        # A ref to an object that is missing or damaged would be broken.
        return False
    return True
