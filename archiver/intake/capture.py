"""Making a version of what has settled.

Reading and hashing go on without the lock; what has changed is decided under it,
against the newest version, so that the same input twice gives no second version.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Container, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace

from archiver.config.settings import Config
from archiver.errors import ArchiverError, StorageError
from archiver.intake.changeset import Changeset
from archiver.intake.folder.access import DirectAccess, FolderAccess
from archiver.intake.layout import Group, locate_path
from archiver.intake.snapshot import FOLDER, SkippedPath, Snapshot, State
from archiver.intake.staging import FileReader, ReadingStopped, StagingResult
from archiver.intake.staging_worker import StagingProcesses
from archiver.model import Change, JournalPoint, Material, Op, Submission, Version
from archiver.store.archive import Archive
from archiver.store.content.objects import StagedCopy
from archiver.store.content.source import StatData
from archiver.store.failpoints import Step, reached
from archiver.store.sensitive import matching_pattern
from archiver.store.writer import Totals, Writer
from archiver.workers import WorkerProblem

_WORKERS = 2
#: What one reader takes at a time; a task for each of 100,000 files would fill the memory.
_BATCH_FILES = 64
_BATCH_BYTES = 8 << 20
#: From so many small files on, processes of their own pay off; each takes a tenth of a second to start.
_MANY_SMALL = 500
_SMALL_BYTES = 256 << 10


@dataclass(slots=True)
class CaptureResult:
    """What became of one attempt: a version (or none), and what is left to do."""

    tag: str | None = None
    commit: str = ""
    before: str = ""
    changes: int = 0
    done: list[bytes] = field(default_factory=list)
    fresh: list[bytes] = field(default_factory=list)
    unstable: list[bytes] = field(default_factory=list)
    held: list[bytes] = field(default_factory=list)
    unreadable: list[SkippedPath] = field(default_factory=list)
    point: JournalPoint | None = None


@dataclass(frozen=True, slots=True)
class CaptureJob:
    """A group whose files are being read and published."""

    group: Group
    states: Mapping[bytes, State]
    read: Future[StagingResult]

    def is_read(self, seconds: float) -> bool:
        """Wait, at most ``seconds``, until everything is read or has failed."""
        return bool(wait([self.read], seconds).done)


class Capturer:
    """Captures groups of settled paths into one archive."""

    def __init__(
        self, archive: Archive, snapshot: Snapshot, access: FolderAccess, config: Config, stopping: threading.Event
    ) -> None:
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

    def stage(
        self, group: Group, states: Mapping[bytes, State], overdue: Container[bytes] = frozenset()
    ) -> CaptureJob:
        """Begin to read, hash, copy and publish the group's files; returns at once.

        While one attempt is finished, the files of the next ones are on their
        way.  A file that is still open for writing waits, unless it is overdue.
        """
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
        """Archive what was staged as one version.

        Raises StorageError, Busy or Stopped; nothing is half done then, and
        the paths stay pending.
        """
        read = attempt.read.result()
        settled: dict[bytes, State] = {path: item.stat_data for path, item in read.staged.items()}
        settled |= {p: state for p, state in attempt.states.items() if not isinstance(state, StatData)}
        outcome = CaptureResult(unstable=read.unstable, held=read.held, unreadable=read.unreadable)
        with self._archive.writing(wait_seconds) as writer:
            self._write(writer, attempt.group, settled, read.staged, outcome)
            outcome.point = self._archive.index.point
        outcome.fresh = [path for path, item in read.staged.items() if item.is_racy]
        self._remember(attempt.group, settled | dict.fromkeys(outcome.fresh, StatData.unknown()), outcome)
        self._snapshot.note_unreadable(outcome.unreadable)
        reached(Step.SNAPSHOT_SAVED)
        outcome.done = [*settled, *(item.path for item in outcome.unreadable)]
        return outcome

    def drop(self, attempt: CaptureJob) -> None:
        """Give an attempt up: content that was published already waits for the next one."""
        attempt.read.cancel()

    def rest(self) -> None:
        """Nothing is being read any more: the processes for many small files end."""
        if self._staging_processes is not None:
            self._staging_processes.close()

    def close(self) -> None:
        """End the threads and processes, and with them what is still being read."""
        self._stopping.set()
        self._publisher.shutdown()
        self._readers.shutdown()
        self.rest()

    def _publish(self, batches: list[Future[StagingResult]]) -> StagingResult:
        whole = StagingResult()
        try:
            for batch in batches:
                whole.add(batch.result())
            whole.staged = {path: self._marked(path, item) for path, item in whole.staged.items()}
            self._archive.content.publish(whole.staged.values())
        except (ArchiverError, ReadingStopped):
            for batch in batches:
                if not batch.cancel() and batch.exception() is None:
                    whole.add(batch.result())
            self._archive.content.discard(whole.staged.values())
            raise
        return whole

    def _marked(self, path: bytes, staged: StagedCopy) -> StagedCopy:
        if not self._sensitive or not matching_pattern(locate_path(path, self._layout)[1], self._sensitive):
            return staged
        return replace(staged, is_private=True)

    def _read(self, paths: list[bytes], overdue: Container[bytes]) -> StagingResult:
        return self._reader.read(paths, overdue)

    def _read_in_processes(self, paths: list[bytes], overdue: Container[bytes]) -> StagingResult:
        """Read a batch in a process beside this one, or here if that gives no answer."""
        self._proceed()
        try:
            assert self._staging_processes is not None
            return self._staging_processes.read(paths, overdue)
        except WorkerProblem:
            # This user may run no more processes, or it was killed: reading here takes longer, and nothing else.
            return self._read(paths, overdue)

    def _proceed(self) -> None:
        if self._stopping.is_set():
            raise ReadingStopped

    def _remember(self, group: Group, seen: Mapping[bytes, State], outcome: CaptureResult) -> None:
        """Enter what is archived now, but for what another group has still to archive.

        Crash window: a file of one group became a folder of another.  Until the
        first has archived the deletion, the file's entry is all that tells of it.
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
        return (
            isinstance(self._snapshot.archived_state(path), StatData)
            and locate_path(path, self._layout)[0] != group
        )

    def _write(
        self,
        writer: Writer,
        group: Group,
        settled: Mapping[bytes, State],
        staged: Mapping[bytes, StagedCopy],
        outcome: CaptureResult,
    ) -> None:
        latest = self.newest(group)
        outcome.before = latest.tag if latest else ""
        submission = latest.submission if latest else group.submission()
        after: dict[bytes, Material | None] = {}
        for path, state in sorted(settled.items()):
            place, material = locate_path(path, self._layout, is_folder=state == FOLDER)
            if place != group:
                # The name now belongs to a folder of another submission.
                place, material, state = group, locate_path(path, self._layout)[1], None
            if material:
                after[material] = _as_material(material, state, staged.get(path))
        changeset = Changeset(self._archive, submission, after)
        changes = changeset.changes()
        if not changes or (latest is None and not any(change.op is Op.ADD for change in changes)):
            # A submission begins with its first material, not with an empty folder.
            return
        if group.submission_folder is None and latest is not None and self._is_sealed(submission):
            submission = group.submission((submission.number or 0) + 1)
            changes = changeset.full_state()
            latest = None
        self._check_content(changes)
        number, parent = self._place(submission, latest)
        # After a version whose event cannot be read, what its tree holds is not known: the next one is whole.
        whole = None if parent == (latest.commit if latest else None) else changeset.full_state()
        totals = self._totals(latest, changes, changeset)
        event = writer.write_version(submission, number, parent, changes, totals, whole)
        outcome.tag, outcome.commit = event.object, event.refs[submission.branch]
        outcome.changes = len(changes)

    def _place(self, submission: Submission, latest: Version | None) -> tuple[int, str | None]:
        """The number and the parent of the next version, also after some whose events cannot be read."""
        repository = self._archive.repository
        number = latest.number + 1 if latest else 1
        if not self._archive.index.unread():
            return number, latest.commit if latest else None
        while repository.resolve(f"refs/tags/{submission.tag(number)}") is not None:
            number += 1
        return number, repository.resolve(submission.branch)

    def _totals(self, latest: Version | None, changes: list[Change], changeset: Changeset) -> Totals:
        counts = Counter(change.op for change in changes)
        files, size = changeset.totals_after(latest)
        return Totals(
            files,
            size,
            added=counts[Op.ADD],
            modified=counts[Op.MODIFY] + counts[Op.RENAME],
            deleted=counts[Op.DELETE],
        )

    def newest(self, group: Group) -> Version | None:
        """The newest version of the group's open submission."""
        index = self._archive.index
        if group.submission_folder is not None:
            return index.latest(group.submission())
        filing = group.submission().filing
        numbered = [s for s in index.submissions() if s.filing == filing and s.number is not None]
        return index.latest(max(numbered, key=lambda s: s.number or 0)) if numbered else None

    def _is_sealed(self, submission: Submission) -> bool:
        versions = self._archive.index.versions(submission.filing, submission.name)
        return any(version.submitted for version in versions)

    def _check_content(self, changes: list[Change]) -> None:
        for change in changes:
            if change.sha256 and change.size and not self._archive.content.has(change.sha256, change.size):
                raise StorageError(
                    "The content object {sha256} disappeared while its version was written. Nothing was "
                    "recorded and nothing archived was lost; the files are read again. Check the disk.",
                    sha256=change.sha256,
                )


def _batches(files: list[tuple[bytes, StatData]]) -> Iterator[list[bytes]]:
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


def _as_material(path: bytes, state: State, staged: StagedCopy | None) -> Material | None:
    if staged is not None:
        stat_data = staged.stat_data
        return Material(path, staged.sha256, stat_data.size, stat_data.mtime_ns, staged.health)
    return Material(path, None, 0, 0) if state == FOLDER else None
