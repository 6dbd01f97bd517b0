"""Find the problems that make ``status --check`` fail.  Each problem has a code for programs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from archiver import clock
from archiver.config.settings import Config
from archiver.daemon.watch_state import MISSING, PARTIAL, SCANS_ONLY, STALLED
from archiver.errors import LazyMessage
from archiver.intake.folder.presence import FOLDER_MISSING, NOT_MOUNTED
from archiver.intake.path_reasons import FAILED, GATHERING, LIMIT_CODES, OWN, PASSING_CODES
from archiver.intake.scan import is_unreadable
from archiver.intake.scan_record import LastScan
from archiver.retention import promises, unread
from archiver.status.disk_problems import find_disk_problems
from archiver.store import names, permissions
from archiver.store.events.event_files import FORMAT

if TYPE_CHECKING:
    from archiver.status.health_report import HealthReport

#: The longest time that a change waits in a sound archive, unless people hold it back on purpose. With a shorter
#: limit, large files that are still being copied would raise alarms. With a longer limit, a whole working day
#: could pass before anybody learns that nothing is archived.
_LONG_PENDING = timedelta(hours=1)
#: The number of scan periods that may pass before a scan is overdue.
_OVERDUE_SCAN_PERIODS = 3
#: The extra time before a scan is overdue: a scan of a slow share takes minutes, and a daemon that has just
#: started has not scanned yet.
_SCAN_GRACE_SECONDS = 600


def find_status_problems(
    health: HealthReport, watch_state: str, config: Config, now: datetime
) -> Iterator[LazyMessage]:
    """Yield each problem that needs an administrator's attention, the most severe first.

    ``health`` is complete except for its list of problems. ``watch_state`` is a key of
    :data:`archiver.daemon.watch_state.WATCH_STATES`. ``now`` is the wall clock.

    Raises OSError if the archive's folder cannot be read.
    """
    if health.daemon_process is None:
        yield LazyMessage.define("the service is not running", code="status.no-daemon")
    if watch_state == MISSING:
        yield _describe_missing_folder(health.watching_reason)
    if health.capture_stop is not None:
        yield LazyMessage.define(
            "all archived files ({number}) are missing from the watched folder, and nothing is captured; if they "
            "were removed on purpose, run: archiver watch accept --reason TEXT",
            code="status.files-missing",
        ).with_fields(number=health.capture_stop.fields["value"])
    for loss in health.large_losses:
        yield LazyMessage.define(
            "most files of {filing} ({number} of {total}) were deleted within an hour, or no longer have the "
            "content of their type, last in {tag}; earlier versions are retained; to end this warning, check the "
            "files, then run: archiver watch accept --reason TEXT",
            code="status.large-loss",
        ).with_fields(number=loss.lost_count, total=loss.file_count, filing=loss.filing, tag=loss.last_tag)
    if watch_state in (PARTIAL, SCANS_ONLY, STALLED):
        yield LazyMessage.define("the kernel does not report some changes", code="status.events-incomplete")
    yield from _find_journal_problems(health)
    if health.has_altered_guard:
        yield LazyMessage.define(
            "a hook or setting of the repository is missing or altered", code="status.guard-altered"
        )
    yield from _find_path_problems(health, now)
    if health.replica and (overdue_problem := health.replica.overdue_problem(now, config.replica.alert_hours)):
        yield overdue_problem
    if health.daemon_process and _is_scan_overdue(health.last_scan, config.scan_minutes, now):
        yield LazyMessage.define(
            "the last full comparison of the watched folder is too long ago", code="status.scan-overdue"
        )
    if health.waiting_promise is not None:
        yield promises.WAITING
    yield from unread.describe_unread_events(health.unread_events)
    yield from find_disk_problems(health.archive_folder, health.disk_forecast.is_scarce)
    yield from _find_permission_problems(health, config)


def _describe_missing_folder(reason: LazyMessage | None) -> LazyMessage:
    """Return the problem of a watched folder, missing or replaced by another folder."""
    if reason is None or reason.code in (FOLDER_MISSING.code, NOT_MOUNTED.code):
        return LazyMessage.define("the watched folder is missing", code="status.folder-missing")
    return LazyMessage.define(
        "the watched folder is missing: {reason}; if the folder at this path is right, run: archiver watch accept "
        "--reason TEXT",
        code="status.folder-replaced",
    ).with_fields(reason=reason)


def _is_scan_overdue(last_scan: LastScan, scan_minutes: float, now: datetime) -> bool:
    """Return True if, at ``now``, the last scan is too long ago for a scan every ``scan_minutes``.

    Returns False before the first scan, and if the time of the last scan is not known: a service in a container
    keeps that time in a place that the host cannot see.
    """
    max_scan_age = timedelta(minutes=_OVERDUE_SCAN_PERIODS * scan_minutes, seconds=_SCAN_GRACE_SECONDS)
    if not last_scan.time or not last_scan.is_known:
        return False
    return now - clock.parse_time(last_scan.time) > max_scan_age


def _find_path_problems(health: HealthReport, now: datetime) -> Iterator[LazyMessage]:
    """Yield the problems of unreadable and failed paths, and of paths pending for longer than _LONG_PENDING."""
    unreadable_paths = [
        skipped_path
        for skipped_path in health.skipped_paths
        if is_unreadable(skipped_path) and skipped_path.code not in LIMIT_CODES
    ]
    if unreadable_paths:
        yield LazyMessage.define(
            "{count} paths cannot be read", singular="{count} path cannot be read", code="status.unreadable-paths"
        ).with_fields(count=len(unreadable_paths))
    if files_over_limit := [path for path in health.skipped_paths if path.code in LIMIT_CODES]:
        yield LazyMessage.define(
            "{count} files are not captured because of a size limit in the settings",
            singular="{count} file is not captured because of a size limit in the settings",
            code="status.over-limit",
        ).with_fields(count=len(files_over_limit))
    if health.restless_files:
        yield LazyMessage.define(
            "{count} files are written without pause, and get version after version; the first is {path}; exclude "
            "them with watch.ignore, or close them in the program that writes them",
            singular="a file is written without pause, and gets version after version: {path}; exclude it with "
            "watch.ignore, or close it in the program that writes it",
            code="status.restless-files",
        ).with_fields(count=len(health.restless_files), path=names.name_as_text(health.restless_files[0]))
    failed_paths = [pending_path for pending_path, _ in health.pending_paths if pending_path.code == FAILED.code]
    if failed_paths:
        yield LazyMessage.define(
            "{count} changes could not be captured",
            singular="{count} change could not be captured",
            code="status.failed-changes",
        ).with_fields(count=len(failed_paths))
    if archive_paths := [skipped_path for skipped_path in health.skipped_paths if skipped_path.code == OWN.code]:
        yield LazyMessage.define(
            "the archive is inside the watched folder: {path}", code="status.archive-in-folder"
        ).with_fields(path=names.name_as_text(archive_paths[0].path))
    # Gathered paths wait on purpose: the settings combine several changes into one version.  Files that another
    # program refuses are among the unreadable ones.
    waiting_codes = PASSING_CODES | {GATHERING.code}
    pending_times = [
        since for pending_path, since in health.pending_paths if pending_path.code not in waiting_codes
    ]
    if pending_times and now - clock.parse_time(min(pending_times)) > _LONG_PENDING:
        yield LazyMessage.define("changes have been waiting for more than 1 hour", code="status.long-pending")


def _find_permission_problems(health: HealthReport, config: Config) -> Iterator[LazyMessage]:
    """Yield a problem if users other than the owner and the reading group can read or change the archive.

    The settings name the reading group, whose members may read the archive. Yields nothing if the group does not
    exist, or if the caller has no access to the archive's folders.
    """
    try:
        reading_group_id = permissions.reading_group_id(config.read_group)
        accessible_paths = list(
            permissions.find_overly_permissive_entries(health.archive_folder, reading_group_id)
        )
    except (OSError, KeyError):
        # The group in the settings does not exist, which the daemon reports at its start, or the caller has no
        # access.
        return
    if accessible_paths:
        yield LazyMessage.define(
            "other users can read or change {count} files and folders of the archive; the first is {path}; "
            "restart the service to fix the permissions",
            singular=(
                "other users can read or change {count} file or folder of the archive: {path}; restart the "
                "service to fix the permissions"
            ),
            code="status.too-open",
        ).with_fields(
            count=len(accessible_paths), path=os.path.relpath(accessible_paths[0], health.archive_folder.parent)
        )


def _find_journal_problems(health: HealthReport) -> Iterator[LazyMessage]:
    """Yield the problems of a journal that cannot be continued or signed, or that has lost events."""
    if health.journal_problem is not None:
        yield LazyMessage.define(
            "the journal cannot be continued: {problem}", code="status.journal-damaged"
        ).with_fields(problem=health.journal_problem)
    if health.format_number < FORMAT:
        yield LazyMessage.define(
            "the archive has format {number}, to which this release does not write; run: archiver upgrade",
            code="status.old-format",
        ).with_fields(number=health.format_number)
    if health.unsigned_since:
        yield LazyMessage.define("the archive cannot be signed", code="status.unsigned")
    if health.set_aside_count:
        yield LazyMessage.define(
            "the repository is older than its databases, and {count} versions are lost; to review the loss, run: "
            "archiver reindex --accept",
            singular=(
                "the repository is older than its databases, and {count} version is lost; to review the loss, "
                "run: archiver reindex --accept"
            ),
            code="status.set-back",
        ).with_fields(count=len(health.lost_versions))
