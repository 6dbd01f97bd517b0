"""Find the groups that a change of a path concerns."""

from __future__ import annotations

from archiver.intake.layout import Group, locate_path
from archiver.intake.snapshot import FOLDER, State
from archiver.store.content.source import StatData


def groups_of(path: bytes, archived_state: State, present_state: State, layout: str) -> set[Group]:
    """Return the groups for which ``path`` has changed, from ``archived_state`` to ``present_state``.

    These are two groups if a file became a folder, or a folder a file, because a file and a folder of the same
    name may belong to different groups.  A path at which nothing was and nothing is counts as a file.  ``layout``
    is the setting ``watch.layout``.
    """
    groups = set()
    if (
        isinstance(archived_state, StatData)
        or isinstance(present_state, StatData)
        or archived_state is present_state is None
    ):
        groups.add(locate_path(path, layout).group)
    if FOLDER in (archived_state, present_state):
        groups.add(locate_path(path, layout, is_folder=True).group)
    return groups
