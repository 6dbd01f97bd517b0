"""Transfers on several threads, until all are complete, a transfer fails, or the service ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from archiver.replica.bucket import TransferStopped

#: Called with the bytes that were transferred so far, and the bytes to transfer in all.
Progress = Callable[[int, int], None]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def run_in_parallel(
    transfer: Callable[[_Item], _Result],
    items: Iterable[_Item],
    thread_count: int,
    stopping: threading.Event,
) -> list[_Result]:
    """Call ``transfer`` for each item on ``thread_count`` threads; return the results in the order of the items.

    After the first failure no further item is begun. Those under way are waited for, then that failure is raised,
    so no thread is left when this returns. Raises TransferStopped if ``stopping`` is set before all are begun.
    """
    has_failed = threading.Event()

    def transfer_unless_stopped(item: _Item) -> _Result:
        if stopping.is_set() or has_failed.is_set():
            raise TransferStopped
        try:
            return transfer(item)
        except BaseException:
            has_failed.set()
            raise

    with ThreadPoolExecutor(thread_count) as pool:
        futures = [pool.submit(transfer_unless_stopped, item) for item in items]
    errors = [error for future in futures if (error := future.exception()) is not None]
    # An item that gave up because another one failed does not say why.
    causes = [error for error in errors if not isinstance(error, TransferStopped)]
    for error in (causes or errors)[:1]:
        raise error
    return [future.result() for future in futures]


def split_into_batches(items: Iterable[_Item], batch_size: int) -> Iterator[list[_Item]]:
    """Yield the items in lists of ``batch_size``, to record progress after each list."""
    remaining = iter(items)
    while batch := list(islice(remaining, batch_size)):
        yield batch
