"""The newest version's materials, and what a capture makes of them."""

from __future__ import annotations

from collections.abc import Mapping

from archiver.model import Change, Material, Submission, Version
from archiver.store.archive import Archive
from archiver.store.changes import addition, between


class Current:
    """The newest version's materials and what becomes of them; None: nothing."""

    def __init__(self, archive: Archive, submission: Submission, after: Mapping[bytes, Material | None]) -> None:
        self._index = archive.index
        self._submission = submission
        self._after = after
        self._before = archive.index.present(submission, after)

    def changes(self) -> list[Change]:
        """What differs from the newest version."""
        return between((self._before.get(path), after) for path, after in self._after.items())

    def everything(self) -> list[Change]:
        """The whole state, as the first version of a new submission."""
        state = {m.path: m for m in self._index.materials(self._submission)}
        for path, after in self._after.items():
            state.pop(path, None)
            if after is not None:
                state[path] = after
        return [addition(material) for _, material in sorted(state.items())]

    def totals(self, latest: Version | None) -> tuple[int, int]:
        """Number of files and bytes after the changes."""
        if latest is None:
            state = [change for change in self.everything() if change.sha256]
            return len(state), sum(change.size for change in state)
        files, size = latest.files, latest.bytes
        for path, after in self._after.items():
            for material, sign in ((self._before.get(path), -1), (after, 1)):
                if material is not None and material.sha256:
                    files += sign
                    size += sign * material.size
        return files, size
