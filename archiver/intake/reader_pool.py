"""Threads that read and publish files, as many as the system allows."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class ReaderPool(ThreadPoolExecutor):
    """A pool that makes do with the threads that it has, where the system starts no more."""

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        """Let a thread call ``work``; raises RuntimeError if there is none, and then nobody will ever call it."""
        try:
            return super().submit(work, *arguments, **options)
        except RuntimeError:
            # The work is in the queue already: a thread that starts later would do it for nobody.
            while not self._work_queue.empty():
                if (item := self._work_queue.get_nowait()) is not None:
                    item.future.cancel()
            raise

    def _adjust_thread_count(self) -> None:
        """Start a thread if none is idle; raises RuntimeError only if there is none at all.

        Without this, :meth:`submit` would fail although a thread is going to do the work: it calls this method
        after it has queued the work.
        """
        try:
            super()._adjust_thread_count()
        except RuntimeError:
            if not self._threads:
                raise
