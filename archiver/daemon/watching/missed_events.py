"""Find changes whose events did not arrive: they show that the watch on the folder is stalled."""

from __future__ import annotations

from collections.abc import Container

from archiver import clock
from archiver.intake.scan import ScanResult
from archiver.intake.snapshot import Snapshot
from archiver.store.content.source import StatData

#: An event arrives within this time. A shorter limit would report events as lost that are still on their way.
_EVENT_DELAY_SECONDS = 10.0


def find_missed_changes(
    full_scan: ScanResult, pending_before: Container[bytes], snapshot: Snapshot
) -> list[bytes]:
    """Return the files found changed by ``full_scan`` although no event was received.

    ``pending_before`` are the paths that were pending before the scan.  Left out are skipped paths, files to be
    read again, and the most recent changes, because their events may be on the way.
    """
    latest_ctime_ns = clock.wall_time_ns() - int(_EVENT_DELAY_SECONDS * 1e9)
    skipped_paths = {skipped_path.path for skipped_path in snapshot.skipped()}
    return [
        path
        for path, state in full_scan.changed.items()
        if isinstance(state, StatData) and state.ctime_ns < latest_ctime_ns
        if path not in pending_before and path not in skipped_paths
        if snapshot.archived_state(path) != StatData.unknown()
    ]
