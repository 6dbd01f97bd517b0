"""Collect the state of the service for ``status``, without flattery."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from archiver import clock
from archiver.config.settings import Config
from archiver.daemon.ticks import UNSIGNED
from archiver.daemon.trouble import LastProblem, read_last_problem
from archiver.daemon.watch_state import DEAF, EVENTS, MISSING, PARTLY, POLLING, SCANS, watch_reason
from archiver.errors import LazyMessage
from archiver.existence import is_folder, is_there
from archiver.filings.due.deadlines import Deadline, open_deadlines
from archiver.filings.due.reminders import display_alerts
from archiver.filings.register import register
from archiver.filings.unrecorded_papers import UnrecordedPaper, unrecorded_papers
from archiver.intake.snapshot import PendingEntry, SkippedPath, Snapshot
from archiver.model import Material, UnreadEvent
from archiver.replica.replica_status import ReplicaStatus, read_replica_status
from archiver.status.attention import find_problems
from archiver.status.disk_forecast import DiskForecast, forecast_disk, growth_start
from archiver.store import lock, names
from archiver.store.archive import Archive
from archiver.store.clock_lag import ClockLag
from archiver.store.git import hooks
from archiver.store.git.commands import OuterSetting
from archiver.store.index import overview
from archiver.store.permissions import is_immutable
from archiver.store.repair import accepted_loss, journal_repair, set_aside
from archiver.store.repair.set_aside import LostRecord, LostVersion

#: State of the watch -> how changes become known; the state is empty while no daemon runs.
WATCH_STATES: Mapping[str, LazyMessage] = {
    EVENTS: LazyMessage.define("watched by events and scans", code="watching.events"),
    PARTLY: LazyMessage.define("watched by events in part, and by scans", code="watching.partly"),
    POLLING: LazyMessage.define("watched by polling", code="watching.polling"),
    SCANS: LazyMessage.define("watched by scans only", code="watching.scans"),
    DEAF: LazyMessage.define("watched by scans only", code="watching.deaf"),
    MISSING: LazyMessage.define("missing", code="watching.missing", context="folder"),
    "": LazyMessage.define("not watched now", code="watching.none"),
}
#: Of these submissions, and of the object store, a sample tells if content is immutable: a flag that is missing
#: everywhere shows at once, and ``status`` must not take minutes for a million files.  ``verify`` looks at all.
_SAMPLED_SUBMISSIONS, _SAMPLED_OBJECTS = 5, 100
#: Level of protection, as JSON calls it -> the sentence for people.
PROTECTION: Mapping[str, LazyMessage] = {
    "permissions": LazyMessage.define(
        "permissions: guard rails against accidents; the owner of the files can still remove them",
        code="protection.permissions",
    ),
    "immutable": LazyMessage.define(
        "immutable: content cannot be changed or removed before root takes the flag off",
        code="protection.immutable",
    ),
    "off-site lock": LazyMessage.define(
        "off-site lock: what the replica has cannot be deleted before its date, by nobody",
        code="protection.off-site-lock",
    ),
    "detect-only": LazyMessage.define(
        "detect-only: a hook or setting is missing or altered; run archiver verify", code="protection.detect-only"
    ),
}
_PERMISSIONS, _IMMUTABLE, _OFF_SITE_LOCK, _DETECT_ONLY = PROTECTION


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The state of archive, service and filings, as ``status`` shows it; times are RFC 3339."""

    archive: Path
    watch: Path
    watching: LazyMessage
    watching_why: LazyMessage | None
    #: The process that runs the service; None without one.
    daemon: str | None
    #: Empty before the first scan.
    last_scan: str
    last_problem: LastProblem | None
    #: Paths that wait to be captured, and since when.
    pending: list[PendingEntry]
    pending_count: int
    skipped: list[SkippedPath]
    versions: int
    submissions: int
    #: Tags: the version submitted last, and the newest one.
    changed_since_submitted: list[tuple[str, str]]
    #: Tags and materials of newest versions that looked damaged at their capture.
    doubtful: list[tuple[str, Material]]
    #: The most urgent deadline first.
    next: list[Deadline]
    alerts: list[LazyMessage]
    unclaimed: list[UnrecordedPaper]
    today: date
    #: A key of :data:`PROTECTION`.
    protection: str
    #: A setting outside of the archive that keeps git from running the archive's hooks; None without one.
    hooks_path: OuterSetting | None
    #: The compliance clock.
    clock: str
    #: How far the compliance clock is behind the wall clock.
    lag_seconds: int
    lag: ClockLag
    #: The time of the last time-stamp token.
    stamped: str | None
    last_checkpoint: str | None
    space: DiskForecast
    replica: ReplicaStatus | None
    journal_problem: LazyMessage | None
    #: Databases set aside because the repository was put back from an older copy.
    set_aside: int
    lost_versions: list[LostVersion]
    lost_records: list[LostRecord]
    #: Empty while the archive can be signed.
    unsigned_since: str
    #: Events that this release does not understand; each may be a hold.
    unread: list[UnreadEvent]
    problems: list[LazyMessage]

    @property
    def has_altered_guard(self) -> bool:
        """True if a hook or setting that refuses deletions is out of force."""
        return self.protection == _DETECT_ONLY

    def as_json(self) -> dict[str, Any]:
        """Return the stable form for ``status --json``: sentences for people, and codes beside them."""
        return {
            "archive": names.text(os.fsencode(self.archive)),
            "watch": names.text(os.fsencode(self.watch)),
            "watching": str(self.watching),
            "watching_code": self.watching.code,
            "watching_reason": str(self.watching_why) if self.watching_why else None,
            "watching_reason_code": self.watching_why.code if self.watching_why else None,
            "daemon": self.daemon,
            "last_scan": self.last_scan or None,
            "last_problem": self.last_problem.as_json() if self.last_problem else None,
            "pending_count": self.pending_count,
            "pending": [
                {"path": names.text(item.path), "reason": str(item.reason), "code": item.code, "since": since}
                for item, since in self.pending
            ],
            "skipped": [
                {"path": names.text(item.path), "reason": str(item.reason), "code": item.code}
                for item in self.skipped
            ],
            "versions": self.versions,
            "submissions": self.submissions,
            "changed_since_submitted": [
                {"submitted": submitted, "latest": latest} for submitted, latest in self.changed_since_submitted
            ],
            "doubtful": [
                {"tag": tag, "path": names.text(material.path), "health": material.health}
                for tag, material in self.doubtful
            ],
            "next": [
                {
                    "filing": due.filing,
                    "what": str(due.what),
                    "code": due.what.code,
                    "due": due.on.isoformat(),
                    "state": due.state(self.today),
                }
                for due in self.next
            ],
            "alerts": [str(alert) for alert in self.alerts],
            "alert_codes": [alert.code for alert in self.alerts],
            "unclaimed": [{"submission": paper.submission, "path": paper.path} for paper in self.unclaimed],
            "protection": self.protection,
            "hooks_path": (
                {"value": self.hooks_path.value, "origin": self.hooks_path.origin} if self.hooks_path else None
            ),
            "clock": {
                "time": self.clock,
                "lag_seconds": self.lag_seconds,
                "off_seconds": round(self.lag.off),
                "ahead_seconds": round(self.lag.ahead),
                "last_token": self.stamped,
            },
            "last_checkpoint": self.last_checkpoint,
            "space": {
                "free_bytes": self.space.free_bytes,
                "total_bytes": self.space.total_bytes,
                "bytes_per_day": self.space.bytes_per_day,
                "full_in_days": self.space.full_in_days,
            },
            "replica": self.replica.as_json() if self.replica else None,
            "journal_problem": str(self.journal_problem) if self.journal_problem else None,
            "journal_problem_code": self.journal_problem.code if self.journal_problem else None,
            "set_aside": self.set_aside,
            "lost_versions": [
                {"tag": version.tag, "captured_at": version.captured_at or None} for version in self.lost_versions
            ],
            "lost_records": [
                {"action": record.action, "object": record.object, "at": record.at} for record in self.lost_records
            ],
            "unsigned_since": self.unsigned_since or None,
            "unread_events": [
                {"seq": event.seq, "commit": event.commit, "action": event.action or None} for event in self.unread
            ],
            "problems": [str(problem) for problem in self.problems],
            "problem_codes": [problem.code for problem in self.problems],
        }


