"""Decide when changed paths have settled and can be captured. Pure: callers pass the time in.

Times are monotonic seconds.  A path is *quiet* once nothing has happened to it for the quiet period, and *overdue*
once its oldest change is older than the maximum delay.  These rules decide when a group is *due* to be captured,
and which of its paths are finished, or have *settled*:

- A group is due when all of its paths are quiet, so that files that are saved together become one version.
- Under constant writing, a group is due when a path is overdue.  Only the quiet and the overdue paths are finished
  then.
- A path whose last attempt failed waits for its next attempt, and does not delay the rest of its group.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from archiver.intake.path_reasons import HELD_OPEN, PASSING_CODES
from archiver.intake.snapshot import State

#: The pause after a failure if there is no quiet period. Lower, and a failing file keeps a processor busy.
_SHORTEST_RETRY_SECONDS = 0.1
#: Doublings of the pause. This many exceed every maximum delay; many more would exceed the range of a float.
_MAX_DOUBLINGS = 20


@dataclass(slots=True)
class PendingPath:
    """A path that differs from the archive."""

    state: State  # as observed last
    first_change: float  # the time of the oldest change not archived yet
    last_change: float
    retry_at: float = 0.0  # the time of the next attempt after a failed one; 0 if none has failed
    failures: int = 0  # failed attempts
    obstacle: str = ""  # why the last attempt failed: the code of a reason for this path; empty for another cause


class GroupedPath(NamedTuple):
    """A pending path with its group."""

    group_key: Hashable
    path: bytes
    pending: PendingPath


class DueGroup(NamedTuple):
    """A group to capture, with the finished paths."""

    group_key: Hashable
    states: dict[bytes, State]  # path -> the state in which it settled; the caller may change this dict


@dataclass(slots=True)
class _PendingGroup:
    """The pending paths of one group."""

    not_due_before: float  # the earliest time at which the group can be due; it may be due only later
    paths: dict[bytes, PendingPath] = field(default_factory=dict)
    held_back_until: float = 0.0  # until this time, changes are gathered for one version


class Settler:
    """Collect changed paths by group, until they can be captured."""

    def __init__(self, quiet_seconds: float, maximum_seconds: float) -> None:
        """Start without pending paths.

        ``quiet_seconds`` is the quiet period.  ``maximum_seconds`` is the maximum delay, and also the longest
        pause between two attempts.
        """
        self.quiet_seconds = self._configured_quiet_seconds = quiet_seconds
        self.maximum_seconds = maximum_seconds
        self._groups: dict[Hashable, _PendingGroup] = {}

    def set_quiet_periods(self, count: int) -> None:
        """Let the quiet period be ``count`` times as long as the configured one, also for pending paths."""
        self.quiet_seconds = count * self._configured_quiet_seconds

    def observe_change(
        self, group_key: Hashable, path: bytes, state: State, now: float, has_event: bool = False
    ) -> None:
        """Note a path as pending, because its present state ``state`` differs from the archive.

        The quiet period starts again if the state has changed since the last call.  With ``has_event``, it starts
        again in any case, because something has just happened to the path: for example, the file was closed and
        opened again.
        """
        group = self._groups.setdefault(group_key, _PendingGroup(now))
        # A lower bound is enough: due_groups() sets a later time if it finds that the group is not due yet.
        group.not_due_before = min(group.not_due_before, now + min(self.quiet_seconds, self.maximum_seconds))
        pending_path = group.paths.get(path)
        if pending_path is None:
            group.paths[path] = PendingPath(state, first_change=now, last_change=now)
        elif pending_path.state != state or has_event:
            pending_path.state = state
            pending_path.last_change = now
            if pending_path.obstacle == HELD_OPEN.code:
                # The writer may have closed the file, so the next attempt need not wait for ``retry_at``.
                pending_path.retry_at = 0.0

    @property
    def is_empty(self) -> bool:
        """Return True if nothing is pending."""
        return not self._groups

    def is_group_pending(self, group_key: Hashable) -> bool:
        """Return True if a path of the group is pending."""
        return group_key in self._groups

    @property
    def path_count(self) -> int:
        """Return the number of pending paths."""
        return sum(len(group.paths) for group in self._groups.values())

    def oldest_change_time(self) -> float | None:
        """Return the time of the oldest pending change; None if nothing is pending."""
        return min((grouped.pending.first_change for grouped in self.pending_paths()), default=None)

    def discard(self, group_key: Hashable, paths: Iterable[bytes]) -> None:
        """Drop paths that no longer differ from the archive; paths that are not pending are ignored."""
        group = self._groups.get(group_key)
        if group is None:
            return
        for path in paths:
            group.paths.pop(path, None)
        if not group.paths:
            del self._groups[group_key]

    def discard_everywhere(self, path: bytes) -> None:
        """Drop a path that no longer differs from the archive, from every group."""
        for group_key in [key for key, group in self._groups.items() if path in group.paths]:
            self.discard(group_key, [path])

    def overdue_paths(self, group_key: Hashable, now: float) -> frozenset[bytes]:
        """Return the group's overdue paths, except paths waiting for another attempt."""
        group = self._groups.get(group_key)
        return frozenset() if group is None else frozenset(self._overdue_pending_paths(group, now))

    def unsettled_paths(self, group_key: Hashable, now: float, proves_writers: bool) -> frozenset[bytes]:
        """Return the group's overdue paths that are still being written.

        They changed during the last quiet period, or were open for writing at the last attempt; the latter counts
        only with ``proves_writers``, because the client of a remote filesystem may say so of every file.
        """
        group = self._groups.get(group_key)
        overdue_paths = {} if group is None else self._overdue_pending_paths(group, now)
        return frozenset(
            path
            for path, pending_path in overdue_paths.items()
            if (proves_writers and pending_path.obstacle == HELD_OPEN.code)
            or now - pending_path.last_change < self.quiet_seconds
        )

    def obstacle(self, group_key: Hashable, path: bytes) -> str:
        """Return the code of the reason for which the last attempt at a path failed; empty if there is none."""
        group = self._groups.get(group_key)
        pending_path = None if group is None else group.paths.get(path)
        return "" if pending_path is None else pending_path.obstacle

    def defer(self, group_key: Hashable, path: bytes, now: float, obstacle: str = "") -> None:
        """Schedule another attempt after a failure; do nothing if the path is not pending.

        ``obstacle`` is the code of a reason that concerns this path alone; empty for another cause.

        The pause doubles with each failure, up to the maximum delay.  The attempts never end.
        """
        group = self._groups.get(group_key)
        pending_path = group.paths.get(path) if group is not None else None
        if pending_path is not None:
            pending_path.failures += 1
            pending_path.obstacle = obstacle
            shortest_pause = max(self.quiet_seconds, _SHORTEST_RETRY_SECONDS)
            doubled_pause = shortest_pause * 2 ** min(pending_path.failures, _MAX_DOUBLINGS)
            pending_path.retry_at = now + min(doubled_pause, self.maximum_seconds)

    def gather(self, group_key: Hashable, until: float) -> None:
        """Hold a pending group back until the time ``until``, to gather frequent saves into a single version."""
        group = self._groups.get(group_key)
        if group is not None:
            group.not_due_before = group.held_back_until = until

    def is_held_back(self, group_key: Hashable, now: float) -> bool:
        """Return True if the group is held back, to be captured together with later changes."""
        group = self._groups.get(group_key)
        return group is not None and now < group.held_back_until

    def held_back_paths(self, now: float) -> list[GroupedPath]:
        """Return the pending paths of all groups that are held back."""
        return [
            GroupedPath(group_key, path, pending_path)
            for group_key, group in self._groups.items()
            if now < group.held_back_until
            for path, pending_path in group.paths.items()
        ]

    def earliest_due_time(self) -> float | None:
        """Return a time before which no group is due, unless a change is observed; None if nothing is pending."""
        return min(
            (max(group.not_due_before, group.held_back_until) for group in self._groups.values()), default=None
        )

    def due_groups(self, now: float) -> list[DueGroup]:
        """Return the groups to capture now, each with its finished paths, which stay pending until discarded."""
        return [
            DueGroup(group_key, finished_states)
            for group_key, group in self._groups.items()
            if now >= max(group.not_due_before, group.held_back_until)
            and (finished_states := self._finished_states(group, now))
        ]

    def _finished_states(self, group: _PendingGroup, now: float) -> dict[bytes, State]:
        """Return the state of each path of the group that can be captured now; if none, set ``not_due_before``.

        A path that is still being written holds the whole group back, until a path is overdue.  Then the quiet and
        the overdue paths are finished, so that a file that is never quiet does not delay the others any longer.
        """
        attemptable_paths = {
            path: pending_path for path, pending_path in group.paths.items() if now >= pending_path.retry_at
        }
        finished_states = {
            path: pending_path.state
            for path, pending_path in attemptable_paths.items()
            if now - pending_path.last_change >= self.quiet_seconds
        }
        if len(finished_states) < len(attemptable_paths):
            overdue_paths = self._overdue_pending_paths(group, now)
            if overdue_paths:
                finished_states |= {path: pending_path.state for path, pending_path in overdue_paths.items()}
            else:
                finished_states = {}
        if not finished_states:
            group.not_due_before = self._next_due_time(group, attemptable_paths)
        return finished_states

    def _overdue_pending_paths(self, group: _PendingGroup, now: float) -> dict[bytes, PendingPath]:
        """Return the overdue paths of a group, except paths waiting for another attempt.

        Files that another program refuses may stay pending for days, and are left out: they must not end the wait
        for the others.
        """
        latest_first_change = now - self.maximum_seconds
        return {
            path: pending_path
            for path, pending_path in group.paths.items()
            if pending_path.first_change <= latest_first_change
            and now >= pending_path.retry_at
            and pending_path.obstacle not in PASSING_CODES
        }

    def _next_due_time(self, group: _PendingGroup, attemptable_paths: dict[bytes, PendingPath]) -> float:
        """Return the first time at which the group can be due if nothing more happens to it.

        ``attemptable_paths`` are the paths of the group that do not wait for another attempt.
        """
        # Most paths become overdue, each waiting path can be attempted again, and all the others become quiet.
        due_times = [
            max(pending_path.retry_at, pending_path.first_change + self.maximum_seconds)
            for pending_path in group.paths.values()
            if pending_path.obstacle not in PASSING_CODES
        ]
        due_times += [
            pending_path.retry_at for path, pending_path in group.paths.items() if path not in attemptable_paths
        ]
        if attemptable_paths:
            newest_change = max(pending_path.last_change for pending_path in attemptable_paths.values())
            due_times.append(newest_change + self.quiet_seconds)
        return min(due_times)

    def pending_paths(self) -> list[GroupedPath]:
        """Return the pending paths of all groups."""
        return [
            GroupedPath(group_key, path, pending_path)
            for group_key, group in self._groups.items()
            for path, pending_path in group.paths.items()
        ]
