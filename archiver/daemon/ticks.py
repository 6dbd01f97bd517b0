"""Journal the compliance clock and sign a checkpoint every day, even if nothing is captured."""

from __future__ import annotations

from collections.abc import Callable

from archiver import clock
from archiver.errors import ArchiverError
from archiver.evidence.checkpoint import is_checkpoint_due, make_checkpoint
from archiver.intake.snapshot import Snapshot
from archiver.store.archive import Archive
from archiver.store.events.evidence_events import ClockTicked
from archiver.store.writer import Draft

#: Key in ``state.db`` of the time (RFC 3339) at which signing began to fail; empty after a success.
UNSIGNED = "unsigned_since"
_DAY_NS = 86_400 * 10**9


def journal_tick(archive: Archive, append: Callable[[Draft], None]) -> None:
    """Journal the clock, through ``append``, if the last event is a day old or of an earlier boot.

    Retention counts only the time between two events of the same boot.  Without these events, a period in which
    nothing is captured would not count.  Does nothing for an archive without any event.
    """
    newest_event = archive.journal.newest_event()
    if newest_event is None:
        return
    reading = clock.read_clocks()
    _, last_reading = clock.parse_evidence(newest_event.clock)
    has_rebooted = last_reading.boot_id != reading.boot_id
    if has_rebooted or reading.boottime_ns - last_reading.boottime_ns > _DAY_NS:
        append(Draft("clock", ClockTicked()))


def sign_daily(archive: Archive, snapshot: Snapshot, lock_timeout: float) -> None:
    """Sign a checkpoint if one is due; while signing fails, keep the time of the first failure in ``state.db``.

    The caller goes on capturing after a failure, for example without a usable key: the next checkpoint covers all
    events before it.  ``lock_timeout`` is in seconds.

    Raises ArchiverError if the checkpoint cannot be signed.
    """
    if not is_checkpoint_due(archive):
        return
    try:
        make_checkpoint(archive, lock_timeout)
    except ArchiverError:
        if not snapshot.meta(UNSIGNED):
            snapshot.set_meta(UNSIGNED, clock.format_time(clock.read_clocks().wall))
        raise
    if snapshot.meta(UNSIGNED):
        snapshot.set_meta(UNSIGNED, "")
