"""Copy content into a package, by a process for each processor, while the rest of the package is written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple

from archiver.audit.copy_worker import CopiedFile, CopyFailure, copy_files, decode_outcome
from archiver.store.content.copier import Copier
from archiver.workers import WorkerPool, WorkerProblem, WorkerProgram

#: One request to a process. Smaller, and requests cost more than copies; larger, and one process copies alone
#: at the end.
_BATCH_FILES, _BATCH_BYTES = 128, 32 << 20
#: The time for a batch. Shorter, and a busy disk costs the batch copied once more, here. Longer, and a stuck
#: process delays an export for nothing.
_BATCH_SECONDS, _SLOWEST_BYTES_PER_SECOND = 300.0, 1 << 20


class _PendingCopy(NamedTuple):
    """A future copy; the size comes first, since batches are sorted by size."""

    size: int
    name: str
    source: str
    target: str


class CopyPool:
    """Make the copies of one package.  The owner ends all threads and processes with :meth:`close`.

    The processes are started at once: they take as long to start as the selection of the content to copy.
    """

    def __init__(self) -> None:
        self._worker_pool = WorkerPool(WorkerProgram("archiver.audit.copy_worker"))
        thread_count = len(os.sched_getaffinity(0))
        self._thread_pool = ThreadPoolExecutor(thread_count)
        for _ in range(thread_count):
            self._thread_pool.submit(self._worker_pool.start)
        self._unsent_copies: list[_PendingCopy] = []
        self._unsent_bytes = 0
        self._started_batches: list[tuple[list[_PendingCopy], Future[list[CopiedFile | CopyFailure]]]] = []

    def close(self) -> None:
        """Begin no more copies, and wait for the running ones."""
        self._thread_pool.shutdown(cancel_futures=True)
        self._worker_pool.close()

    def add(self, name: str, source: str, target: str, size: int, algorithms: Sequence[str]) -> None:
        """Copy a file of ``size`` bytes, soon; :meth:`finish` returns the copy under ``name``."""
        self._unsent_copies.append(_PendingCopy(size, name, source, target))
        self._unsent_bytes += size
        if len(self._unsent_copies) >= _BATCH_FILES or self._unsent_bytes >= _BATCH_BYTES:
            self._start_batch(algorithms)

    def _start_batch(self, algorithms: Sequence[str]) -> None:
        # Large files first: the disk writes them while the many small ones are opened.
        batch = sorted(self._unsent_copies, reverse=True)
        self._unsent_copies, self._unsent_bytes = [], 0
        self._started_batches.append((batch, self._thread_pool.submit(self._copy_batch, batch, list(algorithms))))

    def _copy_batch(self, batch: list[_PendingCopy], algorithms: list[str]) -> list[CopiedFile | CopyFailure]:
        """Have a batch copied by this thread's process, or copy here if the process does not reply."""
        path_pairs = [(copy.source, copy.target) for copy in batch]

        def decode_reply(reply: Any) -> list[CopiedFile | CopyFailure]:
            return [decode_outcome(value) for _, value in zip(path_pairs, reply, strict=True)]

        timeout_seconds = _BATCH_SECONDS + sum(copy.size for copy in batch) / _SLOWEST_BYTES_PER_SECOND
        try:
            return self._worker_pool.call((path_pairs, algorithms), decode_reply, timeout_seconds)
        except WorkerProblem:
            # This user may run no more processes, or the process was killed, maybe in the middle of a file.
            for _, target in path_pairs:
                with suppress(FileNotFoundError):
                    os.unlink(target)
            return copy_files(path_pairs, algorithms, Copier())

    def finish(self, algorithms: Sequence[str]) -> Iterator[tuple[str, CopiedFile]]:
        """Yield the name and the result of each copy, batch by batch; nothing is added afterwards.

        Raises OSError with the reason and the file of the first copy that failed.
        """
        self._start_batch(algorithms)
        for batch, future in self._started_batches:
            for copy, outcome in zip(batch, future.result(), strict=True):
                if isinstance(outcome, CopyFailure):
                    raise OSError(outcome.errno, outcome.reason, outcome.file)
                yield copy.name, outcome
        self._started_batches.clear()
        self._worker_pool.release()
