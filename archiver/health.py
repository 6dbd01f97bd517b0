"""What ``status`` tells: the state of the service, without flattery."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from archiver import clock
from archiver.config import Config
from archiver.intake.snapshot import Noted, Snapshot
from archiver.store import guard, lock, names
from archiver.store.archive import Archive
from archiver.store.journal import compliance_clock

_WATCHING = {
    "events": "watched by events and scans",
    "scans": "watched by scans only",
    "missing": "missing",
    "": "not watched now",
}
PERMISSIONS = "permissions: guard rails against accidents; the owner of the files can still remove them"
DETECT_ONLY = "detect-only: a hook or setting is missing or altered; run archiver verify"


@dataclass(frozen=True, slots=True)
class Health:
    """Everything ``status`` shows."""

    archive: Path
    watch: Path
    watching: str
    daemon: str | None
    last_scan: str
    pending: list[tuple[Noted, str]]
    skipped: list[Noted]
    versions: int
    submissions: int
    changed_since_submitted: list[tuple[str, str]]
    protection: str
    clock: str
    lag_seconds: int
    problems: list[str]

    def as_json(self) -> dict[str, Any]:
        """The stable form of ``status --json``."""
        return {
            "archive": names.text(os.fsencode(self.archive)),
            "watch": names.text(os.fsencode(self.watch)),
            "watching": self.watching,
            "daemon": self.daemon,
            "last_scan": self.last_scan or None,
            "pending": [
                {"path": names.text(item.path), "reason": str(item.reason), "since": since}
                for item, since in self.pending
            ],
            "skipped": [{"path": names.text(item.path), "reason": str(item.reason)} for item in self.skipped],
            "versions": self.versions,
            "submissions": self.submissions,
            "changed_since_submitted": [
                {"submitted": submitted, "latest": latest} for submitted, latest in self.changed_since_submitted
            ],
            "protection": self.protection.partition(":")[0],
            "clock": {"time": self.clock, "lag_seconds": self.lag_seconds},
            "problems": self.problems,
        }


def examine(archive: Archive, config: Config) -> Health:
    """Look at archive and daemon; waits for nobody."""
    snapshot = Snapshot(archive.root / "state.db", read_only=True)
    daemon = lock.holder(archive.root / "daemon.lock")
    watching = _WATCHING[snapshot.meta("watching") if daemon else ""]
    if not config.watch.is_dir():
        watching = _WATCHING["missing"]
    reading = clock.read()
    compliance = compliance_clock(archive.journal.head(), reading)
    versions, _ = archive.index.counts()
    try:
        return Health(
            archive=archive.root,
            watch=config.watch,
            watching=watching,
            daemon=daemon,
            last_scan=snapshot.meta("last_scan"),
            pending=snapshot.pending(),
            skipped=snapshot.skipped(),
            versions=versions,
            submissions=len(archive.index.submissions()),
            changed_since_submitted=_changed(archive),
            protection=_protection(archive),
            clock=clock.stamp(compliance),
            lag_seconds=max(0, (reading.wall - compliance) // timedelta(seconds=1)),
            problems=_problems(daemon, watching, _protection(archive)),
        )
    finally:
        snapshot.close()


def _changed(archive: Archive) -> list[tuple[str, str]]:
    """Submissions whose newest version is not the one that was handed in last."""
    changed = []
    for submission in archive.index.submissions():
        versions = archive.index.versions(submission.filing, submission.name)
        sealed = [version for version in versions if version.submitted]
        if sealed and versions[0].number > sealed[0].number:
            changed.append((sealed[0].submitted[-1].tag, versions[0].tag))
    return changed


def _protection(archive: Archive) -> str:
    path = archive.repository_path
    hooks = all(
        os.access(path / "hooks" / name, os.X_OK) and (path / "hooks" / name).read_text("utf-8", "replace") == text
        for name, text in guard.HOOKS.items()
    )
    config = (path / "config").read_text("utf-8", "replace") == guard.CONFIG
    return PERMISSIONS if hooks and config else DETECT_ONLY


def _problems(daemon: str | None, watching: str, protection: str) -> list[str]:
    problems = []
    if daemon is None:
        problems.append("the daemon is not running")
    if watching == _WATCHING["missing"]:
        problems.append("the watched folder is missing")
    if protection == DETECT_ONLY:
        problems.append("a hook or setting of the repository is missing or altered")
    return problems
