"""Read the files of settled groups in the background, and publish their content.

Companies have many submissions of few files.  If each of them had its own syncs, syncing would take most of the
time; so groups that have settled at the same time are read as one *round*, whatever their submissions and filings.
"""

from __future__ import annotations

import threading
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from archiver.errors import ArchiverError, StorageError
from archiver.intake.folder.access import DirectAccess, FolderAccess
from archiver.intake.layout import Group, locate_path
from archiver.intake.snapshot import State
from archiver.intake.staging import FileReader, ReadingOrder, ReadingStopped, StagingResult
from archiver.intake.staging_worker import StagingProcesses
from archiver.store.content.objects import ContentStore
from archiver.store.content.source import StatData
from archiver.store.content.spool import StagedCopy
from archiver.store.index.restrictions import FilePlace
from archiver.store.sensitive import matching_pattern
from archiver.workers import WorkerProblem

#: The number of threads that read files, and so of the processes that read for them.
_WORKERS = 2
#: From this number of small files in a round on, child processes read faster than threads, although each takes a
#: tenth of a second to start.
_MANY_SMALL_FILES = 500
#: The largest size of a small file.
_SMALL_BYTES = 256 << 10


class _Bounds(NamedTuple):
    """The limits of an order: it ends with the file that reaches one of them."""

    files: int
    bytes: int


#: For threads: an order for each of 100,000 files would take too much memory; a longer one would leave the other
#: threads idle at the end.
_THREAD_BOUNDS = _Bounds(64, 8 << 20)
#: For processes, which sync after each order.  A process does not stop before the end of an order.
_PROCESS_BOUNDS = _Bounds(512, 32 << 20)


class GroupToRead(NamedTuple):
    """A group that has settled."""

    group: Group
    #: The settled paths with their states.
    states: Mapping[bytes, State]
    #: Files that are read even if a process has them open for writing.
    overdue: Container[bytes] = frozenset()


_RoundOutcome = dict[Group, StagingResult | ArchiverError]


@dataclass(frozen=True, slots=True)
class ReadingJob:
    """A group whose files are being read and published in the background, with the other groups of its round."""

    group: Group
    #: The settled paths with their states.
    states: Mapping[bytes, State]
    _round: Future[_RoundOutcome]

    def is_done(self, seconds: float) -> bool:
        """Wait at most ``seconds``; return True once everything is read and published, or has failed."""
        return bool(wait([self._round], seconds).done)

    def result(self) -> StagingResult:
        """Wait until the round is complete; return what became of the group's files.

        Raises StorageError if the archive's disk cannot be written, ReadingStopped if the daemon is stopping.
        """
        outcome = self._round.result()[self.group]
        if isinstance(outcome, ArchiverError):
            raise outcome
        return outcome

    def cancel(self) -> None:
        """Give up the round if it has not begun; the next one reuses content that was published already."""
        self._round.cancel()


