"""Compare the materials of two versions, and the text of their documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from archiver.documents.document import Document
from archiver.documents.document_types import PICTURE
from archiver.documents.reader import DocumentReader, compare_lines
from archiver.errors import LazyMessage
from archiver.model import Change, Material, Op, Version
from archiver.store import names
from archiver.store.changes import MaterialPair, compute_changes
from archiver.store.content.objects import ContentStore
from archiver.store.index.queries import Index

#: The problem of a comparison if a document was too long to be read to its end.
PARTIAL_COMPARISON = LazyMessage("only the beginning was compared")


@dataclass(frozen=True, slots=True)
class TextChange:
    """A document whose content changed."""

    change: Change
    lines: list[str]  # the differing lines, as in a unified diff; empty if a document could not be read
    problem: LazyMessage | None  # why the comparison is missing or incomplete; None if it is complete


def compare_texts(
    index: Index,
    content_store: ContentStore,
    reader: DocumentReader,
    old_version: Version,
    changes: Iterable[Change],
) -> Iterator[TextChange]:
    """Yield the differing lines of each document that ``changes`` modify, compared with ``old_version``.

    Skips pictures, and files of a type that the reader does not know.  Each step opens two documents in a child
    process, so a caller that needs few results should stop early.

    Raises OSError if a content object cannot be opened.
    """
    old_materials = _materials_by_path(index, old_version)
    for change in changes:
        old_material = old_materials.get(change.path)
        if change.op is not Op.MODIFY or old_material is None or not old_material.sha256 or not change.sha256:
            continue
        # Content objects have no suffix, so the reader needs the name of the material.
        filename = names.name_as_text(change.path)
        old_document, new_document = (
            reader.read(content_store.path(sha256), filename, sha256)
            for sha256 in (old_material.sha256, change.sha256)
        )
        are_pictures = old_document.kind == new_document.kind == PICTURE
        if old_document.kind and new_document.kind and not are_pictures:
            yield _compare_documents(change, old_document, new_document)


def _materials_by_path(index: Index, version: Version) -> dict[bytes, Material]:
    return {material.path: material for material in index.materials(version.submission, version.number)}


def _compare_documents(change: Change, old_document: Document, new_document: Document) -> TextChange:
    """Return the differing lines of the old and the new document, or the problem if one could not be read."""
    if problem := old_document.problem_message or new_document.problem_message:
        return TextChange(change, [], problem)
    return TextChange(
        change,
        compare_lines(old_document, new_document),
        PARTIAL_COMPARISON if old_document.partial or new_document.partial else None,
    )


def compare_versions(index: Index, old_version: Version, new_version: Version) -> list[Change]:
    """Return the changes from ``old_version`` to ``new_version``, ordered by path.

    The versions may belong to different submissions.
    """
    old_materials = _materials_by_path(index, old_version)
    new_materials = _materials_by_path(index, new_version)
    paths = sorted(old_materials.keys() | new_materials.keys())
    changes = compute_changes(MaterialPair(old_materials.get(path), new_materials.get(path)) for path in paths)
    return sorted(changes, key=lambda change: change.path)
