"""Collect the state of the archive and the service for ``status``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from archiver import clock
from archiver.config.settings import Config
from archiver.daemon.failures import LastProblem, read_last_problem
from archiver.daemon.watch_state import MISSING, WATCH_STATES, watch_reason_message
from archiver.errors import LazyMessage
from archiver.filings.due.deadlines import Deadline, compute_open_deadlines
from archiver.filings.due.reminders import find_display_alerts
from archiver.filings.register import filings_from_events
from archiver.filings.unrecorded_papers import UnrecordedPaper, find_unrecorded_papers
from archiver.intake.absence.deletion_gate import read_absence
from archiver.intake.exclusion.stand_ins import StandIn, select_stand_ins
from archiver.intake.folder.abilities import MissingAbility, decode_abilities
from archiver.intake.scan_record import LastScan, read_last_scan
from archiver.intake.snapshot import PendingEntry, SkippedPath, Snapshot
from archiver.intake.snapshot_opening import open_snapshot_read_only
from archiver.intake.timing.restless_files import read_restless_files
from archiver.model import UnreadEvent
from archiver.path_existence import is_folder, is_there
from archiver.replica.replica_status import ReplicaStatus, read_replica_status
from archiver.retention.promises import WaitingPromise, find_waiting_promise
from archiver.status.attention import find_status_problems
from archiver.status.disk_forecast import DiskForecast
from archiver.status.disk_problems import forecast_archive_disk
from archiver.status.protection import DETECT_ONLY, assess_protection_level
from archiver.store import lock, names
from archiver.store.archive import Archive
from archiver.store.clock_lag import ClockLag
from archiver.store.events.event_files import FORMAT
from archiver.store.git.commands import OuterSetting
from archiver.store.index import overview
from archiver.store.index.large_losses import LargeLoss, find_large_losses
from archiver.store.index.overview import DoubtfulMaterial, UnsubmittedChange
from archiver.store.index.restrictions import Restriction, list_restrictions, restricted_content
from archiver.store.repair import accepted_loss, journal_repair, ref_agreement, set_aside
from archiver.store.repair.set_aside import LostRecord, LostVersion


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The state of archive, service and filings, as shown by ``status``.

    Times are RFC 3339 in UTC, by the wall clock unless a comment says otherwise.
    """

    archive_folder: Path
    #: The folder whose changes are archived.
    watched_folder: Path
    #: How changes are detected: a value of :data:`WATCH_STATES`.
    watch_description: LazyMessage
    #: Why changes are not detected in the usual way; None if they are, or without a daemon.
    watching_reason: LazyMessage | None
    #: What the system does not let this program do in the watched folder.
    missing_abilities: list[MissingAbility]
    #: Why nothing is captured although the folder is there; None if that is not so.
    capture_stop: LazyMessage | None
    #: A description of the process that runs the service, for people; None without a daemon.
    daemon_process: str | None
    #: The last scan of the watched folder.
    last_scan: LastScan
    #: The last problem that the daemon reported; None if it reported none.
    last_problem: LastProblem | None
    #: Paths that wait to be captured, each with the time since which it waits.
    pending_paths: list[PendingEntry]
    #: The number of all pending paths. The list :attr:`pending_paths` may contain only the first of them.
    pending_count: int
    #: Paths that are not archived, each with the reason.
    skipped_paths: list[SkippedPath]
    #: Files and links in the place of documents: findings of their submissions.
    stand_ins: list[StandIn]
    #: Notes about captured files: sparse files, which count less than their size.
    file_notes: list[SkippedPath]
    #: Files that are written without pause, so that each gets a version at every maximum delay.
    restless_files: list[bytes]
    #: The numbers of versions and submissions in the archive.
    version_count: int
    submission_count: int
    #: Submissions that changed after they were submitted to the regulator.
    changed_since_submitted: list[UnsubmittedChange]
    #: Materials of newest versions that looked damaged when they were captured.
    doubtful_materials: list[DoubtfulMaterial]
    #: Filings of which most files were deleted or rewritten at once, until a person accepts that.
    large_losses: list[LargeLoss]
    #: The restrictions in force, of files that were captured by mistake.
    restrictions: list[Restriction]
    #: SHA-256 of each restricted content that no unrestricted path has.
    restricted_content: frozenset[str]
    #: Open deadlines of all filings, by date.
    open_deadlines: list[Deadline]
    #: Public pages on which the filing number or its link was missing.
    display_alerts: list[LazyMessage]
    #: Files in the folder for notices that are not attached to any recorded notice.
    unrecorded_papers: list[UnrecordedPaper]
    #: The day in the archive's time zone.
    today: date
    #: A key of :data:`archiver.status.protection.PROTECTION`.
    protection_level: str
    #: A git setting outside the archive that prevents git from running the archive's hooks; None without one.
    outer_hooks_path: OuterSetting | None
    #: The compliance clock, which counts retention. It gains only the time on which several clocks of the machine
    #: agree (see :mod:`archiver.clock`).
    compliance_time: str
    #: How far the compliance clock is behind the wall clock; 0 if it is not.
    clock_lag_seconds: int
    #: The causes of this lag.
    clock_lag: ClockLag
    #: The time that the last timestamp token proves; None without a token.
    last_token_time: str | None
    #: The time of the last checkpoint; None before the first.
    last_checkpoint_time: str | None
    disk_forecast: DiskForecast
    #: None for an archive without a replica.
    replica: ReplicaStatus | None
    #: Why the journal cannot be continued; None if it can.
    journal_problem: LazyMessage | None
    #: The number of databases that were set aside because the repository was restored from an older copy.
    set_aside_count: int
    #: The versions and other records that only those databases have.
    lost_versions: list[LostVersion]
    lost_records: list[LostRecord]
    #: Since when the archive cannot be signed; empty if it can.
    unsigned_since: str
    #: The number of the archive's format.
    format_number: int
    #: Events that this release does not understand. Each may be a hold.
    unread_events: list[UnreadEvent]
    #: The configured retention that nobody has accepted yet; None if all of it is accepted.
    waiting_promise: WaitingPromise | None
    #: Problems for an administrator, the most severe first. ``status --check`` fails if there is any.
    problems: list[LazyMessage]

    @property
    def has_altered_guard(self) -> bool:
        """True if a hook or setting that refuses deletions is missing or altered."""
        return self.protection_level == DETECT_ONLY

    def as_json(self) -> dict[str, Any]:
        """Return the document of ``status --json``.  Its keys and codes stay the same in all releases.

        The sentences are English. Programs must use the codes next to them.
        """
        return {
            "archive": names.name_as_text(os.fsencode(self.archive_folder)),
            "watch": names.name_as_text(os.fsencode(self.watched_folder)),
            "watching": str(self.watch_description),
            "watching_code": self.watch_description.code,
            "watching_reason": str(self.watching_reason) if self.watching_reason else None,
            "watching_reason_code": self.watching_reason.code if self.watching_reason else None,
            "missing_abilities": [ability.as_json() for ability in self.missing_abilities],
            "daemon": self.daemon_process,
            "last_scan": self.last_scan.time or None,
            "last_problem": self.last_problem.as_json() if self.last_problem else None,
            "pending_count": self.pending_count,
            "pending": [{**pending_path.as_json(), "since": since} for pending_path, since in self.pending_paths],
            "skipped": [skipped_path.as_json() for skipped_path in self.skipped_paths],
            "stand_ins": [stand_in.as_json() for stand_in in self.stand_ins],
            "notes": [note.as_json() for note in self.file_notes],
            "restless": list(map(names.name_as_text, self.restless_files)),
            "versions": self.version_count,
            "submissions": self.submission_count,
            "changed_since_submitted": [
                {"submitted": change.submitted_tag, "latest": change.newest_tag}
                for change in self.changed_since_submitted
            ],
            "doubtful": [
                {"tag": tag, "path": names.name_as_text(material.path), "health": material.health}
                for tag, material in self.doubtful_materials
            ],
            "restricted": [
                {**restriction.as_json(), "elsewhere": restriction.sha256 not in self.restricted_content}
                for restriction in self.restrictions
            ],
            "next": [
                {
                    "filing": deadline.filing,
                    "what": str(deadline.duty),
                    "code": deadline.duty.code,
                    "due": deadline.due_on.isoformat(),
                    "state": deadline.state(self.today),
                }
                for deadline in self.open_deadlines
            ],
            "alerts": [str(alert) for alert in self.display_alerts],
            "alert_codes": [alert.code for alert in self.display_alerts],
            "unclaimed": [
                {"submission": paper.submission, "path": paper.path} for paper in self.unrecorded_papers
            ],
            "protection": self.protection_level,
            "hooks_path": (
                {"value": self.outer_hooks_path.value, "origin": self.outer_hooks_path.origin}
                if self.outer_hooks_path
                else None
            ),
            "clock": {
                "time": self.compliance_time,
                "lag_seconds": self.clock_lag_seconds,
                "off_seconds": round(self.clock_lag.off),
                "ahead_seconds": round(self.clock_lag.ahead),
                "last_token": self.last_token_time,
            },
            "last_checkpoint": self.last_checkpoint_time,
            "space": {
                "free_bytes": self.disk_forecast.free_bytes,
                "total_bytes": self.disk_forecast.total_bytes,
                "bytes_per_day": self.disk_forecast.bytes_per_day,
                "full_in_days": self.disk_forecast.full_in_days,
            },
            "replica": self.replica.as_json() if self.replica else None,
            "journal_problem": str(self.journal_problem) if self.journal_problem else None,
            "journal_problem_code": self.journal_problem.code if self.journal_problem else None,
            "set_aside": self.set_aside_count,
            "lost_versions": [
                {"tag": version.tag, "captured_at": version.captured_at or None} for version in self.lost_versions
            ],
            "lost_records": [
                {"action": record.action, "object": record.object, "at": record.at} for record in self.lost_records
            ],
            "unsigned_since": self.unsigned_since or None,
            "format": self.format_number,
            "unread_events": [
                {"seq": event.seq, "commit": event.commit, "action": event.action or None}
                for event in self.unread_events
            ],
            "waiting_retention": [
                item.as_json() for item in (self.waiting_promise.items if self.waiting_promise else ())
            ],
            "problems": [str(problem) for problem in self.problems],
            "problem_codes": [problem.code for problem in self.problems],
        }


