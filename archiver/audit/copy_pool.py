"""Copies of content in the making, by a process for each processor, beside whatever else is written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

from archiver.audit.copy_worker import Copied, Failed, copy_all
from archiver.store.content.copier import Copier
from archiver.workers import WorkerPool

#: What one process is given at a time.
_BATCH_FILES, _BATCH_BYTES = 128, 32 << 20


class _Wanted(NamedTuple):
    size: int
    name: str
    source: str
    target: str


class Copies:
    """Begins at once to start its processes: that takes as long as finding out what there is to copy."""

    def __init__(self) -> None:
        self._workers = WorkerPool("archiver.audit.copy_worker")
        threads = len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(threads)
        for _ in range(threads):
            self._pool.submit(self._workers.start)
        self._waiting: list[_Wanted] = []
        self._waiting_bytes = 0
        self._begun: list[tuple[list[_Wanted], Future[list[Copied | Failed]]]] = []

    def close(self) -> None:
        """Begin no more, and wait for those in hand."""
        self._pool.shutdown(cancel_futures=True)
        self._workers.close()

    def add(self, name: str, source: str, target: str, size: int, algorithms: Sequence[str]) -> None:
        """Copy a file of ``size`` bytes, soon; ``name``: what :meth:`settle` calls it."""
        self._waiting.append(_Wanted(size, name, source, target))
        self._waiting_bytes += size
        if len(self._waiting) >= _BATCH_FILES or self._waiting_bytes >= _BATCH_BYTES:
            self._begin(algorithms)

    def _begin(self, algorithms: Sequence[str]) -> None:
        # Large ones first: the disk has them to write while the many small ones are opened.
        batch = sorted(self._waiting, reverse=True)
        self._waiting, self._waiting_bytes = [], 0
        self._begun.append((batch, self._pool.submit(self._copy, batch, list(algorithms))))

    def _copy(self, batch: list[_Wanted], algorithms: list[str]) -> list[Copied | Failed]:
        pairs = [(each.source, each.target) for each in batch]
        try:
            answer: list[Copied | Failed] = self._workers.call((pairs, algorithms))
        except OSError:
            # No process could be had for it; what it may have begun is begun again.
            for _, target in pairs:
                with suppress(FileNotFoundError):
                    os.unlink(target)
            return copy_all(pairs, algorithms, Copier())
        return answer

    def settle(self, algorithms: Sequence[str]) -> Iterator[tuple[str, Copied]]:
        """Each copy's name, size and digests, when it is made.

        Raises OSError with what stood in the way of the first that failed.
        """
        self._begin(algorithms)
        for batch, copies in self._begun:
            for wanted, done in zip(batch, copies.result(), strict=True):
                if len(done) == 3:
                    raise OSError(done[0], done[1], done[2])
                yield wanted.name, done
        self._begun.clear()
        self._workers.release()
