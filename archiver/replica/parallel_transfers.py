"""Runs transfers on several threads until all are complete, a transfer fails, or the service ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from archiver.replica.bucket import TransferStopped

#: Called with the number of bytes transferred so far, and the total number of bytes to transfer.
Progress = Callable[[int, int], None]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def run_in_parallel(
    transfer: Callable[[_Item], _Result],
    items: Iterable[_Item],
    thread_count: int,
    stopping: threading.Event,
) -> list[_Result]:
    """Call ``transfer`` for each item on ``thread_count`` threads. Return the results in the order of the items.

    After a failure, or after ``stopping`` is set, no further item is begun. All threads have ended when the call
    returns or raises an error.

    Raises the error of the failed item that comes first in the order of the items, or TransferStopped if no item
    failed but some were stopped or never begun.
    """
    has_failed = threading.Event()

    def transfer_unless_stopped(item: _Item) -> _Result:
        """Transfer ``item``, or raise TransferStopped if no further item may be begun."""
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
    # TransferStopped means that an item was stopped or never begun. If another item failed, that is the cause.
    failures = [error for error in errors if not isinstance(error, TransferStopped)]
    if errors:
        raise failures[0] if failures else errors[0]
    return [future.result() for future in futures]


def split_into_batches(items: Iterable[_Item], batch_size: int) -> Iterator[list[_Item]]:
    """Yield the items in lists of ``batch_size`` items. The last list may be shorter, but is never empty."""
    remaining_items = iter(items)
    while batch := list(islice(remaining_items, batch_size)):
        yield batch