def report_health(archive: Archive, config: Config) -> HealthReport:
    """Report the state of archive and service; wait for nobody, not even for a share that hangs.

    Raises StorageError or OSError if the archive cannot be read.
    """
    snapshot = Snapshot(archive.root / "state.db", read_only=True)
    try:
        return _collect_report(archive, config, snapshot)
    finally:
        snapshot.close()


def _collect_report(archive: Archive, config: Config, snapshot: Snapshot) -> HealthReport:
    daemon = lock.holder(archive.root / "daemon.lock")
    watch_state = snapshot.meta("watching") if daemon else ""
    if not daemon and not is_folder(config.watch):
        watch_state = MISSING
    reading = clock.read()
    compliance_time = archive.compliance_time()
    pending = snapshot.pending()
    filings = list(register(archive.index.life()).values())
    replica = read_replica_status(archive, config)
    report = HealthReport(
        archive=archive.root,
        watch=config.watch,
        watching=WATCH_STATES.get(watch_state) or WATCH_STATES[""],
        watching_why=_watch_reason(snapshot) if daemon else None,
        daemon=daemon,
        last_scan=snapshot.meta("last_scan"),
        last_problem=read_last_problem(snapshot),
        pending=pending,
        pending_count=max(len(pending), int(snapshot.meta("pending_count") or 0)) if pending else 0,
        skipped=snapshot.skipped(),
        versions=archive.index.counts()[0],
        submissions=len(archive.index.submissions()),
        changed_since_submitted=overview.changed_since_submitted(archive.index),
        doubtful=overview.doubtful_materials(archive.index),
        next=open_deadlines(filings),
        alerts=[message for filing in filings for _, message, _ in display_alerts(filing)],
        unclaimed=unrecorded_papers(archive, config.desk.notice_folder, filings),
        today=clock.today(config.zone),
        protection=_protection_level(archive, replica),
        hooks_path=archive.repository.outer_hooks_path(),
        clock=clock.stamp(compliance_time),
        lag_seconds=max(0, (reading.wall - compliance_time) // timedelta(seconds=1)),
        lag=archive.index.lag().now(clock.evidence(compliance_time, reading)),
        stamped=(archive.index.last_token() or (0, None))[1],
        last_checkpoint=(archive.index.last_checkpoint() or (0, None))[1],
        space=_forecast_space(archive, reading.wall),
        replica=replica,
        journal_problem=journal_repair.ref_problem(archive.repository) or archive.ref_problem(),
        set_aside=len(set_aside.databases(archive.root)),
        lost_versions=accepted_loss.lost_versions(archive),
        lost_records=accepted_loss.lost_records(archive),
        unsigned_since=snapshot.meta(UNSIGNED) or _unsigned_since_now(archive),
        unread=archive.index.unread(),
        problems=[],
    )
    report.problems.extend(find_problems(report, watch_state, config, reading.wall))
    return report


def _unsigned_since_now(archive: Archive) -> str:
    """Return the present time if the signing key is missing, else an empty text.

    Only the archive's owner and root may look into the folder of the keys: for others nothing is missing.
    """
    is_owner = os.geteuid() in (0, os.stat(archive.root).st_uid)
    return clock.stamp(clock.read().wall) if is_owner and not is_there(archive.keys / "signing_key") else ""


def _watch_reason(snapshot: Snapshot) -> LazyMessage | None:
    """Return why the watch is in its state, as the daemon noted; None without a reason."""
    code = snapshot.meta("watching_why")
    return watch_reason(code, snapshot.meta("watching_value")) if code else None


def _forecast_space(archive: Archive, now: datetime) -> DiskForecast:
    volume = os.statvfs(archive.root)
    first_capture = archive.index.first_capture()
    start = growth_start(clock.parse(first_capture) if first_capture else None, now)
    grown_bytes = archive.index.stored(clock.stamp(start)) if start else 0
    block_bytes = volume.f_frsize
    return forecast_disk(volume.f_bavail * block_bytes, volume.f_blocks * block_bytes, grown_bytes, start, now)


def _protection_level(archive: Archive, replica: ReplicaStatus | None) -> str:
    if any(deviation.weakens for deviation in hooks.deviations(archive.repository_path)):
        return _DETECT_ONLY
    if replica is not None and replica.has_lock and replica.synced_at:
        return _OFF_SITE_LOCK
    return _IMMUTABLE if _is_content_immutable(archive) else _PERMISSIONS


def _is_content_immutable(archive: Archive) -> bool:
    """Return True if all objects of a sample are immutable, and the sample is not empty.

    The sample is the present content of some submissions, and the first files in the object store.
    """
    submissions = archive.index.submissions()[:_SAMPLED_SUBMISSIONS]
    current_digests = [
        material.sha256 for submission in submissions for material in archive.index.materials(submission)
    ]
    sample = [archive.content.path(sha256) for sha256 in current_digests[:_SAMPLED_OBJECTS] if sha256]
    stored_paths = (Path(folder, name) for folder, _, files in os.walk(archive.content.objects) for name in files)
    sample += list(itertools.islice(stored_paths, _SAMPLED_OBJECTS))
    existing_paths = [path for path in sample if is_there(path)]
    return bool(existing_paths) and all(is_immutable(path) for path in existing_paths)
