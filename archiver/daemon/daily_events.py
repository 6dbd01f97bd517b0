"""Journal the compliance clock and sign a checkpoint every day, even if nothing is captured.

The *compliance clock* decides when retention periods end.  It advances from one event of the journal to the next
by the kernel's clock since boot, or to the time in a timestamp token, so setting the wall clock does not move it.
A *checkpoint* is a signature over the state of the archive, and so over all earlier events.
"""

from __future__ import annotations

from collections.abc import Callable

from archiver import clock
from archiver.evidence.checkpoint import is_checkpoint_due, make_checkpoint
from archiver.store.archive import Archive
from archiver.store.events.evidence_events import ClockTicked
from archiver.store.writing.drafts import Draft

_DAY_NS = 86_400 * 10**9


def journal_clock_daily(archive: Archive, journal_event: Callable[[Draft], None]) -> None:
    """Journal a clock event if the newest event is more than a day old or belongs to an earlier boot.

    Retention counts only the time between two events of the same boot.  Without clock events, a period in which
    nothing is captured would not count.  ``journal_event`` writes the event; its errors are passed on.  Does
    nothing for an archive without any event.
    """
    newest_event = archive.journal.newest_event()
    if newest_event is None:
        return
    clock_reading = clock.read_clocks()
    _, last_clock_reading = clock.parse_evidence(newest_event.clock)
    has_rebooted = last_clock_reading.boot_id != clock_reading.boot_id
    if has_rebooted or clock_reading.boottime_ns - last_clock_reading.boottime_ns > _DAY_NS:
        journal_event(Draft("clock", ClockTicked()))


def sign_checkpoint_daily(archive: Archive, lock_timeout: float) -> None:
    """Sign a checkpoint if one is due; ``lock_timeout`` is in seconds.

    The caller may go on capturing after a failure, for example if the key cannot be used: the next signed head
    covers all earlier events.

    Raises ArchiverError if the checkpoint cannot be signed.
    """
    if is_checkpoint_due(archive):
        make_checkpoint(archive, lock_timeout)
