"""Find and capture the differences between the watched folder and the archive, one step at a time.

Starts no thread and never sleeps: the daemon and ``run --once`` call the steps in their own loops.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from heapq import nsmallest
from typing import cast

from archiver import clock
from archiver.config.settings import Config
from archiver.errors import ArchiverError, Busy, Reporter
from archiver.intake.absence.deletion_gate import DeletionGate
from archiver.intake.affected_groups import groups_of
from archiver.intake.capture import Capturer
from archiver.intake.capture_result import CaptureResult, Remainder, report_capture
from archiver.intake.group_reader import GroupToRead, ReadingJob
from archiver.intake.layout import Group
from archiver.intake.path_reasons import BUSY, FAILED, GATHERING, PASSING_CODES, SETTLING
from archiver.intake.scan import Scanner, ScanResult, find_outermost_folders, is_unreadable
from archiver.intake.snapshot import FOLDER, SkippedPath, Snapshot, State
from archiver.intake.timing.restless_files import RestlessFiles
from archiver.intake.timing.rounds import form_rounds
from archiver.intake.timing.settle import DueGroup, PendingPath, Settler

#: The number of rounds that are read while another one is archived.
_ROUNDS_AHEAD = 2
#: With more hints than this, a complete scan is faster than looking at each path.
_MANY_HINTS = 20_000
#: The pause between two heartbeats while files are read.
_HEARTBEAT_SECONDS = 5.0
#: After this many failed attempts, ``run --once`` gives up, because the archive will not recover by itself; its
#: disk may be full.  A single attempt may have failed only because git was killed.
_HOPELESS_ATTEMPTS = 2


class Pipeline:
    """Collects and captures the differences between the watched folder and the archive; for a single thread."""

    def __init__(
        self,
        scanner: Scanner,
        snapshot: Snapshot,
        settler: Settler,
        capturer: Capturer,
        deletion_gate: DeletionGate,
        config: Config,
        report: Reporter,
        heartbeat: Callable[[], None] = lambda: None,
    ) -> None:
        """Use parts that the caller owns and closes; ``heartbeat`` is called at intervals while files are read."""
        self._heartbeat = heartbeat
        self._scanner = scanner
        self._snapshot = snapshot
        self._settler = settler
        self._capturer = capturer
        self._deletion_gate = deletion_gate
        self._config = config
        self._report = report
        #: Group -> the archive's error at the last attempt; without the groups whose last attempt succeeded.
        self._refusals: dict[Group, ArchiverError] = {}
        #: True if a folder was renamed while it was read, until the next scan shows its new name.
        self._has_lost_folder = False
        self._restless_files = RestlessFiles(snapshot, config.maximum_delay_seconds)
        #: True once a file could not be read for a cause that may pass at any time.
        self._has_passing_obstacles = False

    def scan(self, now: float, start_folder: bytes = b"") -> ScanResult:
        """Compare everything at or below ``start_folder`` with the snapshot; make each difference pending.

        ``now`` is the monotonic time in seconds.  An empty ``start_folder`` is the watched folder: pending paths
        that no longer differ are then dropped, and FileNotFoundError is raised if the folder is missing.  Any
        other folder that is missing counts as deleted.
        """
        scan_result = self._scanner.scan(self._snapshot, start_folder)
        for path, state in scan_result.changed.items():
            stored = None if path in scan_result.new_files else self._snapshot.archived_state(path)
            self._make_pending(path, stored, state, now)
        self._snapshot.note_scan(start_folder, scan_result.listed_paths, scan_result.changed)
        if not start_folder:
            self._drop_unchanged(scan_result.changed.keys())
            if None not in scan_result.changed.values():
                self._deletion_gate.clear()
        return scan_result

    def set_quiet_periods(self, count: int) -> None:
        """Let the quiet period be ``count`` times as long as the configured one."""
        self._settler.set_quiet_periods(count)

    def process_hints(self, hints: set[tuple[bytes, bool]], now: float) -> None:
        """Compare the paths that events named with the snapshot; make each difference pending.

        Each of ``hints`` is a path, and True for a folder, which is scanned.  Raises the errors of :meth:`scan`.
        """
        if len(hints) > _MANY_HINTS:
            self.scan(now)
            return
        hints = {(path, is_folder) for path, is_folder in hints if not self._scanner.is_ignored(path, is_folder)}
        for folder in find_outermost_folders({path for path, is_folder in hints if is_folder}):
            self.scan(now, folder)
        for path, _ in hints:
            with suppress(OSError):  # the next scan tries again, and reports the reason
                self._compare_path(path, now)

    def _compare_path(self, path: bytes, now: float) -> None:
        """Make a path pending if different from the snapshot, or drop the path if equal; raises OSError."""
        state = self._scanner.read_state(path)
        if state == FOLDER and not self._scanner.is_empty_folder(path):
            return  # only an empty folder is archived itself
        stored = self._snapshot.archived_state(path)
        if state == stored:
            self._settler.discard_everywhere(path)
        else:
            self._make_pending(path, stored, state, now, has_event=True)

    def _make_pending(self, path: bytes, stored: State, state: State, now: float, has_event: bool = False) -> None:
        """Note that a path differs from the archive; ``has_event`` is True if an event has just named the path."""
        for group in groups_of(path, stored, state, self._config.layout):
            self._settler.observe_change(group, path, state, now, has_event)

    def _drop_unchanged(self, changed_paths: Container[bytes]) -> None:
        """Drop each pending path that is not among ``changed_paths``, the changes found by a complete scan."""
        for group, path, _ in self._settler.pending_paths():
            if path not in changed_paths:
                self._settler.discard(group, [path])

    def pending_paths(self) -> set[bytes]:
        """Return every pending path."""
        return {path for _, path, _ in self._settler.pending_paths()}

    def capture_due(self, wait_seconds: float, gather: bool = True) -> None:
        """Capture every due group; while a round of groups is archived, the files of further rounds are read.

        With ``gather``, a group waits until its newest version is ``watch.min_version_interval_minutes`` old.  The
        longest wait for the archive's lock is ``wait_seconds``.  Failures are reported, and their paths stay
        pending.  If nothing proves that missing files were deleted, nothing is captured.  Raises ReadingStopped if
        the daemon is stopping.
        """
        due_groups = self._settler.due_groups(clock.monotonic_seconds())
        self._restless_files.expire(clock.monotonic_seconds())
        if not self._admit_deletions(due_groups):
            return
        rounds: deque[list[ReadingJob]] = deque()
        try:
            for groups in form_rounds(self._groups_to_read(due_groups, gather)):
                rounds.append(self._capturer.stage(groups))
                if len(rounds) > _ROUNDS_AHEAD:
                    self._finish_round(rounds.popleft(), wait_seconds)
            while rounds:
                self._finish_round(rounds.popleft(), wait_seconds)
            if self._has_lost_folder:
                self._has_lost_folder = False
                self.scan(clock.monotonic_seconds())
            if self._deletion_gate.is_in_question and None not in self._pending_states().values():
                self._deletion_gate.clear()
        finally:
            for jobs in rounds:
                for job in jobs:
                    self._capturer.drop(job)
            if not rounds:
                self._capturer.rest()

    def _admit_deletions(self, due_groups: Sequence[DueGroup]) -> bool:
        """Return True if the groups may be captured; drop paths out of sight, also from the groups."""
        if not due_groups and not self._deletion_gate.is_in_question:
            return True
        if self._deletion_gate.seconds_until_recheck:
            # A million pending paths are not gathered for nothing.
            return False
        unseen_paths = self._deletion_gate.admit(self._pending_states())
        for path in unseen_paths or ():
            self._settler.discard_everywhere(path)
            for due_group in due_groups:
                due_group.states.pop(path, None)
        return unseen_paths is not None

    def _pending_states(self) -> dict[bytes, State]:
        """Return the state of every pending path."""
        return {path: pending_path.state for _, path, pending_path in self._settler.pending_paths()}

    def _groups_to_read(self, due_groups: Iterable[DueGroup], gather: bool) -> Iterator[GroupToRead]:
        """Yield the due groups ready for capture now; see :meth:`capture_due` for ``gather``."""
        for key, states in due_groups:
            group = cast(Group, key)  # the settler accepts any key
            if (gather and self._postpone_if_recent(group)) or not self._recheck_states(group, states):
                continue
            now = clock.monotonic_seconds()
            unsettled_paths = self._settler.unsettled_paths(group, now, self._scanner.proves_writers)
            self._restless_files.note_attempt(group, unsettled_paths)
            yield GroupToRead(group, states, self._settler.overdue_paths(group, now))

    def _postpone_if_recent(self, group: Group) -> bool:
        """Postpone the group, and return True, if the newest version is too young for another version."""
        interval_seconds = self._config.min_version_interval_seconds(group.filing_folder)
        newest_version = self._capturer.newest(group) if interval_seconds else None
        if newest_version is None:
            return False
        age = clock.read_clocks().wall - clock.parse_time(newest_version.captured_at)
        # If the wall clock was set back, the age is negative, and would delay the next version by that time.
        age_seconds = max(age.total_seconds(), 0.0)
        if age_seconds >= interval_seconds:
            return False
        self._settler.gather(group, clock.monotonic_seconds() + interval_seconds - age_seconds)
        return True

    def _recheck_states(self, group: Group, states: dict[bytes, State]) -> bool:
        """Examine the paths again, and update ``states``; return True if the group can be captured now.

        A change whose event was lost restarts the quiet period, unless a path of the group is overdue.
        """
        now = clock.monotonic_seconds()
        changed_states: dict[bytes, State] = {}
        with self._scanner.states_read_in_turn() as read_state:
            for path, settled_state in list(states.items()):
                try:
                    present_state = read_state(path)
                except OSError:
                    # The filesystem hangs, or the permission is gone.  The other paths must not wait for this one.
                    del states[path]
                    self._settler.defer(group, path, now)
                    continue
                if present_state != settled_state:
                    changed_states[path] = present_state
                    self._settler.observe_change(group, path, present_state, now)
        if changed_states and not self._settler.overdue_paths(group, now):
            return False
        states |= changed_states
        for path in [path for path, state in changed_states.items() if state is None]:
            # A deletion needs proof, for which the next attempt looks.
            del states[path]
        return bool(states)

    def _finish_round(self, jobs: Sequence[ReadingJob], wait_seconds: float) -> None:
        """Wait until a round is read, and archive its groups together; failures are reported, and tried again."""
        # Reading gigabytes takes minutes, and the service manager kills a daemon that sends no heartbeat.
        while not jobs[0].is_done(_HEARTBEAT_SECONDS):
            self._heartbeat()
        for job, outcome in zip(jobs, self._capturer.finish_all(jobs, wait_seconds), strict=True):
            if isinstance(outcome, ArchiverError):
                self._defer_all(job, outcome)
            else:
                self._process_result(job.group, outcome)

    def _defer_all(self, job: ReadingJob, error: ArchiverError) -> None:
        """Report why a group was not archived, and try its paths again later."""
        now = clock.monotonic_seconds()
        self._refusals[job.group] = error
        for path in job.states:
            self._settler.defer(job.group, path, now)
        self._report(error.message, problem=error.code)

    def _process_result(self, group: Group, result: CaptureResult) -> None:
        """Drop the paths of a group that are done, schedule attempts for the others, and report the version."""
        self._refusals.pop(group, None)
        now = clock.monotonic_seconds()
        if result.tag is not None:
            self._restless_files.note_version(group, result.done, now)
        self._settler.discard(group, result.done)
        self._has_lost_folder |= result.has_lost_folder
        for path in (*result.fresh, *result.unstable):
            with suppress(OSError):  # the next scan finds a path that cannot be examined now
                self._compare_path(path, now)
        known_refusals = set()
        for path, obstacle in result.obstacles.items():
            if obstacle in PASSING_CODES:
                self._has_passing_obstacles = True
                if self._settler.obstacle(group, path) == obstacle:
                    known_refusals.add(path)
            self._settler.defer(group, path, now, obstacle)
        report_capture(result, self._report, known_refusals)

    def drop_captured_elsewhere(self) -> None:
        """Drop the paths of postponed groups that another process, such as ``archiver submit``, has archived."""
        for group, path, pending_path in self._settler.held_back_paths(clock.monotonic_seconds()):
            if self._snapshot.archived_state(path) == pending_path.state:
                self._settler.discard(group, [path])

    def pause(self, max_seconds: float) -> float:
        """Return the seconds until a group can be due, at most ``max_seconds``."""
        due_time = self._settler.earliest_due_time()
        if due_time is None:
            return max_seconds
        if recheck_seconds := self._deletion_gate.seconds_until_recheck:
            return min(recheck_seconds, max_seconds)
        return min(max(due_time - clock.monotonic_seconds(), 0.0), max_seconds)

    @property
    def is_idle(self) -> bool:
        """Return True if no path is pending."""
        return self._settler.is_empty

    @property
    def refusal(self) -> ArchiverError | None:
        """Return an error because of which pending paths were refused, preferably not Busy; None without one."""
        errors = [error for group, error in self._refusals.items() if self._settler.is_group_pending(group)]
        return min(errors, key=lambda error: isinstance(error, Busy), default=None)

    @property
    def is_hopeless(self) -> bool:
        """Return True if the archive or another program refused each pending path ``_HOPELESS_ATTEMPTS`` times.

        Returns True also if nothing is captured because everything known to the archive is missing.
        """
        if self._deletion_gate.is_holding:
            return True
        return bool(self._refusals or self._has_passing_obstacles) and all(
            pending.failures >= _HOPELESS_ATTEMPTS
            and (group in self._refusals or pending.obstacle in PASSING_CODES)
            for group, _, pending in self._settler.pending_paths()
        )

    @property
    def pending_count(self) -> int:
        """Return the number of pending paths."""
        return self._settler.path_count

    @property
    def oldest_pending_seconds(self) -> float:
        """Return how long the oldest pending path has been waiting; 0 if there is none."""
        return (now := clock.monotonic_seconds()) - (self._settler.oldest_change_time() or now)

    def pending(self, limit: int | None = None) -> list[tuple[SkippedPath, str]]:
        """Return the pending paths with their reasons, and the time since which each is pending (RFC 3339).

        If there are more than ``limit``, only the ``limit`` oldest ones are returned, the oldest first.
        """
        wall_time, now = clock.read_clocks().wall, clock.monotonic_seconds()
        grouped_paths = self._settler.pending_paths()
        if limit is not None and len(grouped_paths) > limit:
            grouped_paths = nsmallest(limit, grouped_paths, key=lambda grouped: grouped.pending.first_change)
        return [
            (
                self._explain_pending_path(cast(Group, group), path, pending_path, now),
                clock.format_time(wall_time - timedelta(seconds=now - pending_path.first_change)),
            )
            for group, path, pending_path in grouped_paths
        ]

    def remainder(self) -> Remainder:
        """Return all paths that should be archived and are not, with the archive's error, if any."""
        return Remainder(
            [item for item in self.pending() if item[0].code not in PASSING_CODES],
            list(filter(is_unreadable, self._snapshot.skipped())),
            self._deletion_gate.refusal or self.refusal,
        )

    def _explain_pending_path(self, group: Group, path: bytes, pending: PendingPath, now: float) -> SkippedPath:
        """Return a pending path with the reason for the delay."""
        if self._settler.is_held_back(group, now):
            interval_minutes = self._config.min_version_interval_seconds(group.filing_folder) / 60
            return SkippedPath(path, GATHERING.code, f"{interval_minutes:g}")
        if pending.failures:
            refused = BUSY if isinstance(self._refusals.get(group), Busy) else FAILED
            return SkippedPath(path, pending.obstacle or refused.code, str(pending.failures))
        return SkippedPath(path, SETTLING.code, f"{self._settler.quiet_seconds:g}")
