"""Compare settled paths with a submission's newest version, to find the changes that a capture records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from archiver.model import Change, Material, Submission, Version
from archiver.store.archive import Archive
from archiver.store.changes import MaterialPair, compute_changes, make_addition


class FileTotals(NamedTuple):
    """The number of files in a version, and their total size."""

    file_count: int  # empty folders are not counted
    byte_count: int


class Changeset:
    """The paths of a capture, with the materials before and after.

    Create and use a changeset while holding the archive's lock: the materials of the newest version are read from
    the index at the start, and this version must stay the newest.
    """

    def __init__(
        self, archive: Archive, submission: Submission, materials_after: Mapping[bytes, Material | None]
    ) -> None:
        """Compare with the newest version of ``submission``, if any.

        ``materials_after`` maps each path of the capture, relative to the submission's folder, to its material;
        None for a path that is deleted.
        """
        self._index = archive.index
        self._submission = submission
        self._materials_after = materials_after
        self._materials_before = archive.index.newest_materials_at(submission, materials_after)

    def list_changes(self) -> list[Change]:
        """Return the changes since the newest version; empty if the capture would only repeat that version."""
        return compute_changes(
            MaterialPair(before=self._materials_before.get(path), after=material_after)
            for path, material_after in self._materials_after.items()
        )

    def list_all_as_additions(self) -> list[Change]:
        """Return every material that the submission has after the capture, each as an addition, sorted by path.

        These are the changes of a version that is not based on an earlier one. Call this before the capture is
        written to the index, which has the materials of the newest version until then.
        """
        material_by_path = {material.path: material for material in self._index.materials(self._submission)}
        for path, material_after in self._materials_after.items():
            if material_after is None:
                # The capture deletes this path. The newest version may lack it too.
                material_by_path.pop(path, None)
            else:
                material_by_path[path] = material_after
        return [make_addition(material) for _, material in sorted(material_by_path.items())]

    def compute_totals(self, newest_version: Version | None) -> FileTotals:
        """Return the number of files and of bytes after the capture.

        Adds the changes to the totals of ``newest_version``, so that a single changed file does not require
        counting a million materials.  If ``newest_version`` is None, every material is counted.
        """
        if newest_version is None:
            # ``sha256`` is None for an empty folder.
            file_additions = [addition for addition in self.list_all_as_additions() if addition.sha256]
            return FileTotals(len(file_additions), sum(addition.size for addition in file_additions))
        file_count, byte_count = newest_version.files, newest_version.bytes
        for path, material_after in self._materials_after.items():
            material_before = self._materials_before.get(path)
            if material_before is not None and material_before.sha256:
                file_count -= 1
                byte_count -= material_before.size
            if material_after is not None and material_after.sha256:
                file_count += 1
                byte_count += material_after.size
        return FileTotals(file_count, byte_count)
