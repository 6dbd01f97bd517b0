"""Open the ``state.db`` of an archive, unless its entries belong to another history than the journal's."""

from __future__ import annotations

import contextlib

from archiver.intake.snapshot import Snapshot
from archiver.store.archive import Archive
from archiver.store.repair import set_aside
from archiver.store.sqlite import IN_MEMORY


def open_snapshot(archive: Archive, lock_timeout: float) -> Snapshot:
    """Open the archive's ``state.db`` for writing; the caller closes the snapshot.

    If the archive was restored to another state, so that the entries belong to another history than the journal's,
    the database is moved to ``set-aside/``, and an empty one is created.  The next scan then reads the whole
    watched folder.  Otherwise files that only the lost history archived would count as archived.

    Raises Busy or StorageError if the archive cannot be locked for writing, JournalDamaged for a damaged journal,
    and sqlite3.Error if the database cannot be opened; nothing is set aside then.
    """
    path = archive.root / "state.db"
    with contextlib.ExitStack() as open_resources:
        snapshot = open_resources.enter_context(contextlib.closing(Snapshot(path)))
        if not is_from_other_history(archive, snapshot):
            if snapshot.journal_point is None and (point := archive.index.journal_point) is not None:
                # The database is new, or nothing shows that its rows belong to this archive.
                snapshot.bind(point)
            # From now on, the caller closes the snapshot.
            open_resources.pop_all()
            return snapshot
    with archive.writing(lock_timeout):
        set_aside.set_aside(archive.root, path.name)
    return Snapshot(path)


def open_snapshot_read_only(archive: Archive) -> Snapshot:
    """Open the archive's ``state.db`` for reading only; the caller closes the snapshot.

    If the entries belong to another history than the journal's, an empty database in memory is opened instead.  If
    the journal is damaged, the entries are used nevertheless, because they cannot be checked.  Raises
    sqlite3.Error if the database cannot be opened.
    """
    snapshot = Snapshot(archive.root / "state.db", read_only=True)
    if archive.journal_damage() is None and is_from_other_history(archive, snapshot):
        snapshot.close()
        return Snapshot(IN_MEMORY, read_only=True)
    return snapshot


def is_from_other_history(archive: Archive, snapshot: Snapshot) -> bool:
    """Return True if the journal lacks the event that was the newest when the entries were recorded.

    The entries then belong to another history, for example because the repository was restored from a backup.

    Raises JournalDamaged if the journal is too damaged to be searched for the event.
    """
    if (damage := archive.journal_damage()) is not None:
        raise damage
    point = snapshot.journal_point
    return point is not None and not archive.journal.has_event(point)
