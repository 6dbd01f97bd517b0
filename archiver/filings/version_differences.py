"""Compare the materials of two versions, and the text of their documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from archiver.documents.document import Document
from archiver.documents.document_types import PICTURE
from archiver.documents.reader import DocumentReader, line_differences
from archiver.errors import LazyMessage
from archiver.model import Change, Op, Version
from archiver.store import names
from archiver.store.changes import MaterialPair, changes_between
from archiver.store.content.objects import ContentStore
from archiver.store.index.queries import Index

#: The problem of a comparison of documents that were not read to their end.
PARTIAL = LazyMessage("only the beginning was compared")


@dataclass(frozen=True, slots=True)
class TextChange:
    """A document whose content changed."""

    change: Change
    lines: list[str]  # those that differ, as in a unified diff
    problem: LazyMessage | None  # what hindered the comparison; None if nothing did


def text_changes(
    index: Index, content: ContentStore, reader: DocumentReader, old: Version, changes: Iterable[Change]
) -> Iterator[TextChange]:
    """Yield the differing lines of each document changed since ``old``; pictures are passed over.

    Opens two documents for each, in a child process, so that a caller that needs few should take few.
    """
    old_materials = {material.path: material for material in index.materials(old.submission, old.number)}
    for change in changes:
        old_material = old_materials.get(change.path)
        if change.op is not Op.MODIFY or old_material is None or not old_material.sha256 or not change.sha256:
            continue
        filename = names.text(change.path)
        old_document, new_document = (
            reader.read(content.path(sha256), filename, sha256) for sha256 in (old_material.sha256, change.sha256)
        )
        are_pictures = old_document.kind == new_document.kind == PICTURE
        if old_document.kind and new_document.kind and not are_pictures:
            yield _compare_documents(change, old_document, new_document)


def _compare_documents(change: Change, old: Document, new: Document) -> TextChange:
    if problem := old.problem_message or new.problem_message:
        return TextChange(change, [], problem)
    return TextChange(change, line_differences(old, new), PARTIAL if old.partial or new.partial else None)


def compare_versions(index: Index, old: Version, new: Version) -> list[Change]:
    """Return the changes from ``old`` to ``new``, by path; the versions may be of different submissions."""
    old_materials = {material.path: material for material in index.materials(old.submission, old.number)}
    new_materials = {material.path: material for material in index.materials(new.submission, new.number)}
    paths = sorted(old_materials.keys() | new_materials.keys())
    changes = changes_between(MaterialPair(old_materials.get(path), new_materials.get(path)) for path in paths)
    return sorted(changes, key=lambda change: change.path)
