"""One submission at this moment, beside the daemon or without one."""

from __future__ import annotations

import threading

from archiver import clock
from archiver.config import Config
from archiver.intake.access import Access, open_access
from archiver.intake.capture import Capturer
from archiver.intake.ignore import IgnoreRules
from archiver.intake.layout import Group, group_of
from archiver.intake.pipeline import groups_of
from archiver.intake.scan import Scanner
from archiver.intake.seed import seed
from archiver.intake.snapshot import Snapshot, State, open_snapshot
from archiver.model import Submission
from archiver.store.archive import Archive
from archiver.store.source import Signature


def unsettled(archive: Archive, config: Config, submission: Submission) -> list[bytes]:
    """Paths of a submission that differ from the archive right now."""
    access = open_access(config.watch)
    snapshot = Snapshot(archive.root / "state.db", read_only=True)
    try:
        return list(_differences(snapshot, access, config, group_of(submission)))
    finally:
        snapshot.close()
        access.close()


def capture_now(archive: Archive, config: Config, submission: Submission, wait_seconds: float) -> None:
    """Archive a submission's finished changes at once, whoever else gathers or settles them.

    Finished is what has not changed for the quiet period, by the times that the
    kernel gave it; if anything is younger, nothing is captured.
    """
    group = group_of(submission)
    access = open_access(config.watch)
    snapshot = open_snapshot(archive, wait_seconds)
    capturer = Capturer(archive, snapshot, access, config, threading.Event())
    try:
        seed(snapshot, archive.index)
        states = _differences(snapshot, access, config, group)
        limit = clock.wall_ns() - int(config.settle_seconds * 1e9)
        if states and all(not isinstance(each, Signature) or each.ctime_ns <= limit for each in states.values()):
            capturer.finish(capturer.stage(group, states), wait_seconds)
    finally:
        capturer.close()
        snapshot.close()
        access.close()


def _differences(snapshot: Snapshot, access: Access, config: Config, group: Group) -> dict[bytes, State]:
    try:
        found = Scanner(access, IgnoreRules(config.ignore)).scan(snapshot, group.prefix)
    except FileNotFoundError:
        return {}
    return {
        path: state
        for path, state in found.changed.items()
        if group in groups_of(path, snapshot.get(path), state, config.layout)
    }
