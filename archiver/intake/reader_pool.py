"""Threads that read files, as many as the system allows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor


class ReaderPool(ThreadPoolExecutor):
    """A pool that makes do with the threads that it has, where the system starts no more."""

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
