"""Recognize and replace an ``index.db`` that belongs to another archive, or to another history of this archive.

Another history shows that an older backup of the journal was restored. Then the index may be the only trace of the
events that were lost. So the loss is reported before the index is rebuilt, and the old file is kept until a person
accepts the loss.
"""

from __future__ import annotations

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


def _describe_missing_event(journal: Journal, point: JournalPoint) -> LazyMessage:
    """Return a sentence that explains why the journal lacks the event ``point``, the newest event of an index."""
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
    """Return ``index`` if the journal has its newest event, otherwise an index in memory of the journal.

    For a process that cannot replace the file now. In the second case, ``notify`` is called with the reason, and
    ``index`` is closed. The caller closes the returned index. Raises StorageError if the journal cannot be read.
    """
    point = index.journal_point
    if point is None or journal.has_event(point):
        return index
    notify(LazyMessage("{reason} It is not used.", reason=_describe_missing_event(journal, point)))
    index.close()
    new_index = Index.in_memory()
    new_index.apply_events(journal.events_with_changes_since(None))
    return new_index


def replace_index(
    archive: Archive, index: Index, point: JournalPoint, notify: Callable[[LazyMessage], None]
) -> None:
    """Set aside the file of the open ``index``, and reopen ``index`` on a new file that is built from the journal.

    ``point`` is the newest event in the old file. ``notify`` is called before anything is moved. The caller holds
    the writer's lock.

    Raises JournalDamaged if refs contradict the journal. Nothing is changed then, because the index may be right.
    """
    # Commands that only read import this module, and this import takes milliseconds.
    import tempfile

    index_path = archive.root / "index.db"
    reason = _describe_missing_event(archive.journal, point)
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
    """Check that the journal has the newest event of each database of this archive; changes nothing.

    Call this before an index is rebuilt, because the new index would no longer show the loss.

    Raises StorageError, which names the event, if the journal lacks one. Checks nothing if the journal's ref is
    unusable: writing to the archive then raises JournalDamaged.
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
                reason=_describe_missing_event(archive.journal, point),
            )


def _is_of_archive(journal: Journal, point: JournalPoint) -> bool:
    """Return True if ``point`` belongs to the archive of ``journal``.

    The id of an archive is the digest of its first event, of which ``point`` has the first digits.

    Slow for a long journal, because git walks back to the first commit. Raises StorageError if the journal cannot
    be read.
    """
    first_event = journal.first_event()
    return first_event is not None and first_event.sha256.startswith(point.archive_id)
