"""Draft the next version of a group, by comparing settled paths with the newest version; nothing is written."""

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
    """Makes drafts of new versions for one archive, whose lock the caller holds."""

    def __init__(self, archive: Archive, layout: str) -> None:
        """Compare with the versions of ``archive``; ``layout`` is the setting ``watch.layout``."""
        self._archive = archive
        self._layout = layout

    def make_draft(
        self, group: Group, settled_states: Mapping[bytes, State], staged_copies: Mapping[bytes, StagedCopy]
    ) -> tuple[VersionDraft | None, str]:
        """Return a draft of the group's next version, and the tag of its newest version.

        ``settled_states`` maps each settled path, relative to the watched folder, to its state, and
        ``staged_copies`` maps each file among these paths to its copy.  The draft is None if nothing differs from
        the newest version, or if the first version would contain no file.  The tag is empty if there is no version
        yet.

        Numbered submissions do not change any more after they were submitted to the regulator.  The draft then
        begins the submission with the next number, and has all materials of the group.

        Raises StorageError if a content object that was published has disappeared.
        """
        base_version = self.newest(group)
        newest_tag = base_version.tag if base_version else ""
        submission = base_version.submission if base_version else group.submission()
        materials_after: dict[bytes, Material | None] = {}
        # Every path below the submission's folder belongs to the group.  That is almost every path, and cutting
        # off the prefix is faster than locate_path().
        submission_prefix = group.prefix + b"/" if group.submission_folder else None
        for path, state in sorted(settled_states.items()):
            if submission_prefix is not None and path.startswith(submission_prefix):
                material_path = path[len(submission_prefix) :]
                materials_after[material_path] = _make_material(material_path, state, staged_copies.get(path))
                continue
            path_group, material_path = locate_path(path, self._layout, is_folder=state == FOLDER)
            if path_group != group:
                # The path is now a folder of another submission, and in this submission the file is deleted.
                material_path, state = locate_path(path, self._layout).material_path, None
            if material_path:
                materials_after[material_path] = _make_material(material_path, state, staged_copies.get(path))
        changeset = Changeset(self._archive, submission, materials_after)
        changes = changeset.list_changes()
        if not changes or (base_version is None and not any(change.op is Op.ADD for change in changes)):
            # A submission begins with its first material, not with an empty folder.
            return None, newest_tag
        if group.submission_folder is None and base_version is not None and self._was_submitted(submission):
            submission = group.submission((submission.number or 0) + 1)
            changes = changeset.list_all_as_additions()
            base_version = None  # the first version of a submission has no parent
        self._check_content(changes)
        number, parent = self._find_number_and_parent(submission, base_version)
        # If the event of the parent's version cannot be read, the content of the parent's tree is unknown.  Then
        # the new version is written as a whole.
        base_commit = base_version.commit if base_version else None
        all_additions = None if parent == base_commit else changeset.list_all_as_additions()
        totals = self._compute_totals(base_version, changes, changeset)
        return VersionDraft(submission, number, parent, changes, totals, all_additions), newest_tag

    def _find_number_and_parent(
        self, submission: Submission, base_version: Version | None
    ) -> tuple[int, str | None]:
        """Return the number of the next version, and its parent commit, which is None for the first version.

        ``base_version`` is the newest version in the index.  Versions whose events cannot be read are missing
        there, so the number and the parent are then looked up in the repository.
        """
        repository = self._archive.repository
        number = base_version.number + 1 if base_version else 1
        if not self._archive.index.unread_events():
            return number, base_version.commit if base_version else None
        while repository.resolve(f"refs/tags/{submission.tag(number)}") is not None:
            number += 1
        return number, repository.resolve(submission.branch)

    def _compute_totals(self, base_version: Version | None, changes: list[Change], changeset: Changeset) -> Totals:
        """Return the totals of a draft that applies ``changes`` to the version ``base_version``.

        These are the number and size of all files after the changes, and the number of changes of each kind.
        """
        change_counts = Counter(change.op for change in changes)
        file_count, byte_count = changeset.compute_totals(base_version)
        return Totals(
            file_count,
            byte_count,
            added=change_counts[Op.ADD],
            modified=change_counts[Op.MODIFY] + change_counts[Op.RENAME],
            deleted=change_counts[Op.DELETE],
        )

    def newest(self, group: Group) -> Version | None:
        """Return the newest version of the group's submission; None if there is no version yet.

        If submissions are numbered, the submission is the one with the highest number.
        """
        index = self._archive.index
        if group.submission_folder is not None:
            return index.newest_version(group.submission())
        filing = group.submission().filing
        numbered_submissions = [
            submission
            for submission in index.submissions()
            if submission.filing == filing and submission.number is not None
        ]
        if not numbered_submissions:
            return None
        return index.newest_version(max(numbered_submissions, key=lambda submission: submission.number or 0))

    def _was_submitted(self, submission: Submission) -> bool:
        """Return True if some version of the submission was submitted to the regulator."""
        versions = self._archive.index.versions(submission.filing, submission.name)
        return any(version.submitted for version in versions)

    def _check_content(self, changes: list[Change]) -> None:
        """Raise StorageError unless the content object of every change still exists, with the recorded size."""
        for change in changes:
            if change.sha256 and change.size and not self._archive.content.has_object(change.sha256, change.size):
                raise StorageError(
                    "The object {sha256} disappeared while its version was being written. Nothing was recorded. "
                    "The files will be captured again. Check the disk.",
                    sha256=change.sha256,
                )


def _make_material(path: bytes, state: State, staged_copy: StagedCopy | None) -> Material | None:
    """Return the material at ``path``: a file with the copy ``staged_copy``, an empty folder, or None."""
    if staged_copy is not None:
        stat_data = staged_copy.stat_data
        return Material(path, staged_copy.sha256, stat_data.size, stat_data.mtime_ns, staged_copy.health)
    return Material(path, None, 0, 0) if state == FOLDER else None
