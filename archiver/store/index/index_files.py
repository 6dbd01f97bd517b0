"""Open and rebuild ``index.db``, which can be damaged, or written by another release."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from archiver.errors import LazyMessage, StorageError
from archiver.store import sqlite
from archiver.store.index.index_schema import IndexDamaged, IndexUnfinished
from archiver.store.index.queries import Index
from archiver.store.journal import Journal


def open_index_for_writing(path: Path, notify: Callable[[LazyMessage], None]) -> Index:
    """Open or create the index at ``path`` for writing, for the caller to close.

    An unusable file is replaced by an empty index, and ``notify`` is called with the reason. The index may lack
    events of the journal, so the caller has to apply the missing events under the writer's lock.

    Raises sqlite3.Error if the file cannot be opened.
    """
    try:
        return Index(path)
    except IndexDamaged as error:
        notify(_describe_rebuild(path, error))
        sqlite.delete_database(path)
        return Index(path)


def update(
    path: Path,
    bring_up_to_date: Callable[[], None],
    rebuild: Callable[[], None],
    notify: Callable[[LazyMessage], None],
) -> None:
    """Call ``bring_up_to_date``; if a page of the open index proves damaged, call ``rebuild`` and try once more.

    SQLite reads a page only when a query needs it, so an index with damaged pages can be opened.  Before the index
    at ``path`` is rebuilt, ``notify`` is called with the reason.

    Raises the errors of both functions, except for the error that leads to the rebuild.
    """
    try:
        bring_up_to_date()
    except sqlite3.DatabaseError as error:
        if not sqlite.is_damage_error(error):
            raise
        notify(_describe_rebuild(path, error))
        rebuild()
        bring_up_to_date()


def _describe_rebuild(path: Path, error: Exception) -> LazyMessage:
    """Return the message that tells users why the index at ``path`` is rebuilt, with the text of ``error``."""
    return LazyMessage(
        "Cannot use the index {path} ({reason}). Rebuilding it from the journal.",
        path=path,
        reason=str(error),
    )


def open_index_read_only(path: Path, journal: Journal) -> Index:
    """Open the index of an archive in which this process may not write.  The caller closes it.

    If the owner's process has created the file but not its tables yet, an index in memory is built from the
    journal instead.

    Raises StorageError if the index is damaged, because only the owner may rebuild it; sqlite3.Error if the file
    cannot be opened.
    """
    try:
        return Index(path, read_only=True)
    except IndexUnfinished:
        index = Index.in_memory()
        index.apply_events(journal.events_with_changes_since(None))
        return index
    except IndexDamaged as error:
        raise StorageError(
            "The index {path} is damaged ({reason}), and this user cannot rebuild it. No archived data was lost. "
            "As the archive owner, run: archiver reindex",
            path=path,
            reason=error,
        ) from None


def open_usable_index(path: Path) -> Index | None:
    """Open an index for reading; return None if the file is missing or damaged, or if the index has no events.

    The caller closes the index.
    """
    try:
        index = Index(path, read_only=True)
        if index.head_commit is not None:
            return index
        index.close()
    except (IndexDamaged, sqlite3.Error):
        # For the caller, an index that cannot be read is the same as a missing one.
        pass
    return None


def build_index_in_memory(journal: Journal, tip: str) -> Index:
    """Return a new index in memory with the events up to the journal commit ``tip``.  The caller closes it."""
    index = Index.in_memory()
    index.apply_events(journal.events_with_changes_since(None, tip))
    return index


def rebuild_index(path: Path, journal: Journal) -> None:
    """Replace the index at ``path`` with a new one, built from the whole journal.

    The caller holds the writer's lock.  The old index stays in place until the new one is complete, so the old one
    survives if the journal cannot be read or the process is killed.

    Raises StorageError if the journal cannot be read, sqlite3.Error if the new index cannot be written.
    """
    unfinished_path = path.with_name(f"{path.name}.new")
    sqlite.delete_database(unfinished_path)
    new_index = Index(unfinished_path)
    try:
        new_index.apply_events(journal.events_with_changes_since(None))
    except BaseException:
        new_index.close()
        sqlite.delete_database(unfinished_path)
        raise
    new_index.close()
    sqlite.replace_database(unfinished_path, path)
