"""Keep the files of a filing within the administrator's quota.

The quota limits the files that the newest versions of a filing have together.  Earlier versions do not count, so a
filing is not full because it has a long history.
"""

from __future__ import annotations

from collections.abc import Mapping

from archiver.config.settings import Config
from archiver.intake.exclusion.size_limits import count_bytes
from archiver.intake.folder.access import FolderAccess
from archiver.intake.group_reader import GroupToRead
from archiver.intake.layout import Group, locate_path
from archiver.intake.path_reasons import OVER_QUOTA
from archiver.intake.seed_snapshot import open_submissions
from archiver.intake.snapshot import SkippedPath, Snapshot
from archiver.intake.version_drafting import VersionDrafter
from archiver.store.archive import Archive
from archiver.store.content.source import SourceChanged, StatData


class FilingQuota:
    """Finds the files that do not fit into the quota of their filing; for a single thread."""

    def __init__(
        self, archive: Archive, snapshot: Snapshot, access: FolderAccess, config: Config, drafter: VersionDrafter
    ) -> None:
        """Use parts that the caller owns and closes."""
        self._archive = archive
        self._snapshot = snapshot
        self._access = access
        self._config = config
        self._drafter = drafter
        #: Group -> the bytes by which its version will grow, while its files are read and not archived yet.
        self._reserved_bytes: dict[Group, int] = {}

    def refuse_excess(self, group_to_read: GroupToRead) -> GroupToRead:
        """Return the group with the files that do not fit as refused; everything else is captured.

        Deletions and smaller files come first, then the other files in the order of their paths.  The growth is
        reserved until :meth:`release`.
        """
        group = group_to_read.group
        quota_bytes = self._config.quota_bytes(group.filing_folder)
        if quota_bytes is None:
            return group_to_read
        self.release(group)
        used_bytes = initial_bytes = self._count_filing(group)
        growth_by_path = self._count_growth(group_to_read)
        refused: dict[bytes, SkippedPath] = {}
        for path, growth in sorted(growth_by_path.items(), key=lambda item: (item[1] > 0, item[0])):
            if growth > 0 and used_bytes + growth > quota_bytes:
                growth -= self._count_holes(path)
            if growth > 0 and used_bytes + growth > quota_bytes:
                refused[path] = SkippedPath(path, OVER_QUOTA.code, str(quota_bytes))
            else:
                used_bytes += growth
        self._reserved_bytes[group] = used_bytes - initial_bytes
        return group_to_read._replace(refused=refused)

    def release(self, group: Group) -> None:
        """End the reservation for a group, which is archived or given up; does nothing without a reservation."""
        self._reserved_bytes.pop(group, None)

    def _count_filing(self, group: Group) -> int:
        """Return the bytes of the newest versions of the group's filing, and of what is reserved for it."""
        index, filing = self._archive.index, group.submission().filing
        newest_versions = [
            index.newest_version(submission)
            for submission in open_submissions(index)
            if submission.filing == filing
        ]
        archived_bytes = sum(version.bytes for version in newest_versions if version is not None)
        reserved_bytes = sum(
            size for other, size in self._reserved_bytes.items() if other.filing_folder == group.filing_folder
        )
        return archived_bytes + reserved_bytes - self._count_archived_holes(group)

    def _count_archived_holes(self, group: Group) -> int:
        """Return the bytes that archived sparse files of the group's filing do not occupy."""
        hole_bytes = 0
        for note in self._snapshot.notes():
            archived_state = self._snapshot.archived_state(note.path)
            note_group = locate_path(note.path, self._config.layout).group
            if note_group.filing_folder == group.filing_folder and isinstance(archived_state, StatData):
                hole_bytes += max(archived_state.size - int(note.value), 0)
        return hole_bytes

    def _count_growth(self, group_to_read: GroupToRead) -> Mapping[bytes, int]:
        """Return the bytes by which each settled path changes the size of the newest version."""
        layout = self._config.layout
        material_paths = {path: locate_path(path, layout).material_path for path in group_to_read.states}
        newest_version = self._drafter.newest(group_to_read.group)
        materials = (
            self._archive.index.newest_materials_at(newest_version.submission, material_paths.values())
            if newest_version is not None
            else {}
        )
        growth_by_path = {}
        for path, state in group_to_read.states.items():
            material = materials.get(material_paths[path])
            new_size = state.size if isinstance(state, StatData) else 0
            growth_by_path[path] = new_size - (material.size if material is not None else 0)
        return growth_by_path

    def _count_holes(self, path: bytes) -> int:
        """Return the bytes that a file does not occupy on its filesystem; 0 if it cannot be opened."""
        try:
            source = self._access.open(path)
        except (OSError, SourceChanged):
            # Reading the file will fail, too, and report the reason.
            return 0
        try:
            return source.stat_data.size - count_bytes(source)
        finally:
            source.close()
