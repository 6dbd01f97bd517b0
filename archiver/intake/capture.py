"""Make a version of files that have settled.

Files are read and hashed without the lock.  What has changed is decided under the lock, by comparison with the
newest version, so that capturing the same input twice makes no second version.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from archiver.config.settings import Config
from archiver.errors import ArchiverError, Busy, StorageError
from archiver.intake.folder.access import FolderAccess
from archiver.intake.group_reader import GroupReader, GroupToRead, ReadingJob
from archiver.intake.layout import Group, locate_path
from archiver.intake.snapshot import FOLDER, SkippedPath, Snapshot, State
from archiver.intake.staging import StagingResult
from archiver.intake.version_drafting import VersionDrafter
from archiver.model import JournalPoint, Version
from archiver.store.archive import Archive
from archiver.store.content.source import StatData
from archiver.store.failpoints import Step, announce_step
from archiver.store.index import restrictions
from archiver.store.writing.drafts import VersionDraft


@dataclass(slots=True)
class CaptureResult:
    """The result of an attempt to capture a group: a version or none, and the remaining work."""

    #: The new version; None if nothing had changed.
    tag: str | None = None
    #: Its commit; empty without a new version.
    commit: str = ""
    #: The tag of the version before; empty for the first version of a submission.
    before: str = ""
    #: The number of changes in the new version.
    changes: int = 0
    #: Paths that are not pending any more, because they were archived, compared or cannot be read.
    done: list[bytes] = field(default_factory=list)
    #: Archived files that must be read again: a later change could have the same ctime as the one that was
    #: archived.
    fresh: list[bytes] = field(default_factory=list)
    #: Files that changed or disappeared while they were read.
    unstable: list[bytes] = field(default_factory=list)
    #: Files that a process has open for writing.
    held: list[bytes] = field(default_factory=list)
    #: Files that cannot be read, with the reason.
    unreadable: list[SkippedPath] = field(default_factory=list)
    #: The newest event of the journal after the attempt.
    point: JournalPoint | None = None


@dataclass(frozen=True, slots=True)
class _ReadGroup:
    """A group whose files are read and published."""

    #: The place in the list of attempts.
    position: int
    attempt: ReadingJob
    read: StagingResult

    @property
    def settled(self) -> dict[bytes, State]:
        """Return the state of each path that is to be archived."""
        states: dict[bytes, State] = {path: item.stat_data for path, item in self.read.staged.items()}
        return states | {p: state for p, state in self.attempt.states.items() if not isinstance(state, StatData)}


class Capturer:
    """Captures groups of settled paths into one archive.

    Owns the threads and processes that read; the owner ends them with :meth:`close`.  For one thread.
    """

    def __init__(
        self, archive: Archive, snapshot: Snapshot, access: FolderAccess, config: Config, stopping: threading.Event
    ) -> None:
        """Read through ``access``, and record the archived paths in ``snapshot``.

        Setting ``stopping`` makes the threads stop before the next chunk; :meth:`close` sets it, too.
        """
        self._archive = archive
        self._snapshot = snapshot
        self._layout = config.layout
        self._reader = GroupReader(
            access, archive.content, os.fsencode(archive.root), config.layout, config.sensitive, stopping
        )
        self._drafter = VersionDrafter(archive, config.layout)

    def stage(self, groups: Sequence[GroupToRead]) -> list[ReadingJob]:
        """Begin to copy and publish the files of different groups in the background; return at once.

        The caller passes the jobs to :meth:`finish_all`, or drops each of them.  It may stage further groups
        first, so that their files are read while these are finished.
        """
        restricted_places = restrictions.restrictions_by_place(self._archive.index)
        return self._reader.read_round(groups, restricted_places)

    def finish(self, attempt: ReadingJob, wait_seconds: float) -> CaptureResult:
        """Wait until the files are read, and archive any changes as a single version.

        Raises StorageError if the archive's disk cannot be written, Busy if another process holds the lock after
        ``wait_seconds``, ReadingStopped if the daemon is stopping.  Then no version was made, and the paths stay
        pending.
        """
        outcome = self.finish_all([attempt], wait_seconds)[0]
        if isinstance(outcome, ArchiverError):
            raise outcome
        return outcome

    def finish_all(
        self, attempts: Sequence[ReadingJob], wait_seconds: float
    ) -> list[CaptureResult | ArchiverError]:
        """Wait until the files of different groups are read, and archive the changes of all groups together.

        Returns for each attempt the outcome, or the error because of which no version was made and its paths stay
        pending.  Errors are as those of :meth:`finish`, and one group's error does not concern the others.  Raises
        ReadingStopped if the daemon is stopping.
        """
        outcomes: dict[int, CaptureResult | ArchiverError] = {}
        read_groups: list[_ReadGroup] = []
        for position, attempt in enumerate(attempts):
            try:
                read_groups.append(_ReadGroup(position, attempt, attempt.result()))
            except ArchiverError as error:
                outcomes[position] = error
        try:
            outcomes |= self._write_groups(read_groups, wait_seconds)
        except Busy as error:
            outcomes |= {group.position: error for group in read_groups}
        except ArchiverError as error:
            if len(read_groups) == 1:
                outcomes[read_groups[0].position] = error
            else:
                # A ref in the way, for example, concerns one group: the others are archived one by one.
                for group in read_groups:
                    outcomes[group.position] = self.finish_all([group.attempt], wait_seconds)[0]
        return [outcomes[position] for position in range(len(attempts))]

    def _write_groups(
        self, read_groups: Sequence[_ReadGroup], wait_seconds: float
    ) -> dict[int, CaptureResult | ArchiverError]:
        """Write one version for each changed group, in one batch; return the outcomes by position.

        Raises as :meth:`finish` does; no version was made then.
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
                    draft, result.before = self._drafter.make_draft(
                        group.attempt.group, group.settled, read.staged
                    )
                except StorageError as error:
                    outcomes[group.position] = error
                    continue
                compared.append((group, result))
                if draft is not None:
                    drafts.append((result, draft))
            events = writer.write_batch([draft for _, draft in drafts], check_stop=self._reader.check_stop)
            for (result, draft), event in zip(drafts, events, strict=True):
                result.tag, result.commit = event.object, event.refs[draft.submission.branch]
                result.changes = len(draft.changes)
            point = self._archive.index.journal_point
        for group, result in compared:
            result.point = point
            self._complete(group, result)
            outcomes[group.position] = result
        return outcomes

    def _complete(self, group: _ReadGroup, outcome: CaptureResult) -> None:
        """Record the archived files of a group in the snapshot, and complete the outcome."""
        outcome.fresh = [path for path, item in group.read.staged.items() if item.is_racy]
        racy_states = dict.fromkeys(outcome.fresh, StatData.unknown())
        self._remember(group.attempt.group, group.settled | racy_states, outcome)
        self._snapshot.note_unreadable(outcome.unreadable)
        announce_step(Step.SNAPSHOT_SAVED)
        outcome.done = [*group.settled, *(item.path for item in outcome.unreadable)]

    def newest(self, group: Group) -> Version | None:
        """Return the newest version of the group's submission, as :meth:`VersionDrafter.newest` does."""
        return self._drafter.newest(group)

    def drop(self, attempt: ReadingJob) -> None:
        """Give up an unfinished attempt; the next attempt reuses content published already."""
        attempt.cancel()

    def rest(self) -> None:
        """End the processes for small files, as nothing is being read; they start again when needed."""
        self._reader.rest()

    def close(self) -> None:
        """Stop reading, and end the threads and processes."""
        self._reader.close()

    def _remember(self, group: Group, seen: Mapping[bytes, State], outcome: CaptureResult) -> None:
        """Record the newly archived states in the snapshot, except changes still to be archived by another group.

        If a file of one group has become a folder of another, its entry must stay until the first group has
        archived the deletion: after a crash, nothing else would show that the file existed.
        """
        entries: dict[bytes, State] = {}
        for path, state in seen.items():
            if state == FOLDER and locate_path(path, self._layout, is_folder=True)[0] != group:
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