class GroupReader:
    """Reads groups in rounds.

    Owns the threads and processes that read; the owner ends them with :meth:`close`.  For one thread.
    """

    def __init__(
        self,
        access: FolderAccess,
        content: ContentStore,
        archive_folder: bytes,
        layout: str,
        sensitive_patterns: Sequence[str],
        stopping: threading.Event,
    ) -> None:
        """Read through ``access`` into ``content``, which belongs to the archive in ``archive_folder``.

        ``sensitive_patterns`` are matched by materials that only the archive's owner may read.  Setting
        ``stopping`` makes the threads stop before the next chunk; :meth:`close` sets it, too.
        """
        self._content = content
        self._layout = layout
        self._sensitive_patterns = sensitive_patterns
        self._stopping = stopping
        self._readers = ThreadPoolExecutor(_WORKERS)
        self._publisher = ThreadPoolExecutor(1)
        self._file_reader = FileReader(access, content, self.check_stop)
        self._processes = (
            StagingProcesses(access.root, content, archive_folder) if isinstance(access, DirectAccess) else None
        )

    def read_round(
        self, groups: Sequence[GroupToRead], restricted_places: Iterable[FilePlace] = ()
    ) -> list[ReadingJob]:
        """Begin to copy and publish the files of different groups in the background; return at once.

        ``restricted_places`` are those whose content only the archive's owner may read.  A file that a process has
        open for writing is left out unless it is overdue.
        """
        small: dict[bytes, _FileToRead] = {}
        large: dict[bytes, _FileToRead] = {}
        for group in groups:
            for path, state in group.states.items():
                # A path that was a file and is a folder now may be in two groups.
                if isinstance(state, StatData):
                    files = small if state.size <= _SMALL_BYTES else large
                    files[path] = _FileToRead(path, state.size, path in group.overdue)
        restricted = _restricted_digests_by_place(restricted_places)
        read_small, bounds = self._file_reader.read, _THREAD_BOUNDS
        if self._processes is not None and len(small) >= _MANY_SMALL_FILES:
            read_small, bounds = self._read_in_process, _PROCESS_BOUNDS
        readings = [
            _Reading(order, self._readers.submit(read_small, order))
            for order in self._orders(small.values(), bounds, restricted)
        ]
        readings += [
            _Reading(order, self._readers.submit(self._file_reader.read, order))
            for order in self._orders(large.values(), _THREAD_BOUNDS, restricted)
        ]
        completion = self._publisher.submit(self._complete_round, groups, readings)
        return [ReadingJob(group.group, group.states, completion) for group in groups]

    def rest(self) -> None:
        """End the processes for small files, as nothing is being read; they start again when needed."""
        if self._processes is not None:
            self._processes.close()

    def close(self) -> None:
        """Stop reading, and end the threads and processes."""
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
        """Yield orders for all of ``files``, each within ``bounds``."""
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
        """Read and publish in a child process; read in this process if the child fails."""
        self.check_stop()
        try:
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
        """Wait for all readings, publish the copies that are not published yet, and sort the outcome by group.

        An error concerns only the groups that have a file in the failed order.  Raises ReadingStopped if the
        daemon is stopping; no copy is left then.
        """
        whole = StagingResult()
        errors: dict[bytes, ArchiverError] = {}
        try:
            for reading in readings:
                try:
                    whole.add(reading.read.result())
                except ArchiverError as error:
                    errors |= dict.fromkeys(reading.order.paths, error)
        except ReadingStopped:
            for reading in readings:
                if not reading.read.cancel() and reading.read.exception() is None:
                    whole.add(reading.read.result())
            self._content.spool.discard_copies(whole.staged.values())
            raise
        outcomes: _RoundOutcome = {}
        for group in groups:
            failed_path = next(filter(errors.__contains__, group.states), None)
            outcomes[group.group] = whole.select(group.states) if failed_path is None else errors[failed_path]
        self._publish(outcomes, whole.staged)
        return outcomes

    def _publish(self, outcomes: _RoundOutcome, staged: Mapping[bytes, StagedCopy]) -> None:
        """Publish the copies of all groups together; if that fails, group by group, and note the errors.

        Those of ``staged`` that belong to failed groups only are discarded.
        """
        results = {group: result for group, result in outcomes.items() if isinstance(result, StagingResult)}
        copies = {path: copy for result in results.values() for path, copy in result.staged.items()}
        self._content.spool.discard_copies(copy for path, copy in staged.items() if path not in copies)
        try:
            self._content.publish_copies(copies.values())
        except StorageError:
            for group, result in results.items():
                try:
                    self._content.publish_copies(result.staged.values())
                except StorageError as error:
                    self._content.spool.discard_copies(result.staged.values())
                    outcomes[group] = error
        for copy in copies.values():
            if copy.is_private:
                # Another process may have published the same bytes at the same moment, for everybody.
                with suppress(OSError):
                    self._content.restrict_to_owner(copy.sha256)


class _FileToRead(NamedTuple):
    """A file of a round."""

    path: bytes
    size: int
    is_overdue: bool


class _Reading(NamedTuple):
    """An order, and what becomes of it."""

    order: ReadingOrder
    read: Future[StagingResult]


def _restricted_digests_by_place(places: Iterable[FilePlace]) -> dict[tuple[str, bytes], frozenset[str]]:
    """Return the SHA-256 values that are restricted, by filing and path."""
    digests: dict[tuple[str, bytes], frozenset[str]] = {}
    for place in places:
        key = place.filing, place.path
        digests[key] = digests.get(key, frozenset()) | {place.sha256}
    return digests


def _batches(files: Iterable[_FileToRead], bounds: _Bounds) -> Iterator[list[_FileToRead]]:
    """Yield ``files`` in lists that end at one of ``bounds``."""
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
