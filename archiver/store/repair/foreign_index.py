"""Recognize and replace an ``index.db`` of another archive or of another history.

The second one shows that an older backup of the journal was put in place. The index may be the only trace of what
was lost: so that is reported before anything is rebuilt, and the old file is kept until a person accepts the loss.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from archiver.errors import LazyMessage, StorageError
from archiver.model import JournalPoint
from archiver.store import sqlite
from archiver.store.git.repository import JOURNAL
from archiver.store.index.queries import Index
from archiver.store.journal import Journal
from archiver.store.repair import journal_repair, set_aside

if TYPE_CHECKING:
    from archiver.store.archive import Archive


def describe(journal: Journal, point: JournalPoint) -> LazyMessage:
    """Return a sentence on why the journal lacks the event ``point``, the newest one of an index."""
    newest_event = journal.newest_event()
    if newest_event is None or not _is_of_archive(journal, point):
        return LazyMessage("The index belongs to another archive.")
    if newest_event.seq < point.seq:
        return LazyMessage(
            "The journal is older than the index: it ends with event {seq}, and the index with event {newest}. "
            "An older backup was probably restored.",
            seq=newest_event.seq,
            newest=point.seq,
        )
    return LazyMessage(
        "The index is of another history of this archive: its event {seq} is not in the journal. An older backup "
        "was probably restored and continued.",
        seq=point.seq,
    )


def open_believed_index(index: Index, journal: Journal, notify: Callable[[LazyMessage], None]) -> Index:
    """Return ``index`` if the journal has its newest event; otherwise an index in memory, made from the journal.

    For a process that cannot replace the file now. An index that is not believed is closed, after ``notify`` is
    called. The caller closes the result. Raises StorageError if the journal cannot be read.
    """
    point = index.journal_point
    if point is None or journal.has_event(point):
        return index
    notify(LazyMessage("{reason} It is not used.", reason=describe(journal, point)))
    index.close()
    new_index = Index.in_memory()
    new_index.apply_events(journal.events_with_changes_since(None))
    return new_index


def replace_index(
    archive: Archive, index: Index, point: JournalPoint, notify: Callable[[LazyMessage], None]
) -> None:
    """Set aside the open ``index`` with the newest event ``point``, and reopen it on a new index of this journal.

    ``notify`` is called before anything is moved. Raises JournalDamaged if refs contradict the journal, and
    changes nothing then: the index may be right. The caller holds the writer's lock.
    """
    index_path = archive.root / "index.db"
    reason = describe(archive.journal, point)
    with tempfile.TemporaryDirectory(dir=archive.spool_folder) as scratch_folder:
        new_index = Index(Path(scratch_folder, "index.db"))
        try:
            new_index.apply_events(archive.journal.events_with_changes_since(None))
            problem = journal_repair.compare_refs(archive.repository.refs(), new_index).problem
        finally:
            new_index.close()
        if problem is not None:
            raise archive.damage_error(problem)
        notify(
            LazyMessage(
                "{reason} Moving the index to {path}, and creating a new one from the journal. To see what is "
                "missing, run: archiver status",
                reason=reason,
                path=archive.root / set_aside.FOLDER,
            )
        )
        index.close()
        set_aside.set_aside(archive.root, index_path.name)
        sqlite.replace_database(new_index.path, index_path)
    index.reopen(at=index_path)


def check_journal_is_complete(archive: Archive) -> None:
    """Check that no database of this archive is ahead of the journal; only reads files.

    Raises StorageError that names the event, before an index is rebuilt from the shorter journal. A damaged
    journal raises nothing here.
    """
    if journal_repair.ref_problem(archive.repository) is not None:
        return
    tip = archive.repository.resolve(JOURNAL)
    database_paths = (archive.root / "index.db", archive.root / "state.db", *set_aside.databases(archive.root))
    for path in database_paths:
        point = sqlite.read_journal_point_of_file(path)
        if point is None or point.commit == tip or archive.journal.has_event(point):
            continue
        if _is_of_archive(archive.journal, point):
            raise StorageError(
                "{reason} Nothing was changed. To see what is missing, and to continue without it, run: archiver "
                "reindex --accept",
                reason=describe(archive.journal, point),
            )


def _is_of_archive(journal: Journal, point: JournalPoint) -> bool:
    """Return True if ``point`` names the archive of ``journal``, whose digest is that of its first event.

    Slow for a long journal, which Git walks back to its first commit. Raises StorageError if it cannot be read.
    """
    first_event = journal.first_event()
    return first_event is not None and first_event.sha256.startswith(point.archive_id)
