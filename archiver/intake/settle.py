"""Decide when changed paths are finished: a pure state machine that is told the time.

Times are monotonic seconds.  A path is *quiet* once nothing has happened to it for the quiet period.  A group is
due when all of its paths are quiet, so that files saved together become one version; or, under constant writing,
when its oldest change exceeds the maximum delay, and then without the paths that are not quiet.  A path whose last
attempt failed waits for its own retry and does not delay the rest of its group.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from archiver.intake.snapshot import State

#: Even without a quiet period, a failing file must not be tried in a loop that takes a processor.
_SHORTEST_RETRY_SECONDS = 0.1
#: A power of two beyond this exceeds every maximum delay, and would soon exceed a float.
_MAX_DOUBLINGS = 20


@dataclass(slots=True)
class PendingPath:
    """One path that differs from the archive."""

    state: State
    first_change: float  # the oldest change that is not archived yet
    last_change: float
    retry_at: float = 0.0  # the earliest next attempt, after failed ones
    failures: int = 0
    is_held_open: bool = False  # a process had it open for writing at the last attempt
    is_unstable: bool = False  # it changed while it was read at the last attempt


@dataclass(slots=True)
class _PendingGroup:
    """The pending paths of one group."""

    wake_at: float  # nothing is due earlier; later is possible
    paths: dict[bytes, PendingPath] = field(default_factory=dict)
    gather_until: float = 0.0


class Settler:
    """Collect changed paths by group until they are finished."""

    def __init__(self, quiet_seconds: float, maximum_seconds: float) -> None:
        self.quiet_seconds = quiet_seconds
        self.maximum_seconds = maximum_seconds
        self._groups: dict[Hashable, _PendingGroup] = {}

    def observe_change(
        self, group_key: Hashable, path: bytes, state: State, now: float, has_event: bool = False
    ) -> None:
        """Note that a path differs from the archive, and in which state.

        With ``has_event`` something happened to the path just now, so the quiet period restarts although the state
        is as before: a file that was closed and opened again, for example.
        """
        group = self._groups.setdefault(group_key, _PendingGroup(now))
        # A lower bound is enough: a group that turns out not to be due is asked again at its next wake-up.
        group.wake_at = min(group.wake_at, now + min(self.quiet_seconds, self.maximum_seconds))
        pending = group.paths.get(path)
        if pending is None:
            group.paths[path] = PendingPath(state, first_change=now, last_change=now)
        elif pending.state != state or has_event:
            pending.state = state
            pending.last_change = now
            if pending.is_held_open:
                # Its writer has done something, perhaps closed the file: the back-off starts anew.
                pending.is_held_open, pending.retry_at = False, 0.0

    @property
    def is_empty(self) -> bool:
        """Return True if nothing is pending."""
        return not self._groups

    def is_group_pending(self, group_key: Hashable) -> bool:
        """Return True if a path of the group is pending."""
        return group_key in self._groups

    @property
    def path_count(self) -> int:
        """Count the pending paths."""
        return sum(len(group.paths) for group in self._groups.values())

    def oldest_change(self) -> float | None:
        """Return the time of the oldest pending change; None if nothing is pending."""
        return min((pending.first_change for _, _, pending in self.pending_paths()), default=None)

    def discard(self, group_key: Hashable, paths: Iterable[bytes]) -> None:
        """Drop paths that are archived, or equal to the archive again."""
        group = self._groups.get(group_key)
        if group is None:
            return
        for path in paths:
            group.paths.pop(path, None)
        if not group.paths:
            del self._groups[group_key]

    def discard_everywhere(self, path: bytes) -> None:
        """Drop a path that equals the archive, in whichever group it is pending."""
        for group_key in [key for key, group in self._groups.items() if path in group.paths]:
            self.discard(group_key, [path])

    def overdue_paths(self, group_key: Hashable, now: float) -> frozenset[bytes]:
        """Return the paths of the group that have waited for longer than the maximum delay."""
        group = self._groups.get(group_key)
        return frozenset() if group is None else frozenset(self._overdue(group, now))

    def defer(
        self, group_key: Hashable, path: bytes, now: float, is_held_open: bool = False, is_unstable: bool = False
    ) -> None:
        """Schedule another attempt after a failed one: with doubled waits up to the maximum delay, for ever."""
        group = self._groups.get(group_key)
        pending = group.paths.get(path) if group is not None else None
        if pending is not None:
            pending.failures += 1
            pending.is_held_open, pending.is_unstable = is_held_open, is_unstable
            doubled = max(self.quiet_seconds, _SHORTEST_RETRY_SECONDS) * 2 ** min(pending.failures, _MAX_DOUBLINGS)
            pending.retry_at = now + min(doubled, self.maximum_seconds)

    def gather(self, group_key: Hashable, until: float) -> None:
        """Hold the whole group back until ``until``, so that frequent saves become one version."""
        group = self._groups.get(group_key)
        if group is not None:
            group.wake_at = group.gather_until = until

    def is_gathering(self, group_key: Hashable, now: float) -> bool:
        """Return True if the group is held back to be captured with later changes."""
        group = self._groups.get(group_key)
        return group is not None and now < group.gather_until

    def gathering_paths(self, now: float) -> list[tuple[Hashable, bytes, PendingPath]]:
        """List the paths of all groups that are held back."""
        return [
            (group_key, path, pending)
            for group_key, group in self._groups.items()
            if now < group.gather_until
            for path, pending in group.paths.items()
        ]

    def next_due(self) -> float | None:
        """Return the time before which nothing is due unless more happens; None if nothing is pending."""
        return min((max(group.wake_at, group.gather_until) for group in self._groups.values()), default=None)

    def due_groups(self, now: float) -> list[tuple[Hashable, dict[bytes, State]]]:
        """List the groups to capture now, with their finished paths and the states they settled in."""
        return [
            (group_key, finished)
            for group_key, group in self._groups.items()
            if now >= max(group.wake_at, group.gather_until) and (finished := self._finished_paths(group, now))
        ]

    def _finished_paths(self, group: _PendingGroup, now: float) -> dict[bytes, State]:
        """Return what of the group can be captured now; postpone the group's wake-up if that is nothing.

        One path that is still being written keeps the whole group back until a path is overdue: then the quiet
        and the overdue ones go, so that a file that is never finished delays its neighbours no longer.
        """
        triable = {path: pending for path, pending in group.paths.items() if now >= pending.retry_at}
        finished = {
            path: pending.state
            for path, pending in triable.items()
            if now - pending.last_change >= self.quiet_seconds
        }
        if len(finished) < len(triable):
            overdue = self._overdue(group, now)
            finished |= {path: pending.state for path, pending in overdue.items()}
            if not overdue:
                finished = {}
        if not finished:
            group.wake_at = self._next_wake(group, triable)
        return finished

    def _overdue(self, group: _PendingGroup, now: float) -> dict[bytes, PendingPath]:
        limit = now - self.maximum_seconds
        return {
            path: pending
            for path, pending in group.paths.items()
            if pending.first_change <= limit and now >= pending.retry_at
        }

    def _next_wake(self, group: _PendingGroup, triable: dict[bytes, PendingPath]) -> float:
        """Return the first time at which the group can be due if nothing happens until then."""
        times = [
            max(pending.retry_at, pending.first_change + self.maximum_seconds) for pending in group.paths.values()
        ]
        times += [pending.retry_at for path, pending in group.paths.items() if path not in triable]
        if triable:
            times.append(max(pending.last_change for pending in triable.values()) + self.quiet_seconds)
        return min(times)

    def pending_paths(self) -> list[tuple[Hashable, bytes, PendingPath]]:
        """List everything that is not archived yet."""
        return [
            (group_key, path, pending)
            for group_key, group in self._groups.items()
            for path, pending in group.paths.items()
        ]
