"""When a changed path is finished: a pure state machine, told the time.

Times are monotonic seconds.  A path is *quiet* once its state has not changed
for the quiet period.  A group is due when all of it is quiet, so that files
saved together become one version; or, under constant writing, when its oldest
change is older than the maximum delay, and then without what is not quiet.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from archiver.intake.snapshot import State


@dataclass(slots=True)
class Pending:
    """One path that differs from the archive.

    ``since`` is the first change not archived yet, ``changed`` the last one seen,
    ``retry`` the earliest next attempt after ``failures`` failed ones.
    """

    state: State
    since: float
    changed: float
    retry: float = 0.0
    failures: int = 0


class Settler:
    """Collects changes until they are finished."""

    def __init__(self, quiet_seconds: float, maximum_seconds: float) -> None:
        self.quiet_seconds = quiet_seconds
        self.maximum_seconds = maximum_seconds
        self._groups: dict[Hashable, dict[bytes, Pending]] = {}

    def observe(self, group: Hashable, path: bytes, state: State, now: float) -> None:
        """A path was seen to differ from the archive, in this state."""
        paths = self._groups.setdefault(group, {})
        pending = paths.get(path)
        if pending is None:
            paths[path] = Pending(state, since=now, changed=now)
        elif pending.state != state:
            pending.state = state
            pending.changed = now

    @property
    def is_empty(self) -> bool:
        """Whether nothing is pending."""
        return not self._groups

    def forget(self, group: Hashable, paths: Iterable[bytes]) -> None:
        """These paths are archived, or are as the archive has them again."""
        known = self._groups.get(group, {})
        for path in paths:
            known.pop(path, None)
        if not known:
            self._groups.pop(group, None)

    def forget_path(self, path: bytes) -> None:
        """This path is as the archive has it, in whichever group it was pending."""
        for group in [group for group, paths in self._groups.items() if path in paths]:
            self.forget(group, [path])

    def is_overdue(self, group: Hashable, now: float) -> bool:
        """Whether something of the group waits longer than the maximum delay."""
        paths = self._groups.get(group, {})
        return any(now - pending.since >= self.maximum_seconds for pending in paths.values())

    def defer(self, group: Hashable, path: bytes, now: float) -> None:
        """An attempt failed: try again later, each time later, for ever."""
        pending = self._groups.get(group, {}).get(path)
        if pending is not None:
            pending.failures += 1
            wait = max(self.quiet_seconds, 0.1) * 2 ** min(pending.failures, 20)
            pending.retry = now + min(wait, self.maximum_seconds)

    def due(self, now: float) -> list[tuple[Hashable, dict[bytes, State]]]:
        """Groups to capture now, with the paths and the states they settled in."""
        return [(group, ready) for group, paths in self._groups.items() if (ready := self._ready(paths, now))]

    def _ready(self, paths: dict[bytes, Pending], now: float) -> dict[bytes, State]:
        quiet = {
            path: pending.state
            for path, pending in paths.items()
            if now - pending.changed >= self.quiet_seconds and now >= pending.retry
        }
        if len(quiet) == len(paths):
            return quiet
        overdue = {path: pending for path, pending in paths.items() if now - pending.since >= self.maximum_seconds}
        if not overdue:
            return {}
        # One file that never ends must not keep back its neighbours for longer.
        return quiet | {path: each.state for path, each in overdue.items() if now >= each.retry}

    def pending(self) -> list[tuple[Hashable, bytes, Pending]]:
        """Everything not archived yet."""
        return [(group, path, pending) for group, paths in self._groups.items() for path, pending in paths.items()]
