"""Find the groups that a change of a path concerns."""

from __future__ import annotations

from archiver.intake.layout import Group, locate_path
from archiver.intake.snapshot import FOLDER, State
from archiver.store.content.source import StatData


def groups_of(path: bytes, before: State, state: State, layout: str) -> set[Group]:
    """Return the groups that a change of ``path`` from ``before`` to ``state`` concerns.

    A file and a folder of the same name may belong to different groups.
    """
    groups = set()
    if isinstance(before, StatData) or isinstance(state, StatData) or before is state is None:
        groups.add(locate_path(path, layout)[0])
    if FOLDER in (before, state):
        groups.add(locate_path(path, layout, is_folder=True)[0])
    return groups
