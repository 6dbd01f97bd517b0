"""Read the files of settled groups in the background, and publish the copies as content objects.

Companies have many submissions of few files.  If each submission were synced to disk separately, syncing would
take most of the time.  Therefore groups that have settled at the same time are read together, as one *round*,
whatever their submissions and filings.  A *reading order* is a part of a round: one thread or child process reads
the files of an order.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

from archiver.errors import ArchiverError, StorageError
from archiver.intake.exclusion.size_limits import NO_LIMITS, SizeLimits
from archiver.intake.folder.access import DirectAccess, FolderAccess
from archiver.intake.layout import Group, locate_path
from archiver.intake.reader_pool import ReaderPool
from archiver.intake.snapshot import SkippedPath, State
from archiver.intake.staging import FileReader, ReadingOrder, ReadingStopped, StagingResult, publish_result
from archiver.intake.staging_worker import StagingProcesses
from archiver.store.content.objects import ContentStore
from archiver.store.content.source import StatData
from archiver.store.content.spool import StagedCopy
from archiver.store.index.restrictions import FilePlace
from archiver.store.sensitive import matching_pattern
from archiver.workers import WorkerProblem

#: The number of threads that read files.  No more child processes run, because each works for one of the threads.
_WORKERS = 2
#: If a round has at least this many small files, child processes read them faster than threads do, although each
#: child takes a tenth of a second to start.
_MANY_SMALL_FILES = 500
#: The largest size of a small file.
_SMALL_BYTES = 256 << 10


class _Bounds(NamedTuple):
    """The limits of a reading order: the order ends with the file that reaches either limit."""

    files: int
    bytes: int


#: For threads.  Lower, and the orders of 100,000 files take too much memory.  Higher, and the other threads are
#: idle while one still reads the last order.
_THREAD_BOUNDS = _Bounds(64, 8 << 20)
#: For child processes, which sync after each order.  Higher, and the daemon waits longer for a stop: a child does
#: not stop before the end of an order.
_PROCESS_BOUNDS = _Bounds(512, 32 << 20)


class GroupToRead(NamedTuple):
    """A settled group, whose files can be read."""

    group: Group
    #: Settled path -> its state.  Only files are read, not empty folders and deletions.
    states: Mapping[bytes, State]
    #: Files that are read even while a process has them open for writing.
    overdue: Collection[bytes] = frozenset()
    #: Path -> why the file is not read, although it is settled.
    refused: Mapping[bytes, SkippedPath] = MappingProxyType({})


_RoundOutcome = dict[Group, StagingResult | ArchiverError]


@dataclass(frozen=True, slots=True)
class ReadingJob:
    """A group whose files are being read and published in the background, with the other groups of its round."""

    group: Group
    #: Settled path -> its state.
    states: Mapping[bytes, State]
    #: True if a file of the group is overdue, so that the others wait for nothing any longer.
    is_overdue: bool
    #: The future outcome of all groups in the round.
    _round: Future[_RoundOutcome]

    def is_done(self, seconds: float) -> bool:
        """Wait at most ``seconds`` for the whole round; return True if it is complete, or has failed."""
        return bool(wait([self._round], seconds).done)

    def result(self) -> StagingResult:
        """Wait until the round is complete; return the outcome for the group's files.

        Raises StorageError if the archive's disk cannot be written, ReadingStopped if the daemon is stopping.
        """
        outcome = self._round.result()[self.group]
        if isinstance(outcome, ArchiverError):
            raise outcome
        return outcome

    def cancel(self) -> None:
        """Give up the round, unless the publishing thread has begun to complete it.

        Content that is already published stays, and the next round reuses it.  Copies that are not published are
        discarded.
        """
        self._round.cancel()


class GroupReader:
    """Reads and publishes the files of groups, round by round.

    Owns the threads and child processes that read; the owner ends them with :meth:`close`.  Only one thread may
    call.
    """

    def __init__(
        self,
        access: FolderAccess,
        content: ContentStore,
        archive_folder: bytes,
        layout: str,
        sensitive_patterns: Sequence[str],
        stopping: threading.Event,
        limits: SizeLimits = NO_LIMITS,
    ) -> None:
        """Read through ``access`` into ``content``, which belongs to the archive in ``archive_folder``.

        If the path of a material matches one of ``sensitive_patterns``, only the archive's owner may read its
        content.  ``layout`` is the setting ``watch.layout``, and ``limits`` are those of single files.  Setting
        ``stopping`` makes the threads stop before the next chunk of a file; :meth:`close` sets it, too.  The
        caller closes ``access``.
        """
        self._content = content
        self._layout = layout
        self._sensitive_patterns = sensitive_patterns
        self._stopping = stopping
        self._readers = ReaderPool(_WORKERS)
        self._publisher = ReaderPool(1)
        self._limits = limits
        self._file_reader = FileReader(access, content, self.check_stop, limits)
        self._processes = (
            StagingProcesses(access.root, content, archive_folder) if isinstance(access, DirectAccess) else None
        )

    def read_round(
        self, groups: Sequence[GroupToRead], restricted_places: Iterable[FilePlace] = ()
    ) -> list[ReadingJob]:
        """Begin to copy and publish the files of different groups in the background; return at once.

        Raises RuntimeError if the system starts no thread for that.

        If a file has the filing, path and content of one of ``restricted_places``, only the archive's owner may
        read its content.  A file that a process has open for writing is left out unless it is overdue.
        """
        small: dict[bytes, _FileToRead] = {}
        large: dict[bytes, _FileToRead] = {}
        for group in groups:
            for path, state in group.states.items():
                # An empty folder that became a file may be in two groups.  The dicts hold each path only once.
                if isinstance(state, StatData) and path not in group.refused:
                    # Child processes know no limits, so what may exceed one is not read there.
                    files = small if state.size <= self._largest_small_file else large
                    files[path] = _FileToRead(path, state.size, path in group.overdue)
        restricted = _restricted_digests_by_place(restricted_places)
        read_small, bounds = self._file_reader.read, _THREAD_BOUNDS
        if self._processes is not None and len(small) >= _MANY_SMALL_FILES:
            read_small, bounds = self._read_in_process, _PROCESS_BOUNDS
        # The publisher's thread has to exist before anything is read: nobody else would publish it.
        self._publisher.submit(_do_nothing)
        readings: list[_Reading] = []
        try:
            for order in self._orders(small.values(), bounds, restricted):
                readings.append(_Reading(order, self._readers.submit(read_small, order)))
            for order in self._orders(large.values(), _THREAD_BOUNDS, restricted):
                readings.append(_Reading(order, self._readers.submit(self._file_reader.read, order)))
            completion = self._publisher.submit(self._complete_round, groups, readings)
        except RuntimeError:
            self._publisher.submit(self._discard, [reading.read for reading in readings])
            raise
        completion.add_done_callback(partial(self._discard_if_cancelled, readings))
        return [ReadingJob(group.group, group.states, bool(group.overdue), completion) for group in groups]

    @property
    def _largest_small_file(self) -> int:
        """Return the size up to which a child process may read a file."""
        return min(_SMALL_BYTES, self._limits.max_file_bytes or _SMALL_BYTES)

    def rest(self) -> None:
        """End the child processes for small files; new ones start when needed.

        The caller makes sure that nothing is being read.
        """
        if self._processes is not None:
            self._processes.close()

    def close(self) -> None:
        """Stop reading, and end the threads and child processes."""
        self._stopping.set()
        self._publisher.shutdown()
        self._readers.shutdown()
        self.rest()

    def _orders(
        self,
        files: Iterable[_FileToRead],
        bounds: _Bounds,
        restricted: Mapping[tuple[str, bytes], frozenset[str]],
    ) -> Iterator[ReadingOrder]:
        """Yield reading orders for all of ``files``, each ending at ``bounds``.

        ``restricted`` are digests by filing and path, from :func:`_restricted_digests_by_place`.
        """
        for batch in _batches(files, bounds):
            order = ReadingOrder([file.path for file in batch], {file.path for file in batch if file.is_overdue})
            if self._sensitive_patterns or restricted:
                for path in order.paths:
                    group, material_path = locate_path(path, self._layout)
                    if matching_pattern(material_path, self._sensitive_patterns):
                        order.private.add(path)
                    elif digests := restricted.get((group.submission().filing, material_path)):
                        order.restricted[path] = digests
            yield order

    def _read_in_process(self, order: ReadingOrder) -> StagingResult:
        """Read and publish the files of ``order`` in a child process.

        If the child fails, this process reads the files instead, and publishes none of the copies.  Raises the
        errors of :meth:`FileReader.read`.
        """
        self.check_stop()
        try:
            # Only set if child processes can read the folder: see read_round, the only caller.
            assert self._processes is not None
            return self._processes.read(order)
        except WorkerProblem:
            # This user may not run more processes, or the child was killed.  Reading here only takes longer.
            return self._file_reader.read(order)

    def check_stop(self) -> None:
        """Raise ReadingStopped if the daemon is stopping."""
        if self._stopping.is_set():
            raise ReadingStopped

    def _complete_round(self, groups: Sequence[GroupToRead], readings: Sequence[_Reading]) -> _RoundOutcome:
        """Wait for all readings, publish the copies that are not published yet, and return each group's outcome.

        If an order fails, its error is the outcome of every group with a file in that order.  Raises
        ReadingStopped if the daemon is stopping; no copy is left in the spool then.
        """
        whole = StagingResult()
        errors: dict[bytes, ArchiverError] = {}
        try:
            for reading in readings:
                try:
                    whole.add(reading.read.result())
                except ArchiverError as error:
                    errors |= dict.fromkeys(reading.order.paths, error)
        except BaseException:
            # ReadingStopped, or a limit of the system: the service goes on.
            self._discard(reading.read for reading in readings)
            raise
        outcomes: _RoundOutcome = {}
        for group in groups:
            whole.unreadable += group.refused.values()
            failed_path = next(filter(errors.__contains__, group.states), None)
            outcomes[group.group] = whole.select(group.states) if failed_path is None else errors[failed_path]
        self._publish(outcomes, whole.staged)
        return outcomes

    def _discard_if_cancelled(
        self, readings: Sequence[_Reading], completion: Future[dict[Group, StagingResult | ArchiverError]]
    ) -> None:
        """Discard the copies of a round that was given up; on the publisher's thread, because that may wait."""
        if completion.cancelled():
            # Otherwise the pool is closing, and the next service clears the spool.
            with suppress(RuntimeError):
                self._publisher.submit(self._discard, [reading.read for reading in readings])

    def _discard(self, reads: Iterable[Future[StagingResult]]) -> None:
        """Cancel readings, and discard the copies of those that cannot be cancelled."""
        for read in reads:
            if not read.cancel() and read.exception() is None:
                self._content.spool.discard_copies(read.result().staged.values())

    def _publish(self, outcomes: _RoundOutcome, staged: Mapping[bytes, StagedCopy]) -> None:
        """Publish the copies of all groups together or, after an error, group by group.

        The error of a group replaces its result in ``outcomes``.  ``staged`` are the copies of the whole round;
        copies that belong only to failed groups are discarded.
        """
        results = {group: result for group, result in outcomes.items() if isinstance(result, StagingResult)}
        copies = {path: copy for result in results.values() for path, copy in result.staged.items()}
        self._content.spool.discard_copies(copy for path, copy in staged.items() if path not in copies)
        try:
            self._content.publish_copies(copies.values())
        except StorageError:
            for group, result in results.items():
                try:
                    publish_result(self._content, result)
                except StorageError as error:
                    outcomes[group] = error
        for copy in copies.values():
            if copy.is_private:
                # At the same moment, another process may have published the same bytes for the reading group.
                with suppress(OSError):
                    self._content.restrict_to_owner(copy.sha256)


def _do_nothing() -> None:
    """Make a pool start its thread."""


class _FileToRead(NamedTuple):
    """A file of a round, with the size observed last."""

    path: bytes
    size: int
    is_overdue: bool


class _Reading(NamedTuple):
    """A reading order, and the future result."""

    order: ReadingOrder
    read: Future[StagingResult]


def _restricted_digests_by_place(places: Iterable[FilePlace]) -> dict[tuple[str, bytes], frozenset[str]]:
    """Return the restricted SHA-256 values of each filing and path."""
    digests: dict[tuple[str, bytes], frozenset[str]] = {}
    for place in places:
        key = place.filing, place.path
        digests[key] = digests.get(key, frozenset()) | {place.sha256}
    return digests


def _batches(files: Iterable[_FileToRead], bounds: _Bounds) -> Iterator[list[_FileToRead]]:
    """Yield ``files`` in lists; each list ends with the file that reaches either limit of ``bounds``."""
    batch: list[_FileToRead] = []
    size = 0
    for file in files:
        batch.append(file)
        size += file.size
        if len(batch) == bounds.files or size >= bounds.bytes:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
