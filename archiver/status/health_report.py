"""Collect the state of the archive and its service for ``status``."""

from __future__ import annotations

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
from archiver.filings.due.deadlines import Deadline, open_deadlines
from archiver.filings.due.reminders import display_alerts
from archiver.filings.register import register
from archiver.filings.unrecorded_papers import UnrecordedPaper, unrecorded_papers
from archiver.intake.snapshot import PendingEntry, SkippedPath, Snapshot
from archiver.model import UnreadEvent
from archiver.path_existence import is_folder, is_there
from archiver.replica.replica_status import ReplicaStatus, read_replica_status
from archiver.status.attention import find_problems
from archiver.status.disk_forecast import DiskForecast, forecast_disk, growth_start
from archiver.status.protection import DETECT_ONLY, protection_level
from archiver.store import lock, names
from archiver.store.archive import Archive
from archiver.store.clock_lag import ClockLag
from archiver.store.git.commands import OuterSetting
from archiver.store.index import overview
from archiver.store.index.overview import DoubtfulMaterial, UnsubmittedChange
from archiver.store.repair import accepted_loss, journal_repair, set_aside
from archiver.store.repair.set_aside import LostRecord, LostVersion

#: State of the watch -> how changes are detected.  The state is empty while no daemon runs.
WATCH_STATES: Mapping[str, LazyMessage] = {
    EVENTS: LazyMessage.define("watched by events and scans", code="watching.events"),
    PARTLY: LazyMessage.define("watched by events in part, and by scans", code="watching.partly"),
    POLLING: LazyMessage.define("watched by polling", code="watching.polling"),
    SCANS: LazyMessage.define("watched by scans only", code="watching.scans"),
    DEAF: LazyMessage.define("watched by scans only", code="watching.deaf"),
    MISSING: LazyMessage.define("missing", code="watching.missing", context="folder"),
    "": LazyMessage.define("not watched now", code="watching.none"),
}


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The state of the archive, its service and its filings, as ``status`` shows it.

    Times are RFC 3339 in UTC, by the wall clock unless a comment says otherwise.
    """

    #: The folder of the archive.
    archive: Path
    #: The watched folder.
    watch: Path
    #: How changes are detected: a value of :data:`WATCH_STATES`.
    watching: LazyMessage
    #: Why changes are detected in this way; None if nothing is unusual, or without a daemon.
    watching_reason: LazyMessage | None
    #: The process that runs the service, as people read it; None without a daemon.
    daemon: str | None
    #: The time of the last scan of the watched folder; empty before the first.
    last_scan: str
    #: The last problem that the daemon reported; None if it reported none.
    last_problem: LastProblem | None
    #: Paths that wait to be captured, and since when.
    pending: list[PendingEntry]
    #: All pending paths; ``pending`` may list the first of them only.
    pending_count: int
    #: Paths that are not archived, each with the reason.
    skipped: list[SkippedPath]
    #: Numbers of versions and submissions in the archive.
    versions: int
    submissions: int
    #: Submissions that changed after they were submitted to the regulator.
    changed_since_submitted: list[UnsubmittedChange]
    #: Materials of newest versions that looked damaged when they were captured.
    doubtful: list[DoubtfulMaterial]
    #: Open deadlines of all filings, by date.
    open_deadlines: list[Deadline]
    #: Public pages on which the filing number or its link was missing.
    alerts: list[LazyMessage]
    #: Files in the folder for notices that no recorded notice has as its attachment.
    unrecorded_papers: list[UnrecordedPaper]
    #: The day in the archive's time zone.
    today: date
    #: A key of :data:`archiver.status.protection.PROTECTION`.
    protection: str
    #: A git setting outside of the archive that keeps git from running the archive's hooks; None without one.
    hooks_path: OuterSetting | None
    #: The compliance clock.
    compliance_time: str
    #: How far the compliance clock is behind the wall clock; 0 if it is not.
    lag_seconds: int
    #: Why it is behind.
    lag: ClockLag
    #: The time that the last time-stamp token proves; None without a token.
    last_token_time: str | None
    #: The time of the last checkpoint; None before the first.
    last_checkpoint: str | None
    space: DiskForecast
    #: None for an archive without a replica.
    replica: ReplicaStatus | None
    #: Why the journal cannot be continued; None if it can.
    journal_problem: LazyMessage | None
    #: The number of databases that were set aside because the repository was restored from an older copy.
    set_aside: int
    #: What only those databases have.
    lost_versions: list[LostVersion]
    lost_records: list[LostRecord]
    #: Since when the archive cannot be signed; empty if it can.
    unsigned_since: str
    #: Events that this release does not understand. Each may be a hold.
    unread: list[UnreadEvent]
    #: What an administrator has to look at, the most severe problem first. ``status --check`` fails if there is
    #: one.
    problems: list[LazyMessage]

    @property
    def has_altered_guard(self) -> bool:
        """True if a hook or setting that refuses deletions is missing or altered."""
        return self.protection == DETECT_ONLY

    def as_json(self) -> dict[str, Any]:
        """Return the document of ``status --json``.  Its keys and codes stay the same in all releases.

        Sentences are in the current language. Programs decide on the codes next to them.
        """
        return {
            "archive": names.name_as_text(os.fsencode(self.archive)),
            "watch": names.name_as_text(os.fsencode(self.watch)),
            "watching": str(self.watching),
            "watching_code": self.watching.code,
            "watching_reason": str(self.watching_reason) if self.watching_reason else None,
            "watching_reason_code": self.watching_reason.code if self.watching_reason else None,
            "daemon": self.daemon,
            "last_scan": self.last_scan or None,
            "last_problem": self.last_problem.as_json() if self.last_problem else None,
            "pending_count": self.pending_count,
            "pending": [
                {
                    "path": names.name_as_text(item.path),
                    "reason": str(item.reason),
                    "code": item.code,
                    "since": since,
                }
                for item, since in self.pending
            ],
            "skipped": [
                {"path": names.name_as_text(item.path), "reason": str(item.reason), "code": item.code}
                for item in self.skipped
            ],
            "versions": self.versions,
            "submissions": self.submissions,
            "changed_since_submitted": [
                {"submitted": change.submitted_tag, "latest": change.newest_tag}
                for change in self.changed_since_submitted
            ],
            "doubtful": [
                {"tag": tag, "path": names.name_as_text(material.path), "health": material.health}
                for tag, material in self.doubtful
            ],
            "next": [
                {
                    "filing": deadline.filing,
                    "what": str(deadline.what),
                    "code": deadline.what.code,
                    "due": deadline.on.isoformat(),
                    "state": deadline.state(self.today),
                }
                for deadline in self.open_deadlines
            ],
            "alerts": [str(alert) for alert in self.alerts],
            "alert_codes": [alert.code for alert in self.alerts],
            "unclaimed": [
                {"submission": paper.submission, "path": paper.path} for paper in self.unrecorded_papers
            ],
            "protection": self.protection,
            "hooks_path": (
                {"value": self.hooks_path.value, "origin": self.hooks_path.origin} if self.hooks_path else None
            ),
            "clock": {
                "time": self.compliance_time,
                "lag_seconds": self.lag_seconds,
                "off_seconds": round(self.lag.off),
                "ahead_seconds": round(self.lag.ahead),
                "last_token": self.last_token_time,
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
    """Report the state of the archive and its service.  Nothing is written.

    Neither waits for a lock nor reads the watched folder, so a network share that hangs does not matter.

    Raises StorageError or OSError if the archive cannot be read.
    """
    snapshot = Snapshot(archive.root / "state.db", read_only=True)
    try:
        return _collect_report(archive, config, snapshot)
    finally:
        snapshot.close()


def _collect_report(archive: Archive, config: Config, snapshot: Snapshot) -> HealthReport:
    """Build the report, with ``snapshot`` as the open ``state.db``.  The problems are added last.

    Raises as :func:`report_health` does.
    """
    daemon = lock.describe_lock_holder(archive.root / "daemon.lock")
    watch_state = snapshot.meta("watching") if daemon else ""
    if not daemon and not is_folder(config.watch):
        watch_state = MISSING
    reading = clock.read_clocks()
    compliance_time = archive.compliance_time()
    pending = snapshot.pending()
    filings = list(register(archive.index.life_events()).values())
    replica = read_replica_status(archive, config)
    last_token, last_checkpoint = archive.index.last_token(), archive.index.last_checkpoint()
    report = HealthReport(
        archive=archive.root,
        watch=config.watch,
        watching=WATCH_STATES.get(watch_state) or WATCH_STATES[""],
        watching_reason=_watch_reason(snapshot) if daemon else None,
        daemon=daemon,
        last_scan=snapshot.meta("last_scan"),
        last_problem=read_last_problem(snapshot),
        pending=pending,
        pending_count=max(len(pending), int(snapshot.meta("pending_count") or 0)) if pending else 0,
        skipped=snapshot.skipped(),
        versions=archive.index.version_count(),
        submissions=len(archive.index.submissions()),
        changed_since_submitted=overview.changed_since_submitted(archive.index),
        doubtful=overview.doubtful_materials(archive.index),
        open_deadlines=open_deadlines(filings),
        alerts=[message for filing in filings for _, message, _ in display_alerts(filing)],
        unrecorded_papers=unrecorded_papers(archive, config.desk.notice_folder, filings),
        today=clock.today(config.zone),
        protection=protection_level(archive, replica),
        hooks_path=archive.repository.outer_hooks_path(),
        compliance_time=clock.format_time(compliance_time),
        lag_seconds=max(0, (reading.wall - compliance_time) // timedelta(seconds=1)),
        lag=archive.index.clock_lag().after_evidence(clock.make_evidence(compliance_time, reading)),
        last_token_time=last_token.time if last_token else None,
        last_checkpoint=last_checkpoint.time if last_checkpoint else None,
        space=_forecast_space(archive, reading.wall),
        replica=replica,
        journal_problem=journal_repair.ref_problem(archive.repository) or archive.ref_problem(),
        set_aside=len(set_aside.databases(archive.root)),
        lost_versions=accepted_loss.lost_versions(archive),
        lost_records=accepted_loss.lost_records(archive),
        unsigned_since=snapshot.meta(UNSIGNED) or _unsigned_since_now(archive),
        unread=archive.index.unread_events(),
        problems=[],
    )
    report.problems.extend(find_problems(report, watch_state, config, reading.wall))
    return report


def _unsigned_since_now(archive: Archive) -> str:
    """Return the present time (RFC 3339, UTC) if the signing key is missing; otherwise an empty text.

    Only the archive's owner and root can look into the folder of the keys. For any other user, the result is
    empty.
    """
    can_see_keys = os.geteuid() in (0, os.stat(archive.root).st_uid)
    if can_see_keys and not is_there(archive.keys_folder / "signing_key"):
        return clock.format_time(clock.read_clocks().wall)
    return ""


def _watch_reason(snapshot: Snapshot) -> LazyMessage | None:
    """Return why the watch is in its state, as the daemon noted it; None if the daemon noted no reason."""
    code = snapshot.meta("watching_why")
    return watch_reason(code, snapshot.meta("watching_value")) if code else None


def _forecast_space(archive: Archive, now: datetime) -> DiskForecast:
    """Forecast the space on the archive's filesystem at the time ``now``, from the content captured so far.

    Raises OSError if the archive's folder cannot be read.
    """
    volume = os.statvfs(archive.root)
    first_capture = archive.index.first_capture_time()
    start = growth_start(clock.parse_time(first_capture) if first_capture else None, now)
    grown_bytes = archive.index.new_content_bytes(clock.format_time(start)) if start else 0
    block_bytes = volume.f_frsize
    return forecast_disk(volume.f_bavail * block_bytes, volume.f_blocks * block_bytes, grown_bytes, start, now)
