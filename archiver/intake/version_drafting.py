"""Decide what a new version of a group holds, by comparison with the newest version; writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from archiver.errors import StorageError
from archiver.intake.changeset import Changeset
from archiver.intake.layout import Group, locate_path
from archiver.intake.snapshot import FOLDER, State
from archiver.model import Change, Material, Op, Submission, Version
from archiver.store.archive import Archive
from archiver.store.content.spool import StagedCopy
from archiver.store.writing.drafts import Totals, VersionDraft


class VersionDrafter:
    """Makes drafts of versions for one archive, under the writer's lock."""

    def __init__(self, archive: Archive, layout: str) -> None:
        """Compare with the versions of ``archive``, whose folders have the meaning ``layout``."""
        self._archive = archive
        self._layout = layout

    def make_draft(
        self, group: Group, settled: Mapping[bytes, State], staged: Mapping[bytes, StagedCopy]
    ) -> tuple[VersionDraft | None, str]:
        """Return the version to be written of a group, and the tag of its newest version.

        The first is None if nothing differs from the newest version, the second empty before the first version.
        Where submissions are numbered, one that was submitted to the regulator does not change any more: the next
        number begins, with all materials of the group.

        Raises StorageError if a content object that was published has disappeared.
        """
        latest = self.newest(group)
        latest_tag = latest.tag if latest else ""
        submission = latest.submission if latest else group.submission()
        after: dict[bytes, Material | None] = {}
        # Below the folder of a submission, every path is of its group; most paths are, and are not taken apart.
        submission_prefix = group.prefix + b"/" if group.submission_folder else None
        for path, state in sorted(settled.items()):
            if submission_prefix is not None and path.startswith(submission_prefix):
                material_path = path[len(submission_prefix) :]
                after[material_path] = _as_material(material_path, state, staged.get(path))
                continue
            place, material = locate_path(path, self._layout, is_folder=state == FOLDER)
            if place != group:
                # The path is now a folder of another submission: in this one, the file is deleted.
                place, material, state = group, locate_path(path, self._layout)[1], None
            if material:
                after[material] = _as_material(material, state, staged.get(path))
        changeset = Changeset(self._archive, submission, after)
        changes = changeset.list_changes()
        if not changes or (latest is None and not any(change.op is Op.ADD for change in changes)):
            # A submission begins with its first material, not with an empty folder.
            return None, latest_tag
        if group.submission_folder is None and latest is not None and self._is_sealed(submission):
            submission = group.submission((submission.number or 0) + 1)
            changes = changeset.list_all_as_additions()
            latest = None
        self._check_content(changes)
        number, parent = self._place(submission, latest)
        # If the event of the version before cannot be read, the content of its tree is unknown.  Then the new
        # version is written as a whole.
        whole = None if parent == (latest.commit if latest else None) else changeset.list_all_as_additions()
        totals = self._totals(latest, changes, changeset)
        return VersionDraft(submission, number, parent, changes, totals, whole), latest_tag

    def _place(self, submission: Submission, latest: Version | None) -> tuple[int, str | None]:
        """Return the number of the next version and the commit of its parent, None for the first version.

        Versions whose events cannot be read are not in the index, so their tags are looked up in the repository.
        """
        repository = self._archive.repository
        number = latest.number + 1 if latest else 1
        if not self._archive.index.unread_events():
            return number, latest.commit if latest else None
        while repository.resolve(f"refs/tags/{submission.tag(number)}") is not None:
            number += 1
        return number, repository.resolve(submission.branch)

    def _totals(self, latest: Version | None, changes: list[Change], changeset: Changeset) -> Totals:
        """Return the size of the version made of ``latest`` by ``changes``, and the number of changes."""
        counts = Counter(change.op for change in changes)
        files, size = changeset.compute_totals(latest)
        return Totals(
            files,
            size,
            added=counts[Op.ADD],
            modified=counts[Op.MODIFY] + counts[Op.RENAME],
            deleted=counts[Op.DELETE],
        )

    def newest(self, group: Group) -> Version | None:
        """Return the newest version of the group's submission, or of the one with the highest number.

        None before the first version.
        """
        index = self._archive.index
        if group.submission_folder is not None:
            return index.newest_version(group.submission())
        filing = group.submission().filing
        numbered = [s for s in index.submissions() if s.filing == filing and s.number is not None]
        return index.newest_version(max(numbered, key=lambda s: s.number or 0)) if numbered else None

    def _is_sealed(self, submission: Submission) -> bool:
        """Return True if some version of the submission was submitted to the regulator."""
        versions = self._archive.index.versions(submission.filing, submission.name)
        return any(version.submitted for version in versions)

    def _check_content(self, changes: list[Change]) -> None:
        """Raise StorageError unless every change's content object still exists as published."""
        for change in changes:
            if change.sha256 and change.size and not self._archive.content.has_object(change.sha256, change.size):
                raise StorageError(
                    "The object {sha256} disappeared while its version was being written. Nothing was recorded. "
                    "The files will be captured again. Check the disk.",
                    sha256=change.sha256,
                )


def _as_material(path: bytes, state: State, staged: StagedCopy | None) -> Material | None:
    """Return a version's material at ``path``: the staged file, an empty folder, or None for nothing."""
    if staged is not None:
        stat_data = staged.stat_data
        return Material(path, staged.sha256, stat_data.size, stat_data.mtime_ns, staged.health)
    return Material(path, None, 0, 0) if state == FOLDER else None
