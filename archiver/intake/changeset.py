"""Compare settled paths with a submission's newest version: what a capture is about to change."""

from __future__ import annotations

from collections.abc import Mapping

from archiver.model import Change, Material, Submission, Version
from archiver.store.archive import Archive
from archiver.store.changes import MaterialPair, addition_of, changes_between


class Changeset:
    """The paths of one capture, with their materials before and after it.

    ``materials_after`` has None for a path that is gone.  Valid only while the writer's lock is held: the newest
    version is read from the index when this object is made.
    """

    def __init__(
        self, archive: Archive, submission: Submission, materials_after: Mapping[bytes, Material | None]
    ) -> None:
        self._index = archive.index
        self._submission = submission
        self._materials_after = materials_after
        self._materials_before = archive.index.newest_materials_at(submission, materials_after)

    def changes(self) -> list[Change]:
        """List the differences from the newest version; empty if the capture would repeat it."""
        return changes_between(
            MaterialPair(self._materials_before.get(path), after) for path, after in self._materials_after.items()
        )

    def full_state(self) -> list[Change]:
        """List every material after the capture as an addition: the first version of a new submission."""
        materials = {material.path: material for material in self._index.materials(self._submission)}
        for path, after in self._materials_after.items():
            materials.pop(path, None)
            if after is not None:
                materials[path] = after
        return [addition_of(material) for _, material in sorted(materials.items())]

    def totals_after(self, latest: Version | None) -> tuple[int, int]:
        """Return the number of files and of bytes after the capture.

        Counts from ``latest``, so that a submission of a million materials is not listed for one changed file.
        """
        if latest is None:
            additions = [change for change in self.full_state() if change.sha256]
            return len(additions), sum(change.size for change in additions)
        file_count, byte_count = latest.files, latest.bytes
        for path, after in self._materials_after.items():
            for material, sign in ((self._materials_before.get(path), -1), (after, 1)):
                if material is not None and material.sha256:
                    file_count += sign
                    byte_count += sign * material.size
        return file_count, byte_count
