"""Make the refs agree with the journal again after a crash or a power cut.

The journal's ref is the only one that is durable before a version counts
(:mod:`archiver.store.git.ref_transaction`).  So a power cut can leave any other ref missing, empty, or at its
former value.  Git cannot replace an empty ref: it answers "reference broken" to each way of updating it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from archiver.errors import LazyMessage, StorageError
from archiver.path_existence import is_there
from archiver.store.git import interrupted_write, packed_refs
from archiver.store.git.ref_transaction import ZERO, RefUpdate
from archiver.store.git.repository import JOURNAL, Repository
from archiver.store.journal import Journal
from archiver.store.repair import journal_repair, set_aside

_OID_LENGTH = 40


def clean_up(root: Path, repository: Repository, notify: Callable[[LazyMessage], None]) -> None:
    """Remove what a crashed writer or a power cut left, before any git looks at the refs; ``notify`` is told.

    The journal's own file stays whatever it holds: without it, git would take the former value from
    ``packed-refs``, and events would seem never to have been written.  :func:`complete_refs` makes the other
    refs again.

    Raises Busy if a git process of the crashed writer still runs, StorageError if a file cannot be removed.
    """
    try:
        interrupted_write.remove_leftovers(repository.path)
        if not packed_refs.is_whole(repository.path) and _has_readable_journal(repository.path):
            intact_refs = packed_refs.read(repository.path)
            set_aside.put_away(root, repository.path / packed_refs.NAME)
            packed_refs.write(repository.path, intact_refs)
        broken_refs = [ref for ref in _loose_refs(repository.path) if _is_broken(repository.path / ref)]
        for ref in broken_refs:
            os.unlink(repository.path / ref)
    except OSError as error:
        raise StorageError(
            "Cannot clean up {path} after a crash: {reason}. No archived data was lost. Check the disk, and the "
            "owner of the archive's files.",
            path=repository.path,
            reason=error.strerror or error,
        ) from None
    if broken_refs:
        notify(LazyMessage("Removed because they were empty after a crash: {refs}.", refs=", ".join(broken_refs)))


def complete_refs(repository: Repository, journal: Journal, notify: Callable[[LazyMessage], None]) -> None:
    """Make missing refs, and move branches forward, as the journal says; ``notify`` is told which.

    What a crash does not explain stays: a ref of another value, or one whose object is missing.  Reads every
    event. Raises StorageError if git fails.
    """
    expected = journal_repair.expected_refs((event.commit, event.refs) for event in journal.events_since(None))
    present_refs = repository.refs()
    moves = []
    for ref, wanted in expected.items():
        present = present_refs.get(ref)
        if present == wanted or not _exists(repository, wanted):
            continue
        is_behind = (
            present is not None and ref.startswith("refs/heads/") and repository.descends_from(wanted, present)
        )
        if present is None or is_behind:
            moves.append(RefUpdate(ref, present or ZERO, wanted))
    if moves:
        repository.move_refs(moves)
        notify(LazyMessage("Completed after a crash: {refs}.", refs=", ".join(move.ref for move in moves)))
    if packed_refs.was_written_here(repository.path):
        repository.pack_refs()


def _has_readable_journal(repository_path: Path) -> bool:
    """Return True if the journal's ref has an intact file, or an intact line among the packed refs."""
    path = repository_path / JOURNAL
    return not _is_broken(path) if is_there(path) else JOURNAL in packed_refs.read(repository_path)


def _loose_refs(repository_path: Path) -> Iterator[str]:
    """Yield the name of each ref but the journal's that has a separate file."""
    for folder, _, file_names in os.walk(repository_path / "refs"):
        for file_name in file_names:
            ref = os.path.relpath(os.path.join(folder, file_name), repository_path)
            if ref != JOURNAL:
                yield ref


def _is_broken(path: Path) -> bool:
    """Return True if the file of a ref holds no object id; raises OSError if it cannot be read."""
    value = path.read_bytes().strip()
    return len(value) != _OID_LENGTH or not value.isalnum()


def _exists(repository: Repository, oid: str) -> bool:
    """Return True if the repository has the object and can read it."""
    try:
        repository.read(oid)
    except KeyError:
        return False
    return True
