"""Copy content into a package with one process per processor, while this process writes the other files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple

from archiver.audit.copy_worker import CopiedFile, CopyFailure, CopyPaths, copy_files, decode_outcome
from archiver.store.content.copier import Copier
from archiver.workers import WorkerPool, WorkerProblem, WorkerProgram

#: The number of files, or of bytes, at which a batch is sent to a process. With less, the requests take more time
#: than the copies. With more, one process is still copying at the end while the others have nothing to do.
_BATCH_FILES, _BATCH_BYTES = 128, 32 << 20
#: The time limit for a batch: a fixed part, and a part for the bytes. With less time, a batch on a busy disk is
#: copied again by this process. With more, a process that hangs delays the export.
_BATCH_SECONDS, _SLOWEST_BYTES_PER_SECOND = 300.0, 1 << 20


class _PendingCopy(NamedTuple):
    """A copy that is queued.  ``size`` is the first field because a batch is sorted by size."""

    size: int  # in bytes
    name: str  # as given to CopyPool.queue_copy
    source: str  # path of the file to copy
    target: str  # path of the new file


class _StartedBatch(NamedTuple):
    """A batch of copies given to one process, and the future outcomes, in the same order."""

    copies: list[_PendingCopy]
    outcomes: Future[list[CopiedFile | CopyFailure]]


class FinishedCopy(NamedTuple):
    """A successful copy, with the name given to :meth:`CopyPool.queue_copy`."""

    name: str
    file: CopiedFile


class CopyPool:
    """Makes the copies of one package.

    Call :meth:`queue_copy` for each file, then :meth:`finish_copies` once.  The owner ends all threads and
    processes with :meth:`close`.
    """

    def __init__(self) -> None:
        """Start a thread for each processor, and a process for each thread.

        The processes start at once, because starting takes about as long as the caller takes to select content.
        """
        self._worker_pool = WorkerPool(WorkerProgram("archiver.audit.copy_worker"))
        thread_count = len(os.sched_getaffinity(0))
        self._thread_pool = ThreadPoolExecutor(thread_count)
        for _ in range(thread_count):
            self._thread_pool.submit(self._worker_pool.start)
        self._unsent_copies: list[_PendingCopy] = []
        self._unsent_bytes = 0
        self._started_batches: list[_StartedBatch] = []

    def close(self) -> None:
        """Cancel the copies that were not begun, wait for the others, and end all threads and processes."""
        self._thread_pool.shutdown(cancel_futures=True)
        self._worker_pool.close()

    def queue_copy(
        self, copy_name: str, source_path: str, target_path: str, size: int, algorithms: Sequence[str]
    ) -> None:
        """Queue a copy of the file ``source_path``, of ``size`` bytes, to the new file ``target_path``.

        The bytes are hashed with ``algorithms``, names of :mod:`hashlib`.  :meth:`finish_copies` yields the copy
        under ``copy_name``.
        """
        self._unsent_copies.append(_PendingCopy(size, copy_name, source_path, target_path))
        self._unsent_bytes += size
        if len(self._unsent_copies) >= _BATCH_FILES or self._unsent_bytes >= _BATCH_BYTES:
            self._start_batch(algorithms)

    def _start_batch(self, algorithms: Sequence[str]) -> None:
        """Give all unsent copies to the next free thread as one batch."""
        # Large files come first, so that the disk writes these while the many small files are opened.
        copies = sorted(self._unsent_copies, reverse=True)
        self._unsent_copies, self._unsent_bytes = [], 0
        outcomes = self._thread_pool.submit(self._copy_batch, copies, list(algorithms))
        self._started_batches.append(_StartedBatch(copies, outcomes))

    def _copy_batch(self, copies: list[_PendingCopy], algorithms: list[str]) -> list[CopiedFile | CopyFailure]:
        """Copy a batch in the child process of this thread, and return the outcomes in the same order.

        If the child fails, this process copies the whole batch.
        """
        path_pairs = [CopyPaths(copy.source, copy.target) for copy in copies]

        def decode_reply(reply: Any) -> list[CopiedFile | CopyFailure]:
            # zip() raises ValueError if the child returned too few outcomes or too many.
            return [decode_outcome(encoded_outcome) for _, encoded_outcome in zip(path_pairs, reply, strict=True)]

        timeout_seconds = _BATCH_SECONDS + sum(copy.size for copy in copies) / _SLOWEST_BYTES_PER_SECOND
        try:
            return self._worker_pool.call((path_pairs, algorithms), decode_reply, timeout_seconds)
        except WorkerProblem:
            # The child could not be started, hung, or was killed, perhaps while it wrote a file. A copy needs a
            # target that does not exist.
            for paths in path_pairs:
                with suppress(FileNotFoundError):
                    os.unlink(paths.target)
            return copy_files(path_pairs, algorithms, Copier())

    def finish_copies(self, algorithms: Sequence[str]) -> Iterator[FinishedCopy]:
        """Start the last batch, then yield each copy, in the order of the batches, when its batch is finished.

        No copy may be queued afterwards.  ``algorithms`` must be the same as for :meth:`queue_copy`.

        Raises OSError, with the reason and the path, for the first copy that failed.
        """
        self._start_batch(algorithms)
        for batch in self._started_batches:
            for copy, outcome in zip(batch.copies, batch.outcomes.result(), strict=True):
                if isinstance(outcome, CopyFailure):
                    raise OSError(outcome.errno, outcome.reason, outcome.path)
                yield FinishedCopy(copy.name, outcome)
        self._started_batches.clear()
        self._worker_pool.release()
