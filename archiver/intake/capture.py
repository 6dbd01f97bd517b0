"""Capture groups of settled paths: read the files, and write each group's changes as a new version.

Files are read and hashed without the archive's lock.  The changes are determined under the lock, by comparison
with the newest version, so that capturing the same input twice creates no second version.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from archiver.config.settings import Config
from archiver.errors import ArchiverError, Busy, StorageError
from archiver.intake.capture_result import CaptureResult
from archiver.intake.exclusion.filing_quota import FilingQuota
from archiver.intake.exclusion.size_limits import SizeLimits
from archiver.intake.exclusion.stand_ins import find_stand_in
from archiver.intake.folder.access import FolderAccess
from archiver.intake.group_reader import GroupReader, GroupToRead, ReadingJob
from archiver.intake.layout import Group, locate_path
from archiver.intake.path_reasons import PASSING_CODES
from archiver.intake.snapshot import FOLDER, Snapshot, State
from archiver.intake.staging import StagingResult, drop_removed_objects
from archiver.intake.version_drafting import VersionDrafter
from archiver.model import Version
from archiver.store.archive import Archive
from archiver.store.content.source import StatData
from archiver.store.failpoints import Step, announce_step
from archiver.store.index import restrictions
from archiver.store.writing.drafts import VersionDraft


@dataclass(frozen=True, slots=True)
class _ReadGroup:
    """A group whose files have been read, and whose copies are published as content objects."""

    #: The index of ``attempt`` in the list that the caller of :meth:`Capturer.finish_all` passed.
    position: int
    attempt: ReadingJob
    read: StagingResult

    @property
    def settled(self) -> dict[bytes, State]:
        """Return the state to archive for each path: of a file as it was read, FOLDER, or None for a deletion.

        Files that could not be copied, for example because they changed while they were read, are left out.
        """
        states: dict[bytes, State] = {path: item.stat_data for path, item in self.read.staged.items()}
        return states | {p: state for p, state in self.attempt.states.items() if not isinstance(state, StatData)}


class Capturer:
    """Captures groups of settled paths into one archive.

    Owns the threads and child processes that read files; the owner ends them with :meth:`close`.  Only one thread
    may call.
    """

    def __init__(
        self, archive: Archive, snapshot: Snapshot, access: FolderAccess, config: Config, stopping: threading.Event
    ) -> None:
        """Read through ``access``, and record the archived paths in ``snapshot``; the caller closes both.

        Setting ``stopping`` makes the threads stop before the next chunk of a file; :meth:`close` sets it, too.
        """
        self._archive = archive
        self._snapshot = snapshot
        self._access = access
        self._layout = config.layout
        self._reader = GroupReader(
            access,
            archive.content,
            os.fsencode(archive.root),
            config.layout,
            config.sensitive,
            stopping,
            SizeLimits.from_settings(config),
        )
        self._drafter = VersionDrafter(archive, config.layout)
        #: Groups whose last attempt failed, or was in a batch that failed.
        self._failed_groups: set[Group] = set()
        self._quota = FilingQuota(archive, snapshot, access, config, self._drafter)

    def stage(self, groups: Sequence[GroupToRead]) -> list[ReadingJob]:
        """Begin to copy and publish the files of different groups in the background; return at once.

        The caller passes the jobs to :meth:`finish_all`, or each of them to :meth:`drop`.  If the caller stages
        further groups first, their files are read while these groups are finished.
        """
        # Content that has another place, which no restriction covers, stays readable there.
        restricted_places = restrictions.places_of_restricted_content(self._archive.index)
        return self._reader.read_round([self._quota.refuse_excess(group) for group in groups], restricted_places)

    def finish(self, attempt: ReadingJob, wait_seconds: float) -> CaptureResult:
        """Wait until the files of ``attempt`` are read, and archive all changes of the group as one version.

        Raises StorageError if the archive's disk cannot be written, Busy if another process still holds the
        archive's lock after ``wait_seconds``, ReadingStopped if the daemon is stopping.  Then no version was
        created, and the paths stay pending.
        """
        outcome = self.finish_all([attempt], wait_seconds)[0]
        if isinstance(outcome, ArchiverError):
            raise outcome
        return outcome

    def finish_all(
        self, attempts: Sequence[ReadingJob], wait_seconds: float
    ) -> list[CaptureResult | ArchiverError]:
        """Wait until the files of different groups are read, and archive the changes of all groups together.

        Returns the result or the error of each attempt, in the order of ``attempts``.  An error is one that
        :meth:`finish` raises: no version of this group was created, and its paths stay pending.  The error of one
        group does not keep the others from being archived, except for Busy.

        Raises ReadingStopped if the daemon is stopping.
        """
        outcomes: dict[int, CaptureResult | ArchiverError] = {}
        read_groups: list[_ReadGroup] = []
        try:
            for position, attempt in enumerate(attempts):
                try:
                    read = attempt.result()
                except ArchiverError as error:
                    outcomes[position] = error
                    continue
                if not attempt.is_overdue and self._has_lost_folder(read.unstable):
                    unstable_paths = list(attempt.states)
                    outcomes[position] = CaptureResult(has_lost_folder=True, unstable=unstable_paths)
                else:
                    read_groups.append(_ReadGroup(position, attempt, read))
        finally:
            for attempt in attempts:
                self._quota.release(attempt.group)
        try:
            outcomes |= self._write_groups(read_groups, wait_seconds)
        except Busy as error:
            outcomes |= {group.position: error for group in read_groups}
        except ArchiverError as error:
            self._failed_groups.update(group.attempt.group for group in read_groups)
            if len(read_groups) == 1:
                outcomes[read_groups[0].position] = error
            else:
                # The error may concern only one group, for example a ref that is in the way of its branch.  Each
                # group is written separately, so that the others succeed.
                for group in read_groups:
                    outcomes[group.position] = self.finish_all([group.attempt], wait_seconds)[0]
        return [outcomes[position] for position in range(len(attempts))]

    def _write_groups(
        self, read_groups: Sequence[_ReadGroup], wait_seconds: float
    ) -> dict[int, CaptureResult | ArchiverError]:
        """Write a version of each changed group, all in a single batch; return the outcome of each group.

        The outcomes are keyed by :attr:`_ReadGroup.position`.

        An outcome that is an error concerns only its group.  Raises the errors of :meth:`finish`; then no version
        was created for any group.
        """
        outcomes: dict[int, CaptureResult | ArchiverError] = {}
        compared: list[tuple[_ReadGroup, CaptureResult]] = []
        drafts: list[tuple[CaptureResult, VersionDraft]] = []
        if not read_groups:
            return outcomes
        with self._archive.writing(wait_seconds) as writer:
            for group in read_groups:
                self._reader.check_stop()
                read = group.read
                result = CaptureResult(unstable=read.unstable, held=read.held, unreadable=read.unreadable)
                try:
                    draft, result.before = self._make_draft(group)
                except StorageError as error:
                    outcomes[group.position] = error
                    continue
                compared.append((group, result))
                if draft is not None:
                    drafts.append((result, draft))
            if not self._failed_groups.isdisjoint(group.attempt.group for group, _ in compared):
                # Otherwise each attempt would sign a head that no journal has, for as long as the cause lasts.
                self._archive.repository.check_creatable(_list_new_refs(draft for _, draft in drafts))
            events = writer.write_batch([draft for _, draft in drafts], check_stop=self._reader.check_stop)
            self._failed_groups.difference_update(group.attempt.group for group, _ in compared)
            for (result, draft), event in zip(drafts, events, strict=True):
                result.tag, result.commit = event.object, event.refs[draft.submission.branch]
                result.changes = len(draft.changes)
            point = self._archive.index.journal_point
        for group, result in compared:
            result.point = point
            self._complete(group, result)
            outcomes[group.position] = result
        return outcomes

    def _has_lost_folder(self, unstable_paths: Iterable[bytes]) -> bool:
        """Return True if the folder of a file that changed or vanished during the reading is gone.

        If a folder is renamed during its capture, a version would have only the files that were read before.
        """
        for folder in {path.rpartition(b"/")[0] for path in unstable_paths}:
            try:
                if folder and not stat.S_ISDIR(self._access.look_up(folder).mode):
                    return True
            except (FileNotFoundError, NotADirectoryError):
                return True
            except OSError:
                # It may still be there.
                continue
        return False

    def _make_draft(self, group: _ReadGroup) -> tuple[VersionDraft | None, str]:
        """Draft a group's version; a file whose object was removed since its publication counts as unreadable.

        Raises StorageError if content is missing for another reason.
        """
        try:
            return self._drafter.make_draft(group.attempt.group, group.settled, group.read.staged)
        except StorageError:
            if not drop_removed_objects(self._archive.content, group.read):
                raise
            return self._drafter.make_draft(group.attempt.group, group.settled, group.read.staged)

    def _complete(self, group: _ReadGroup, outcome: CaptureResult) -> None:
        """Record the archived paths of a group in the snapshot, and set ``fresh`` and ``done`` in ``outcome``."""
        outcome.fresh = [path for path, item in group.read.staged.items() if item.is_racy]
        # No file has this state, so that the next scan finds the path changed, and the file is read again.
        racy_states = dict.fromkeys(outcome.fresh, StatData.unknown())
        self._remember(group.attempt.group, group.settled | racy_states, outcome)
        self._snapshot.note_unreadable(outcome.unreadable)
        stand_ins = (find_stand_in(path, item.stat_data.size) for path, item in group.read.staged.items())
        self._snapshot.note_captured(
            group.read.sparse, [stand_in for stand_in in stand_ins if stand_in is not None]
        )
        announce_step(Step.SNAPSHOT_SAVED)
        given_up = (skip.path for skip in outcome.unreadable if skip.code not in PASSING_CODES)
        outcome.done = [*group.settled, *given_up]

    def newest(self, group: Group) -> Version | None:
        """Return the newest version of the group's submission, or None; see :meth:`VersionDrafter.newest`."""
        return self._drafter.newest(group)

    def drop(self, attempt: ReadingJob) -> None:
        """Give up an unfinished attempt.  Content that is already published stays, and is reused by the next."""
        self._quota.release(attempt.group)
        attempt.cancel()

    def rest(self) -> None:
        """End the child processes for small files; new ones start when needed.

        The caller makes sure that nothing is being read.
        """
        self._reader.rest()

    def close(self) -> None:
        """Stop reading, and end the threads and child processes."""
        self._reader.close()

    def _remember(self, group: Group, seen: Mapping[bytes, State], outcome: CaptureResult) -> None:
        """Record the states ``seen``, which ``group`` has just archived, in the snapshot.

        A change that another group still has to archive is left out.  If a file of one group has become a folder
        of another, its entry must stay until the first group has archived the deletion: after a crash, nothing
        else would show that the file existed.
        """
        entries: dict[bytes, State] = {}
        for path, state in seen.items():
            if state == FOLDER and locate_path(path, self._layout, is_folder=True)[0] != group:
                # This group has archived the deletion of its file.  The other group archives the folder.
                entries[path] = None
            elif state != FOLDER or not self._is_file_of_another(group, path):
                entries[path] = state
        self._snapshot.record(
            entries, group.prefix, outcome.before, outcome.tag or "", outcome.commit, outcome.point
        )

    def _is_file_of_another(self, group: Group, path: bytes) -> bool:
        """Return True if the snapshot has a file at ``path`` that belongs to a group other than ``group``."""
        return (
            isinstance(self._snapshot.archived_state(path), StatData)
            and locate_path(path, self._layout)[0] != group
        )


def _list_new_refs(drafts: Iterable[VersionDraft]) -> list[str]:
    """Return the full names of the refs that the versions of ``drafts`` create."""
    new_refs = []
    for draft in drafts:
        new_refs.append(f"refs/tags/{draft.submission.tag(draft.number)}")
        if draft.parent is None:
            new_refs.append(draft.submission.branch)
    return new_refs
