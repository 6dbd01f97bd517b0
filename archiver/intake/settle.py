"""When a changed path is finished: a pure state machine, told the time.

Times are monotonic seconds.  A path is *quiet* once nothing has happened to it
for the quiet period.  A group is due when all of it is quiet, so that files
saved together become one version; or, under constant writing, when its oldest
change is older than the maximum delay, and then without what is not quiet.
A path whose last attempt failed waits for its own retry and keeps nobody back.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from archiver.intake.snapshot import State


@dataclass(slots=True)
class Pending:
    """One path that differs from the archive.

    ``since`` is the first change not archived yet, ``changed`` the last one seen,
    ``retry`` the earliest next attempt after ``failures`` failed ones; the last of
    them found it open for writing (``held``), or changing (``unstable``).
    """

    state: State
    since: float
    changed: float
    retry: float = 0.0
    failures: int = 0
    held: bool = False
    unstable: bool = False


@dataclass(slots=True)
class _Waiting:
    """The pending paths of one group; nothing of it is due before ``wake``."""

    wake: float
    paths: dict[bytes, Pending] = field(default_factory=dict)
    gather_until: float = 0.0


class Settler:
    """Collects changes until they are finished."""

    def __init__(self, quiet_seconds: float, maximum_seconds: float) -> None:
        self.quiet_seconds = quiet_seconds
        self.maximum_seconds = maximum_seconds
        self._groups: dict[Hashable, _Waiting] = {}

    def observe(self, group: Hashable, path: bytes, state: State, now: float, stirred: bool = False) -> None:
        """A path was seen to differ from the archive, in this state.

        ``stirred``: something happened to it just now, so that it is not quiet
        even if its state is as before: a file closed and opened again.
        """
        waiting = self._groups.setdefault(group, _Waiting(now))
        # A lower bound: what becomes due later is found out when this is reached.
        waiting.wake = min(waiting.wake, now + min(self.quiet_seconds, self.maximum_seconds))
        pending = waiting.paths.get(path)
        if pending is None:
            waiting.paths[path] = Pending(state, since=now, changed=now)
        elif pending.state != state or stirred:
            pending.state = state
            pending.changed = now
            if pending.held:
                pending.held, pending.retry = False, 0.0

    @property
    def is_empty(self) -> bool:
        """Whether nothing is pending."""
        return not self._groups

    def is_waiting(self, group: Hashable) -> bool:
        """Return True if a path of the group is pending."""
        return group in self._groups

    @property
    def count(self) -> int:
        """How many paths are pending."""
        return sum(len(waiting.paths) for waiting in self._groups.values())

    def oldest(self) -> float | None:
        """Since when the oldest of them waits."""
        return min((each.since for _, _, each in self.pending()), default=None)

    def forget(self, group: Hashable, paths: Iterable[bytes]) -> None:
        """These paths are archived, or are as the archive has them again."""
        waiting = self._groups.get(group)
        if waiting is None:
            return
        for path in paths:
            waiting.paths.pop(path, None)
        if not waiting.paths:
            del self._groups[group]

    def forget_path(self, path: bytes) -> None:
        """This path is as the archive has it, in whichever group it was pending."""
        for group in [group for group, waiting in self._groups.items() if path in waiting.paths]:
            self.forget(group, [path])

    def overdue(self, group: Hashable, now: float) -> frozenset[bytes]:
        """The paths of the group that wait for longer than the maximum delay."""
        waiting = self._groups.get(group)
        return frozenset() if waiting is None else frozenset(self._overdue(waiting, now))

    def defer(self, group: Hashable, path: bytes, now: float, held: bool = False, unstable: bool = False) -> None:
        """An attempt failed: try again later, each time later, for ever."""
        waiting = self._groups.get(group)
        pending = waiting.paths.get(path) if waiting is not None else None
        if pending is not None:
            pending.failures += 1
            pending.held, pending.unstable = held, unstable
            wait = max(self.quiet_seconds, 0.1) * 2 ** min(pending.failures, 20)
            pending.retry = now + min(wait, self.maximum_seconds)

    def gather(self, group: Hashable, until: float) -> None:
        """Nothing of the group is due before ``until``: frequent saves become one version."""
        waiting = self._groups.get(group)
        if waiting is not None:
            waiting.wake = waiting.gather_until = until

    def is_gathering(self, group: Hashable, now: float) -> bool:
        """Whether the group waits to be gathered with later changes."""
        waiting = self._groups.get(group)
        return waiting is not None and now < waiting.gather_until

    def gathered(self, now: float) -> list[tuple[Hashable, bytes, Pending]]:
        """What waits to be gathered."""
        return [
            (group, path, each)
            for group, waiting in self._groups.items()
            if now < waiting.gather_until
            for path, each in waiting.paths.items()
        ]

    def next_due(self) -> float | None:
        """Before this moment nothing is due, if nothing more happens; None if nothing is pending."""
        return min((max(each.wake, each.gather_until) for each in self._groups.values()), default=None)

    def due(self, now: float) -> list[tuple[Hashable, dict[bytes, State]]]:
        """Groups to capture now, with the paths and the states they settled in."""
        return [
            (group, ready)
            for group, waiting in self._groups.items()
            if now >= max(waiting.wake, waiting.gather_until) and (ready := self._ready(waiting, now))
        ]

    def _ready(self, waiting: _Waiting, now: float) -> dict[bytes, State]:
        willing = {path: each for path, each in waiting.paths.items() if now >= each.retry}
        quiet = {path: each.state for path, each in willing.items() if now - each.changed >= self.quiet_seconds}
        if len(quiet) < len(willing):
            overdue = self._overdue(waiting, now)
            # One file that never ends must not keep back its neighbours for longer.
            quiet = {**quiet, **{path: each.state for path, each in overdue.items()}} if overdue else {}
        if not quiet:
            waiting.wake = self._next_wake(waiting, willing)
        return quiet

    def _overdue(self, waiting: _Waiting, now: float) -> dict[bytes, Pending]:
        limit = now - self.maximum_seconds
        return {path: each for path, each in waiting.paths.items() if each.since <= limit and now >= each.retry}

    def _next_wake(self, waiting: _Waiting, willing: dict[bytes, Pending]) -> float:
        """The first moment at which the group can be due, if nothing happens until then."""
        moments = [max(each.retry, each.since + self.maximum_seconds) for each in waiting.paths.values()]
        moments += [each.retry for path, each in waiting.paths.items() if path not in willing]
        if willing:
            moments.append(max(each.changed for each in willing.values()) + self.quiet_seconds)
        return min(moments)

    def pending(self) -> list[tuple[Hashable, bytes, Pending]]:
        """Everything not archived yet."""
        return [
            (group, path, each) for group, waiting in self._groups.items() for path, each in waiting.paths.items()
        ]
