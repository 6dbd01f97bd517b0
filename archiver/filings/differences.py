"""What changed between two versions, of one submission or of two."""

from __future__ import annotations

from archiver.model import Change, Version
from archiver.store.changes import between
from archiver.store.index import Index


def compare(index: Index, old: Version, new: Version) -> list[Change]:
    """The changes that lead from ``old`` to ``new``, by path."""
    before = {m.path: m for m in index.materials(old.submission, old.number)}
    after = {m.path: m for m in index.materials(new.submission, new.number)}
    paths = sorted(before.keys() | after.keys())
    return sorted(between([(before.get(path), after.get(path)) for path in paths]), key=lambda change: change.path)
