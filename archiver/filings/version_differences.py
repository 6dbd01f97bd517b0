"""Compare the materials of two versions, and the text of their documents."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from archiver.documents.document import Document
from archiver.documents.document_types import PICTURE
from archiver.documents.reader import DocumentReader, compare_lines
from archiver.errors import LazyMessage
from archiver.model import Change, Material, Op, Version
from archiver.store import names
from archiver.store.changes import MaterialPair, compute_changes
from archiver.store.content.objects import ContentStore
from archiver.store.index.queries import Index
from archiver.store.index.restrictions import restrictions_by_place
from archiver.store.index.submission_files import FileKey, find_file_keys

#: The problem of a comparison if a document was too long for the reader to read all of it.
PARTIAL_COMPARISON = LazyMessage("only the beginning was compared")
#: The problem of a comparison if a restriction covers the old or the new content.
RESTRICTED = LazyMessage("the file is restricted, so its text is not shown")


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

    Skips pictures, and files of a type that the reader does not know.  If a restriction covers the old or the new
    content at the path, in any filing, the document is not opened.  Each step opens two documents in a child
    process, so a caller that needs few results should stop early.

    Raises OSError if a content object cannot be opened.
    """
    old_materials = _materials_by_path(index, old_version)
    restricted_files = {(place.path, place.sha256) for place in restrictions_by_place(index)}
    for change in changes:
        old_material = old_materials.get(change.path)
        if change.op is not Op.MODIFY or old_material is None or not old_material.sha256 or not change.sha256:
            continue
        if not restricted_files.isdisjoint({(change.path, old_material.sha256), (change.path, change.sha256)}):
            yield TextChange(change, [], RESTRICTED)
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
    """Return the materials of a version by their paths, which are relative to the submission folder."""
    return {material.path: material for material in index.materials(version.submission, version.number)}


def _compare_documents(change: Change, old_document: Document, new_document: Document) -> TextChange:
    """Return the differing lines of the old and the new document, or the problem if either could not be read."""
    if problem := old_document.problem_message or new_document.problem_message:
        return TextChange(change, [], problem)
    return TextChange(
        change,
        compare_lines(old_document, new_document),
        PARTIAL_COMPARISON if old_document.partial or new_document.partial else None,
    )


def compare_versions(
    index: Index, old_version: Version, new_version: Version, left_out_files: Collection[FileKey] = ()
) -> list[Change]:
    """Return the changes from ``old_version`` to ``new_version``, ordered by path.

    The files in ``left_out_files`` are not compared.  The versions may belong to different submissions.
    """
    old_materials, new_materials = (
        {
            path: material
            for path, material in _materials_by_path(index, version).items()
            if not left_out_files or FileKey(path, material.sha256 or "") not in left_out_files
        }
        for version in (old_version, new_version)
    )
    paths = sorted(old_materials.keys() | new_materials.keys())
    changes = compute_changes(MaterialPair(old_materials.get(path), new_materials.get(path)) for path in paths)
    return sorted(changes, key=lambda change: change.path)


class SubmittedDifference(NamedTuple):
    """The changes between two versions, without the files about a submission."""

    changes: list[Change]  # ordered by path
    left_out_paths: list[str]  # the files about a submission that either version has; readable, sorted


def compare_submitted_versions(index: Index, old_version: Version, new_version: Version) -> SubmittedDifference:
    """Compare two versions, without the files about a submission if both versions were submitted.

    A version that was not submitted is compared as a whole, because nobody has signed which of its files belong to
    a submission.
    """
    if not (old_version.submitted and new_version.submitted):
        return SubmittedDifference(compare_versions(index, old_version, new_version), [])
    file_keys = find_file_keys(index, (old_version, new_version))
    left_out_paths = {
        path
        for version in (old_version, new_version)
        for path, material in (_materials_by_path(index, version).items() if file_keys else ())
        if FileKey(path, material.sha256 or "") in file_keys
    }
    changes = compare_versions(index, old_version, new_version, file_keys)
    return SubmittedDifference(changes, sorted(map(names.name_as_text, left_out_paths)))
