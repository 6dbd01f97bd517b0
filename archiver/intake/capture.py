"""Make a version of files that have settled.

Files are read and hashed without the lock.  What has changed is decided under the lock, by comparison with the
newest version, so that capturing the same input twice makes no second version.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Container, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace

from archiver.config.settings import Config
from archiver.errors import ArchiverError, Busy, StorageError
from archiver.intake.folder.access import DirectAccess, FolderAccess
from archiver.intake.layout import Group, locate_path
from archiver.intake.snapshot import FOLDER, SkippedPath, Snapshot, State
from archiver.intake.staging import FileReader, ReadingStopped, StagingResult
from archiver.intake.staging_worker import StagingProcesses
from archiver.intake.version_drafting import VersionDrafter
from archiver.model import JournalPoint, Version
from archiver.store.archive import Archive
from archiver.store.content.objects import StagedCopy
from archiver.store.content.source import StatData
from archiver.store.failpoints import Step, announce_step
from archiver.store.index import restrictions
from archiver.store.index.restrictions import FilePlace
from archiver.store.sensitive import matching_pattern
from archiver.store.writing.drafts import VersionDraft
from archiver.workers import WorkerProblem

#: The number of threads that read files, and so of the processes that read for them.
_WORKERS = 2
#: A task for a reader ends with the file that reaches one of these limits.  A task for each of 100,000 files would
#: take too much memory; a longer one would leave the other readers idle at the end.
_BATCH_FILES = 64
_BATCH_BYTES = 8 << 20
#: From this number of small files on, child processes read faster than threads, although each takes a tenth of a
#: second to start.
_MANY_SMALL = 500
#: The largest size of a small file.
_SMALL_BYTES = 256 << 10


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
class CaptureJob:
    """A group whose files are being read and published in the background."""

    group: Group
    #: The settled paths with their states.
    states: Mapping[bytes, State]
    #: What became of reading and publishing all files.
    read: Future[StagingResult]

    def is_read(self, seconds: float) -> bool:
        """Wait at most ``seconds``; return True once everything is read and published, or has failed."""
        return bool(wait([self.read], seconds).done)


@dataclass(frozen=True, slots=True)
class _ReadGroup:
    """A group whose files are read and published."""

    #: The place in the list of attempts.
    position: int
    attempt: CaptureJob
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
        self._readers = ThreadPoolExecutor(_WORKERS)
        self._publisher = ThreadPoolExecutor(1)
        self._stopping = stopping
        self._snapshot = snapshot
        self._reader = FileReader(access, archive.content, self._proceed)
        self._staging_processes = (
            StagingProcesses(access.root, archive.content, os.fsencode(archive.root))
            if isinstance(access, DirectAccess)
            else None
        )
        self._layout = config.layout
        self._sensitive = config.sensitive
        #: The restricted places. Read by the threads, and replaced as a whole whenever a group is staged.
        self._restricted_places: Container[FilePlace] = frozenset()
        self._drafter = VersionDrafter(archive, config.layout)

    def stage(
        self, group: Group, states: Mapping[bytes, State], overdue: Container[bytes] = frozenset()
    ) -> CaptureJob:
        """Begin to copy and publish the group's files in the background; return at once.

        The caller passes the result to :meth:`finish` or :meth:`drop`.  It may stage further groups first, so that
        their files are read while this one is finished.  A file that a process has open for writing is left out
        unless it is among ``overdue``.
        """
        self._restricted_places = restrictions.restrictions_by_place(self._archive.index)
        files = [(path, state) for path, state in states.items() if isinstance(state, StatData)]
        small = [each for each in files if each[1].size <= _SMALL_BYTES]
        read_small = self._read
        if self._staging_processes is not None and len(small) >= _MANY_SMALL:
            read_small = self._read_in_processes
        batches = [self._readers.submit(read_small, batch, overdue) for batch in _batches(small)]
        large = [each for each in files if each[1].size > _SMALL_BYTES]
        batches += [self._readers.submit(self._read, batch, overdue) for batch in _batches(large)]
        return CaptureJob(group, states, self._publisher.submit(self._publish, batches))

    def finish(self, attempt: CaptureJob, wait_seconds: float) -> CaptureResult:
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
        self, attempts: Sequence[CaptureJob], wait_seconds: float
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
                read_groups.append(_ReadGroup(position, attempt, attempt.read.result()))
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
            events = writer.write_batch([draft for _, draft in drafts])
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

    def drop(self, attempt: CaptureJob) -> None:
        """Give up an unfinished attempt; the next attempt reuses content published already."""
        attempt.read.cancel()

    def rest(self) -> None:
        """End the processes for small files, as nothing is being read; they start again when needed."""
        if self._staging_processes is not None:
            self._staging_processes.close()

    def close(self) -> None:
        """Stop reading, and end the threads and processes."""
        self._stopping.set()
        self._publisher.shutdown()
        self._readers.shutdown()
        self.rest()

    def _publish(self, batches: list[Future[StagingResult]]) -> StagingResult:
        """Wait for all batches, publish their copies, and return their results as one.

        If a batch fails, or publishing does, discard all copies and raise its error.
        """
        whole = StagingResult()
        try:
            for batch in batches:
                whole.add(batch.result())
            whole.staged = {path: self._marked(path, item) for path, item in whole.staged.items()}
            self._archive.content.publish_copies(whole.staged.values())
        except (ArchiverError, ReadingStopped):
            for batch in batches:
                if not batch.cancel() and batch.exception() is None:
                    whole.add(batch.result())
            self._archive.content.discard_copies(whole.staged.values())
            raise
        return whole

    def _marked(self, path: bytes, staged: StagedCopy) -> StagedCopy:
        """Return ``staged``, marked as private if a [sensitive] pattern or a restriction covers the material."""
        if not self._sensitive and not self._restricted_places:
            return staged
        group, material_path = locate_path(path, self._layout)
        place = FilePlace(group.submission().filing, material_path, staged.sha256)
        is_private = place in self._restricted_places or matching_pattern(material_path, self._sensitive) != ""
        return replace(staged, is_private=True) if is_private else staged

    def _read(self, paths: list[bytes], overdue: Container[bytes]) -> StagingResult:
        return self._reader.read(paths, overdue)

    def _read_in_processes(self, paths: list[bytes], overdue: Container[bytes]) -> StagingResult:
        """Read a batch in a child process, or in this process if the child fails."""
        self._proceed()
        try:
            assert self._staging_processes is not None
            return self._staging_processes.read(paths, overdue)
        except WorkerProblem:
            # This user may not run more processes, or the child was killed.  Reading here only takes longer.
            return self._read(paths, overdue)

    def _proceed(self) -> None:
        """Raise ReadingStopped if the daemon is stopping."""
        if self._stopping.is_set():
            raise ReadingStopped

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


def _batches(files: list[tuple[bytes, StatData]]) -> Iterator[list[bytes]]:
    """Yield the paths of ``files`` in lists that end at _BATCH_FILES files or _BATCH_BYTES bytes."""
    batch: list[bytes] = []
    size = 0
    for path, stat_data in files:
        batch.append(path)
        size += stat_data.size
        if len(batch) == _BATCH_FILES or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
