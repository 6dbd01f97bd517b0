"""Journal the compliance clock and sign a checkpoint daily, whether or not anything is captured."""

from __future__ import annotations

from collections.abc import Callable

from archiver import clock
from archiver.errors import ArchiverError
from archiver.evidence.checkpoint import is_checkpoint_due, make_checkpoint
from archiver.intake.snapshot import Snapshot
from archiver.store.archive import Archive
from archiver.store.events.evidence_events import ClockTicked
from archiver.store.writer import Draft

#: Key of ``state.db`` for the time when a checkpoint failed first (RFC 3339); empty once one succeeds.
UNSIGNED = "unsigned_since"
_DAY_NS = 86_400 * 10**9


def journal_tick(archive: Archive, append: Callable[[Draft], None]) -> None:
    """Journal the clock at least daily and after each boot.

    Retention counts only time that two events of one boot span, so a gap without events earns none.
    """
    newest_event = archive.journal.head()
    if newest_event is None:
        return
    reading = clock.read()
    _, last_reading = clock.from_evidence(newest_event.clock)
    has_rebooted = last_reading.boot_id != reading.boot_id
    if has_rebooted or reading.boottime_ns - last_reading.boottime_ns > _DAY_NS:
        append(Draft("clock", ClockTicked()))


def sign_daily(archive: Archive, snapshot: Snapshot, lock_timeout: float) -> None:
    """Sign a due checkpoint; while signing fails, ``state.db`` keeps the time of the first failure.

    Capturing goes on unsigned, for example without a usable key: the next checkpoint covers what came before.

    Raises what signing raises.
    """
    if not is_checkpoint_due(archive):
        return
    try:
        make_checkpoint(archive, lock_timeout)
    except ArchiverError:
        if not snapshot.meta(UNSIGNED):
            snapshot.set_meta(UNSIGNED, clock.stamp(clock.read().wall))
        raise
    if snapshot.meta(UNSIGNED):
        snapshot.set_meta(UNSIGNED, "")
