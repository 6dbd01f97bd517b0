"""What ``status`` tells: the state of the service, without flattery."""

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
from archiver.daemon.watched_folder import DEAF, EVENTS, MISSING, PARTLY, POLLING, SCANS, watch_reason
from archiver.errors import LazyMessage
from archiver.existence import is_folder, is_there
from archiver.filings.due.deadlines import Deadline, open_deadlines
from archiver.filings.due.reminders import display_alerts
from archiver.filings.register import register
from archiver.filings.unrecorded_papers import UnrecordedPaper, unrecorded_papers
from archiver.intake.snapshot import SkippedPath, Snapshot
from archiver.model import Material, UnreadEvent
from archiver.replica.replica_status import ReplicaStatus, read_replica_status
from archiver.status.attention import find_problems
from archiver.status.disk_forecast import Forecast, forecast, window
from archiver.store import lock, names
from archiver.store.archive import Archive
from archiver.store.clock_lag import ClockLag
from archiver.store.git import hooks
from archiver.store.git.commands import OuterSetting
from archiver.store.index import overview
from archiver.store.permissions import is_immutable
from archiver.store.repair import accepted_loss, journal_repair, set_aside
from archiver.store.repair.set_aside import LostRecord, LostVersion

#: State of the watch -> how changes become known; empty while no daemon says.
WATCH_STATES: Mapping[str, LazyMessage] = {
    EVENTS: LazyMessage.define("watched by events and scans", code="watching.events"),
    PARTLY: LazyMessage.define("watched by events in part, and by scans", code="watching.partly"),
    POLLING: LazyMessage.define("watched by polling", code="watching.polling"),
    SCANS: LazyMessage.define("watched by scans only", code="watching.scans"),
    DEAF: LazyMessage.define("watched by scans only", code="watching.deaf"),
    MISSING: LazyMessage.define("missing", code="watching.missing", context="folder"),
    "": LazyMessage.define("not watched now", code="watching.none"),
}
_FEW, _SAMPLE = 5, 100
#: Level of protection, as JSON calls it -> what it keeps from happening.
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
class Health:
    """Everything ``status`` shows."""

    archive: Path
    watch: Path
    watching: LazyMessage
    watching_why: LazyMessage | None
    daemon: str | None
    last_scan: str
    last_problem: LastProblem | None
    pending: list[tuple[SkippedPath, str]]
    pending_count: int
    skipped: list[SkippedPath]
    versions: int
    submissions: int
    changed_since_submitted: list[tuple[str, str]]
    doubtful: list[tuple[str, Material]]
    next: list[Deadline]
    alerts: list[LazyMessage]
    unclaimed: list[UnrecordedPaper]
    today: date
    protection: str
    hooks_path: OuterSetting | None
    clock: str
    lag_seconds: int
    lag: ClockLag
    stamped: str | None
    last_checkpoint: str | None
    space: Forecast
    replica: ReplicaStatus | None
    journal_problem: LazyMessage | None
    set_aside: int
    lost_versions: list[LostVersion]
    lost_records: list[LostRecord]
    unsigned_since: str
    unread: list[UnreadEvent]
    problems: list[LazyMessage]

    @property
    def has_altered_guard(self) -> bool:
        """True if a hook or setting that refuses deletions is out of force."""
        return self.protection == _DETECT_ONLY

    def as_json(self) -> dict[str, Any]:
        """Return the stable form of ``status --json``: sentences for people, each with its code beside it."""
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
                {"tag": each.tag, "captured_at": each.captured_at or None} for each in self.lost_versions
            ],
            "lost_records": [
                {"action": each.action, "object": each.object, "at": each.at} for each in self.lost_records
            ],
            "unsigned_since": self.unsigned_since or None,
            "unread_events": [
                {"seq": event.seq, "commit": event.commit, "action": event.action or None} for event in self.unread
            ],
            "problems": [str(problem) for problem in self.problems],
            "problem_codes": [problem.code for problem in self.problems],
        }


