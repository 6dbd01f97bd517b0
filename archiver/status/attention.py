"""What needs somebody's attention: each problem with a code, on which ``status --check`` fails."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from archiver import clock
from archiver.config.settings import Config
from archiver.daemon.watched_folder import DEAF, MISSING, PARTLY, SCANS
from archiver.errors import LazyMessage
from archiver.intake.path_reasons import FAILED, GATHERING, OWN
from archiver.intake.scan import is_unreadable
from archiver.retention import unread
from archiver.status.disk_problems import disk_problems
from archiver.store import names, permissions

if TYPE_CHECKING:
    from archiver.status.health_report import Health

#: Nothing but drafts on purpose waits longer without somebody having to look.
_LONG_PENDING = timedelta(hours=1)


def find_problems(health: Health, state: str, config: Config, now: datetime) -> Iterator[LazyMessage]:
    """Name everything that somebody has to look at, the gravest first; ``state`` is that of the watch."""
    if health.daemon is None:
        yield LazyMessage.define("the daemon is not running", code="status.no-daemon")
    if state == MISSING:
        yield LazyMessage.define("the watched folder is missing", code="status.folder-missing")
    if state in (PARTLY, SCANS, DEAF):
        yield LazyMessage.define("not every change raises an event", code="status.events-incomplete")
    yield from _journal_problems(health)
    if health.has_altered_guard:
        yield LazyMessage.define(
            "a hook or setting of the repository is missing or altered", code="status.guard-altered"
        )
    yield from _path_problems(health, now)
    if health.replica and (late := health.replica.overdue_problem(now, config.replica.alert_hours)):
        yield late
    overdue = timedelta(seconds=3 * 60 * config.scan_minutes + 600)
    if health.daemon and health.last_scan and now - clock.parse(health.last_scan) > overdue:
        yield LazyMessage.define("the watched folder was not compared for too long", code="status.scan-overdue")
    yield from unread.describe_problems(health.unread)
    yield from disk_problems(health.archive, health.space.is_scarce)
    yield from _permission_problems(health, config)


def _path_problems(health: Health, now: datetime) -> Iterator[LazyMessage]:
    """Name paths that are kept out of the archive, or have waited for too long."""
    unreadable = [item for item in health.skipped if is_unreadable(item)]
    if unreadable:
        yield LazyMessage.define(
            "{count} paths cannot be read", singular="{count} path cannot be read", code="status.unreadable-paths"
        ).with_fields(count=len(unreadable))
    failed = [item for item, _ in health.pending if item.code == FAILED.code]
    if failed:
        yield LazyMessage.define(
            "{count} changes could not be archived",
            singular="{count} change could not be archived",
            code="status.failed-changes",
        ).with_fields(count=len(failed))
    if own := [item for item in health.skipped if item.code == OWN.code]:
        yield LazyMessage.define(
            "the archive itself lies in the watched folder: {path}", code="status.archive-in-folder"
        ).with_fields(path=names.text(own[0].path))
    waiting = [since for item, since in health.pending if item.code != GATHERING.code]
    if waiting and now - clock.parse(min(waiting)) > _LONG_PENDING:
        yield LazyMessage.define("changes wait for more than an hour", code="status.long-pending")


def _permission_problems(health: Health, config: Config) -> Iterator[LazyMessage]:
    """Name files of the archive that others could read or change."""
    try:
        wrong = list(permissions.too_open_entries(health.archive, permissions.reading_group(config.read_group)))
    except (OSError, KeyError):
        # The daemon says at its start that there is no such group.
        return
    if wrong:
        yield LazyMessage.define(
            "others could read or change {count} files and folders of the archive, {path} first; "
            "restart the service, which closes them",
            singular="others could read or change {count} file or folder of the archive, {path}; "
            "restart the service, which closes it",
            code="status.too-open",
        ).with_fields(count=len(wrong), path=os.path.relpath(wrong[0], health.archive.parent))


def _journal_problems(health: Health) -> Iterator[LazyMessage]:
    """Name what keeps the journal from being continued or signed, and a repository that was put back."""
    if health.journal_problem is not None:
        yield LazyMessage.define(
            "the journal cannot be continued: {problem}", code="status.journal-damaged"
        ).with_fields(problem=health.journal_problem)
    if health.unsigned_since:
        yield LazyMessage.define("the archive cannot be signed", code="status.unsigned")
    if health.set_aside:
        yield LazyMessage.define(
            "the repository is older than its databases, {count} versions are lost; see archiver reindex --accept",
            singular="the repository is older than its databases, {count} version is lost; "
            "see archiver reindex --accept",
            code="status.set-back",
        ).with_fields(count=len(health.lost_versions))
