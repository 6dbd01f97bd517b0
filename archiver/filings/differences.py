"""What changed between two versions, of one submission or of two."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from archiver.documents import reader
from archiver.model import Change, Op, Version
from archiver.store import names
from archiver.store.changes import between
from archiver.store.content import ContentStore
from archiver.store.index import Index


def texts(
    index: Index, content: ContentStore, old: Version, changes: Iterable[Change]
) -> Iterator[tuple[Change, list[str], str]]:
    """For each document that changed since ``old``: the lines that differ, or why they cannot be told."""
    before = {m.path: m for m in index.materials(old.submission, old.number)}
    for change in changes:
        held = before.get(change.path)
        if change.op is not Op.MODIFY or held is None or not held.sha256 or not change.sha256:
            continue
        name = names.text(change.path)
        was, now = (reader.read(content.path(sha256), name) for sha256 in (held.sha256, change.sha256))
        if was.kind and now.kind:
            problem = was.problem or now.problem
            yield change, [] if problem else reader.difference(was, now), problem


def compare(index: Index, old: Version, new: Version) -> list[Change]:
    """The changes that lead from ``old`` to ``new``, by path."""
    before = {m.path: m for m in index.materials(old.submission, old.number)}
    after = {m.path: m for m in index.materials(new.submission, new.number)}
    paths = sorted(before.keys() | after.keys())
    return sorted(between([(before.get(path), after.get(path)) for path in paths]), key=lambda change: change.path)
