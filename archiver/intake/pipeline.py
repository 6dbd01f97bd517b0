"""The way from a hint or a scan to a version, one step at a time.

Knows no threads and no sleeping: the daemon and ``run --once`` both turn this
crank, and hand in the time.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import cast

from archiver import clock
from archiver.config import Config
from archiver.errors import ArchiverError
from archiver.intake.capture import Attempt, Capturer, Outcome
from archiver.intake.ignore import IgnoreRules
from archiver.intake.layout import Group, group_of, locate
from archiver.intake.scan import Scanner
from archiver.intake.settle import Pending, Settler
from archiver.intake.snapshot import FOLDER, Noted, Snapshot, State
from archiver.model import Submission
from archiver.store.archive import Archive
from archiver.store.content import Signature

SETTLING = "waits until it has not changed for {value} s"
STILL_CHANGING = "changes while it is read; tried {value} times"

#: Groups that are read while one is written: one being read, one being published.
_AHEAD = 2


class Pipeline:
    """Collects differences between the watched folder and the archive, and captures them."""

    def __init__(
        self,
        scanner: Scanner,
        snapshot: Snapshot,
        settler: Settler,
        capturer: Capturer,
        layout: str,
        report: Callable[..., None],
    ) -> None:
        self._scanner = scanner
        self._snapshot = snapshot
        self._settler = settler
        self._capturer = capturer
        self._layout = layout
        self._report = report

    def scan(self, now: float, start: bytes = b"") -> None:
        """Compare a folder with the snapshot; raises FileNotFoundError without a watched folder."""
        found = self._scanner.scan(self._snapshot, start)
        for path, state in found.changed.items():
            self._observe(path, state, now)
        self._snapshot.note_scan(start, found.skipped)
        if not start:
            self._drop_settled(found.changed.keys())
            self._snapshot.set_meta("last_scan", clock.stamp(clock.read().wall))

    def hint(self, hints: Iterable[tuple[bytes, bool]], now: float) -> None:
        """Look at the paths that events named."""
        for path, is_folder in hints:
            if is_folder:
                self.scan(now, path)
            self._look(path, now)

    def _look(self, path: bytes, now: float) -> None:
        state = self._scanner.state(path)
        if state == FOLDER and not _is_empty(self._scanner.absolute(path)):
            return
        if state == self._snapshot.get(path):
            self._settler.forget_path(path)
        else:
            self._observe(path, state, now)

    def _observe(self, path: bytes, state: State, now: float) -> None:
        for group in _groups(path, self._snapshot.get(path), state, self._layout):
            self._settler.observe(group, path, state, now)

    def _drop_settled(self, different: Iterable[bytes]) -> None:
        """What a whole scan found equal to the archive is not pending any more."""
        still = set(different)
        for group, path, _ in self._settler.pending():
            if path not in still:
                self._settler.forget(group, [path])

    def capture_due(self, wait_seconds: float) -> None:
        """Capture every group that has settled, reading ahead."""
        ahead: deque[Attempt] = deque()
        try:
            for key, states in self._settler.due(clock.monotonic()):
                group = cast(Group, key)
                if self._confirmed(group, states):
                    ahead.append(self._capturer.stage(group, states))
                if len(ahead) > _AHEAD:
                    self._finish(ahead.popleft(), wait_seconds)
            while ahead:
                self._finish(ahead.popleft(), wait_seconds)
        finally:
            for attempt in ahead:
                self._capturer.drop(attempt)

    def _confirmed(self, group: Group, states: dict[bytes, State]) -> bool:
        """Look once more: a change whose event was lost restarts the quiet period."""
        now = clock.monotonic()
        moved = {path: state for path in states if (state := self._scanner.state(path)) != states[path]}
        for path, state in moved.items():
            self._settler.observe(group, path, state, now)
        if moved and not self._settler.is_overdue(group, now):
            return False
        states |= moved
        return True

    def _finish(self, attempt: Attempt, wait_seconds: float) -> None:
        group = attempt.group
        try:
            outcome = self._capturer.finish(attempt, wait_seconds)
        except ArchiverError as error:
            now = clock.monotonic()
            for path in attempt.states:
                self._settler.defer(group, path, now)
            self._report(error.template, **error.fields)
            return
        now = clock.monotonic()
        self._settler.forget(group, outcome.done)
        for path in outcome.fresh:
            self._settler.observe(group, path, self._scanner.state(path), now)
        for path in outcome.unstable:
            self._settler.observe(group, path, self._scanner.state(path), now)
            self._settler.defer(group, path, now)
        self._tell(outcome)

    def _tell(self, outcome: Outcome) -> None:
        if outcome.tag is not None:
            self._report("Archived {tag} ({changes} changes).", tag=outcome.tag, changes=outcome.changes)
        for item in outcome.unreadable:
            self._report(
                "Not archived: {path}: {reason}. It is tried again at every scan.",
                path=item.path,
                reason=item.reason,
            )

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be archived."""
        return self._settler.is_empty

    def pending(self) -> list[tuple[Noted, str]]:
        """What is not archived yet: path, reason, and since when (RFC 3339)."""
        wall, now = clock.read().wall, clock.monotonic()
        return [
            (self._reason(path, each), clock.stamp(wall - timedelta(seconds=now - each.since)))
            for _, path, each in self._settler.pending()
        ]

    def _reason(self, path: bytes, pending: Pending) -> Noted:
        if pending.failures:
            return Noted(path, STILL_CHANGING, str(pending.failures))
        return Noted(path, SETTLING, f"{self._settler.quiet_seconds:g}")


def _groups(path: bytes, before: State, state: State, layout: str) -> set[Group]:
    """Whose path this is: of two groups where a file became a folder of the same name."""
    groups = set()
    if isinstance(before, Signature) or isinstance(state, Signature) or before is state is None:
        groups.add(locate(path, layout)[0])
    if FOLDER in (before, state):
        groups.add(locate(path, layout, is_folder=True)[0])
    return groups


def _is_empty(folder: bytes) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except OSError:
        return False


def unsettled(archive: Archive, config: Config, submission: Submission) -> list[bytes]:
    """Paths of a submission that differ from the archive right now."""
    group = group_of(submission)
    snapshot = Snapshot(archive.root / "state.db", read_only=True)
    try:
        found = Scanner(config.watch, IgnoreRules(config.ignore)).scan(snapshot, group.prefix)
    except FileNotFoundError:
        return []
    else:
        return [
            path
            for path, state in found.changed.items()
            if group in _groups(path, snapshot.get(path), state, config.layout)
        ]
    finally:
        snapshot.close()
