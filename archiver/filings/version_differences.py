"""What changed between two versions, of one submission or of two."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from archiver.documents.document import Document
from archiver.documents.document_types import PICTURE
from archiver.documents.reader import Reader, difference
from archiver.model import Change, Op, Version
from archiver.store import names
from archiver.store.changes import between
from archiver.store.content.objects import ContentStore
from archiver.store.index.queries import Index

#: Said of documents of which the lines are not all there.
PARTIAL = "only the beginning was compared"


@dataclass(frozen=True, slots=True)
class TextChange:
    """A document that changed: the lines that differ, and what hindered the comparison, if anything."""

    change: Change
    lines: list[str]
    problem: str


def texts(
    index: Index, content: ContentStore, reader: Reader, old: Version, changes: Iterable[Change]
) -> Iterator[TextChange]:
    """For each document that changed since ``old``: the lines that differ, or why they cannot be told."""
    before = {m.path: m for m in index.materials(old.submission, old.number)}
    for change in changes:
        held = before.get(change.path)
        if change.op is not Op.MODIFY or held is None or not held.sha256 or not change.sha256:
            continue
        name = names.text(change.path)
        was, now = (reader.read(content.path(each), name, each) for each in (held.sha256, change.sha256))
        if was.kind and now.kind and not was.kind == now.kind == PICTURE:
            yield _compared(change, was, now)


def _compared(change: Change, was: Document, now: Document) -> TextChange:
    if problem := was.problem or now.problem:
        return TextChange(change, [], problem)
    return TextChange(change, difference(was, now), PARTIAL if was.partial or now.partial else "")


def compare(index: Index, old: Version, new: Version) -> list[Change]:
    """The changes that lead from ``old`` to ``new``, by path."""
    before = {m.path: m for m in index.materials(old.submission, old.number)}
    after = {m.path: m for m in index.materials(new.submission, new.number)}
    paths = sorted(before.keys() | after.keys())
    return sorted(between([(before.get(path), after.get(path)) for path in paths]), key=lambda change: change.path)
