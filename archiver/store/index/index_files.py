"""Opening and rebuilding ``index.db``, which is derived and may be damaged, or of another release."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from archiver.errors import Phrase, StorageProblem
from archiver.store import sqlite
from archiver.store.index.queries import Index, IndexDamaged
from archiver.store.journal import Journal


def open_writable(path: Path, notify: Callable[[Phrase], None]) -> Index:
    """Open the index of an archive that this process may write; one that cannot be used is begun again, empty."""
    try:
        return Index(path)
    except IndexDamaged as damaged:
        notify(
            Phrase(
                "The index {path} cannot be used ({reason}) and is rebuilt from the journal.",
                path=path,
                reason=str(damaged),
            )
        )
        sqlite.remove(path)
        return Index(path)


def open_foreign(path: Path) -> Index:
    """Open the index of an archive that only another user writes; raises StorageProblem where it is damaged."""
    try:
        return Index(path, read_only=True)
    except IndexDamaged as damaged:
        raise StorageProblem(
            "The index {path} is damaged ({reason}) and this user may not rebuild it. Nothing archived "
            "was lost. Run archiver reindex as the user who owns the archive.",
            path=path,
            reason=damaged,
        ) from None


def rebuild(path: Path, journal: Journal) -> None:
    """Make the index anew from the journal, under the writer's lock.

    It is made aside: a journal that turns out to be unreadable costs nothing.
    """
    building = path.with_name(f"{path.name}.new")
    sqlite.remove(building)
    fresh = Index(building)
    try:
        fresh.apply(journal.since_with_changes(None))
    except BaseException:
        fresh.close()
        sqlite.remove(building)
        raise
    fresh.close()
    sqlite.replace(building, path)
