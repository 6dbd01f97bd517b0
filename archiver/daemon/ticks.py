"""What the daemon journals daily, whether or not anything happens: the compliance clock, and a checkpoint."""

from __future__ import annotations

from collections.abc import Callable

from archiver import clock
from archiver.errors import ArchiverError
from archiver.evidence.checkpoint import checkpoint, is_due
from archiver.intake.snapshot import Snapshot
from archiver.store.archive import Archive
from archiver.store.writer import Draft

#: Under this name ``state.db`` holds when a checkpoint failed first (RFC 3339); empty once one succeeds.
UNSIGNED = "unsigned_since"
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


def sign_daily(archive: Archive, snapshot: Snapshot, wait_seconds: float) -> None:
    """Sign the archive where that is due; leave word for ``status`` while it fails, as without a usable key.

    Capture goes on unsigned; the next checkpoint covers what came before.  Raises what signing raises.
    """
    if not is_due(archive):
        return
    try:
        checkpoint(archive, wait_seconds)
    except ArchiverError:
        if not snapshot.meta(UNSIGNED):
            snapshot.set_meta(UNSIGNED, clock.stamp(clock.read().wall))
        raise
    if snapshot.meta(UNSIGNED):
        snapshot.set_meta(UNSIGNED, "")
