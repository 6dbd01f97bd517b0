"""Find the groups that a change of a path concerns."""

from __future__ import annotations

from archiver.intake.layout import Group, locate_path
from archiver.intake.snapshot import FOLDER, State
from archiver.store.content.source import StatData


def groups_of(path: bytes, before: State, state: State, layout: str) -> set[Group]:
    """Return the groups that have to capture the change of ``path`` from the state ``before`` to ``state``.

    These are two groups if a file became a folder, or a folder a file, because a file and a folder of the same
    name may belong to different groups.  A path at which nothing was and nothing is counts as a file.  ``layout``
    is the setting ``watch.layout``.
    """
    groups = set()
    if isinstance(before, StatData) or isinstance(state, StatData) or before is state is None:
        groups.add(locate_path(path, layout)[0])
    if FOLDER in (before, state):
        groups.add(locate_path(path, layout, is_folder=True)[0])
    return groups