def examine(archive: Archive, config: Config) -> Health:
    """Look at archive and daemon; waits for nobody, not even for a share that hangs."""
    snapshot = Snapshot(archive.root / "state.db", read_only=True)
    try:
        return _examine(archive, config, snapshot)
    finally:
        snapshot.close()


def _examine(archive: Archive, config: Config, snapshot: Snapshot) -> Health:
    daemon = lock.holder(archive.root / "daemon.lock")
    state = snapshot.meta("watching") if daemon else ""
    if not daemon and not is_folder(config.watch):
        state = MISSING
    reading = clock.read()
    compliance = archive.compliance_time()
    pending = snapshot.pending()
    filings = list(register(archive.index.life()).values())
    replica = read_replica_status(archive, config)
    health = Health(
        archive=archive.root,
        watch=config.watch,
        watching=WATCH_STATES.get(state) or WATCH_STATES[""],
        watching_why=_why(snapshot) if daemon else None,
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
        alerts=[phrase for filing in filings for _, phrase, _ in display_alerts(filing)],
        unclaimed=unrecorded_papers(archive, config.desk.notice_folder, filings),
        today=clock.today(config.zone),
        protection=_protection(archive, replica),
        hooks_path=archive.repository.outer_hooks_path(),
        clock=clock.stamp(compliance),
        lag_seconds=max(0, (reading.wall - compliance) // timedelta(seconds=1)),
        lag=archive.index.lag().now(clock.evidence(compliance, reading)),
        stamped=(archive.index.last_token() or (0, None))[1],
        last_checkpoint=(archive.index.last_checkpoint() or (0, None))[1],
        space=_space(archive, reading.wall),
        replica=replica,
        journal_problem=journal_repair.ref_problem(archive.repository) or archive.ref_problem(),
        set_aside=len(set_aside.databases(archive.root)),
        lost_versions=accepted_loss.lost_versions(archive),
        lost_records=accepted_loss.lost_records(archive),
        unsigned_since=snapshot.meta(UNSIGNED) or _without_key(archive),
        unread=archive.index.unread(),
        problems=[],
    )
    health.problems.extend(find_problems(health, state, config, reading.wall))
    return health


def _without_key(archive: Archive) -> str:
    """The time of now where the key is gone, for those who may look: others do not see the folder."""
    is_owner = os.geteuid() in (0, os.stat(archive.root).st_uid)
    return clock.stamp(clock.read().wall) if is_owner and not is_there(archive.keys / "signing_key") else ""


def _why(snapshot: Snapshot) -> LazyMessage | None:
    code = snapshot.meta("watching_why")
    return watch_reason(code, snapshot.meta("watching_value")) if code else None


def _space(archive: Archive, now: datetime) -> Forecast:
    volume = os.statvfs(archive.root)
    first = archive.index.first_capture()
    start = window(clock.parse(first) if first else None, now)
    grown = archive.index.stored(clock.stamp(start)) if start else 0
    unit = volume.f_frsize
    return forecast(volume.f_bavail * unit, volume.f_blocks * unit, grown, start, now)


def _protection(archive: Archive, replica: ReplicaStatus | None) -> str:
    if any(each.weakens for each in hooks.deviations(archive.repository_path)):
        return _DETECT_ONLY
    if replica is not None and replica.has_lock and replica.synced_at:
        return _OFF_SITE_LOCK
    return _IMMUTABLE if _is_immutable(archive) else _PERMISSIONS


def _is_immutable(archive: Archive) -> bool:
    """Whether all of a sample are: the present content of some submissions, and the first that lie there."""
    some = archive.index.submissions()[:_FEW]
    newest = [m.sha256 for submission in some for m in archive.index.materials(submission)]
    chosen = [archive.content.path(sha256) for sha256 in newest[:_SAMPLE] if sha256]
    there = (Path(folder, name) for folder, _, files in os.walk(archive.content.objects) for name in files)
    chosen += list(itertools.islice(there, _SAMPLE))
    present = [path for path in chosen if is_there(path)]
    return bool(present) and all(is_immutable(path) for path in present)