def collect_health_report(archive: Archive, config: Config) -> HealthReport:
    """Return the state of the archive and the service. Nothing is written.

    The function does not wait for a lock or read the watched folder, so a hanging network share cannot block it.

    Raises StorageError or OSError if the archive cannot be read.
    """
    snapshot = open_snapshot_read_only(archive)
    try:
        return _build_report(archive, config, snapshot)
    finally:
        snapshot.close()


def _build_report(archive: Archive, config: Config, snapshot: Snapshot) -> HealthReport:
    """Build the report, with ``snapshot`` as the open ``state.db``.  The problems are derived last.

    Raises StorageError or OSError if the archive cannot be read.
    """
    daemon_process = lock.describe_lock_holder(archive.root / "daemon.lock")
    watch_state = snapshot.meta("watching") if daemon_process else ""
    if not daemon_process and not is_folder(config.watch):
        watch_state = MISSING
    clock_reading = clock.read_clocks()
    compliance_time = archive.compliance_time()
    pending_paths = snapshot.pending_entries()
    filings = list(filings_from_events(archive.index.life_events()).values())
    replica = read_replica_status(archive, config)
    last_token, last_checkpoint = archive.index.last_token(), archive.index.last_checkpoint()
    journal_problem = journal_repair.ref_problem(archive.repository)
    # Without a usable ref, the journal cannot be read: take its format from the index, and no signed heads.
    format_number = archive.format_number() if journal_problem is None else archive.index.format_number
    has_signed_heads = journal_problem is None and format_number >= FORMAT
    report = HealthReport(
        archive_folder=archive.root,
        watched_folder=config.watch,
        watch_description=WATCH_STATES.get(watch_state) or WATCH_STATES[""],
        watching_reason=_read_watch_reason(snapshot) if daemon_process else None,
        missing_abilities=decode_abilities(snapshot.meta("abilities")),
        capture_stop=read_absence(snapshot),
        daemon_process=daemon_process,
        last_scan=read_last_scan(snapshot, archive.root),
        last_problem=read_last_problem(snapshot),
        pending_paths=pending_paths,
        pending_count=_count_pending(snapshot, len(pending_paths)),
        skipped_paths=snapshot.skipped(),
        stand_ins=select_stand_ins(snapshot.stand_ins(), snapshot.skipped(), config),
        file_notes=snapshot.notes(),
        restless_files=read_restless_files(snapshot) if daemon_process else [],
        version_count=archive.index.version_count(),
        submission_count=len(archive.index.submissions()),
        changed_since_submitted=overview.changed_since_submitted(archive.index),
        doubtful_materials=overview.doubtful_materials(archive.index),
        large_losses=find_large_losses(archive.index),
        restrictions=list_restrictions(archive.index),
        restricted_content=restricted_content(archive.index),
        open_deadlines=compute_open_deadlines(filings),
        display_alerts=[alert.message for filing in filings for alert in find_display_alerts(filing)],
        unrecorded_papers=find_unrecorded_papers(archive, config.desk.notice_folder_name, filings),
        today=clock.today(config.zone),
        protection_level=assess_protection_level(archive, replica),
        outer_hooks_path=archive.repository.outer_hooks_path(),
        compliance_time=clock.format_time(compliance_time),
        clock_lag_seconds=max(0, (clock_reading.wall - compliance_time) // timedelta(seconds=1)),
        clock_lag=archive.index.clock_lag().after_evidence(clock.make_evidence(compliance_time, clock_reading)),
        last_token_time=last_token.time if last_token else None,
        last_checkpoint_time=last_checkpoint.time if last_checkpoint else None,
        disk_forecast=forecast_archive_disk(archive, clock_reading.wall),
        replica=replica,
        journal_problem=journal_problem or ref_agreement.find_contradiction(archive),
        set_aside_count=len(set_aside.databases(archive.root)),
        lost_versions=accepted_loss.lost_versions(archive),
        lost_records=accepted_loss.lost_records(archive),
        unsigned_since=(archive.head_history.unsigned_since() if has_signed_heads else "")
        or _estimate_unsigned_since(archive),
        format_number=format_number,
        unread_events=archive.index.unread_events(),
        waiting_promise=find_waiting_promise(config, archive.index.retention_promises()),
        problems=[],
    )
    report.problems.extend(find_status_problems(report, watch_state, config, clock_reading.wall))
    return report


def _count_pending(snapshot: Snapshot, listed_count: int) -> int:
    """Return the number of pending paths, of which ``state.db`` lists the first ``listed_count``."""
    # The daemon may change the list and the number after the list was read.
    return max(listed_count, int(snapshot.meta("pending_count") or 0)) if listed_count else 0


def _estimate_unsigned_since(archive: Archive) -> str:
    """Return the present time (RFC 3339, UTC) if the signing key is missing, otherwise an empty string.

    Until the next event, the journal does not show that the key is lost.  The result is empty for all users except
    root and the archive's owner, because nobody else can see the folder of the keys.
    """
    can_see_keys = os.geteuid() in (0, os.stat(archive.root).st_uid)
    if can_see_keys and not is_there(archive.keys_folder / "signing_key"):
        return clock.format_time(clock.read_clocks().wall)
    return ""


def _read_watch_reason(snapshot: Snapshot) -> LazyMessage | None:
    """Return the reason that the daemon recorded for the state of the watch; None if it recorded none."""
    reason_code = snapshot.meta("watching_why")
    return watch_reason_message(reason_code, snapshot.meta("watching_value")) if reason_code else None
