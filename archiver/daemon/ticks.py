"""The compliance clock's own events: without them, a long time without any event would earn no retention."""

from __future__ import annotations

from collections.abc import Callable

from archiver import clock
from archiver.store.archive import Archive
from archiver.store.writer import Draft

_DAY_NS = 86_400 * 10**9


def journal_tick(archive: Archive, append: Callable[[Draft], None]) -> None:
    """Journal the clock at least daily and after each boot: a gap earns no retention."""
    newest = archive.journal.head()
    if newest is None:
        return
    reading = clock.read()
    _, before = clock.from_evidence(newest.clock)
    if before.boot_id != reading.boot_id or reading.boottime_ns - before.boottime_ns > _DAY_NS:
        append(Draft("tick", "clock"))
