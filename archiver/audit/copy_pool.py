"""Copy content into a package, by a process for each processor, while the rest of the package is written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple

from archiver.audit.copy_worker import CopiedFile, CopyFailure, copy_all, decode_outcome
from archiver.store.content.copier import Copier
from archiver.workers import WorkerPool, WorkerProblem, WorkerProgram

#: What one process is given at a time.
_BATCH_FILES, _BATCH_BYTES = 128, 32 << 20
#: For a batch: a disk that is slow for others' sake is waited for, and a process that is stuck does not stop an
#: export for ever.  One that is given up too early costs its batch copied once more, here.
_PATIENCE_SECONDS, _SLOWEST_BYTES_PER_SECOND = 300.0, 1 << 20


class _PendingCopy(NamedTuple):
    """A copy to be made; the size comes first, since batches are sorted by it."""

    size: int
    name: str
    source: str
    target: str


class Copies:
    """The copies of one package.  The owner ends their threads and processes with :meth:`close`.

    The processes are started at once: that takes as long as finding out which content there is to copy.
    """

    def __init__(self) -> None:
        self._workers = WorkerPool(WorkerProgram("archiver.audit.copy_worker"))
        threads = len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(threads)
        for _ in range(threads):
            self._pool.submit(self._workers.start)
        self._waiting: list[_PendingCopy] = []
        self._waiting_bytes = 0
        self._begun: list[tuple[list[_PendingCopy], Future[list[CopiedFile | CopyFailure]]]] = []

    def close(self) -> None:
        """Begin no more copies, and wait for those in hand."""
        self._pool.shutdown(cancel_futures=True)
        self._workers.close()

    def add(self, name: str, source: str, target: str, size: int, algorithms: Sequence[str]) -> None:
        """Copy a file of ``size`` bytes, soon; :meth:`settle` names it ``name``."""
        self._waiting.append(_PendingCopy(size, name, source, target))
        self._waiting_bytes += size
        if len(self._waiting) >= _BATCH_FILES or self._waiting_bytes >= _BATCH_BYTES:
            self._begin(algorithms)

    def _begin(self, algorithms: Sequence[str]) -> None:
        # Large ones first: the disk has them to write while the many small ones are opened.
        batch = sorted(self._waiting, reverse=True)
        self._waiting, self._waiting_bytes = [], 0
        self._begun.append((batch, self._pool.submit(self._copy, batch, list(algorithms))))

    def _copy(self, batch: list[_PendingCopy], algorithms: list[str]) -> list[CopiedFile | CopyFailure]:
        """Have a batch copied by this thread's process, or copy it here if that gives no answer."""
        pairs = [(copy.source, copy.target) for copy in batch]

        def decode(answer: Any) -> list[CopiedFile | CopyFailure]:
            return [decode_outcome(value) for _, value in zip(pairs, answer, strict=True)]

        patience = _PATIENCE_SECONDS + sum(copy.size for copy in batch) / _SLOWEST_BYTES_PER_SECOND
        try:
            return self._workers.call((pairs, algorithms), decode, patience)
        except WorkerProblem:
            # This user may run no more processes, or it was killed.  What it may have begun is begun again.
            for _, target in pairs:
                with suppress(FileNotFoundError):
                    os.unlink(target)
            return copy_all(pairs, algorithms, Copier())

    def settle(self, algorithms: Sequence[str]) -> Iterator[tuple[str, CopiedFile]]:
        """Return each copy by its name as soon as it is made; no copy is added after that.

        Raises OSError with the reason and the file of the first copy that failed.
        """
        self._begin(algorithms)
        for batch, copies in self._begun:
            for copy, outcome in zip(batch, copies.result(), strict=True):
                if isinstance(outcome, CopyFailure):
                    raise OSError(outcome.errno, outcome.reason, outcome.file)
                yield copy.name, outcome
        self._begun.clear()
        self._workers.release()
