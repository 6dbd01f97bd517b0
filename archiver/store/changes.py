"""Compute the changes between two states of a submission's paths.  Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from archiver.model import Change, Material, Op


class MaterialPair(NamedTuple):
    """The material at a path in two states of a submission, such as two versions."""

    #: None if the path did not exist yet.
    before: Material | None
    #: None if the path no longer exists.
    after: Material | None


def compute_changes(pairs: Iterable[MaterialPair]) -> list[Change]:
    """Return the changes from the state before to the state after; ``pairs`` has a pair for each path.

    Removals come first, then additions and renames, then modifications; within each group the order of ``pairs``
    is kept.  A removed file and an added file with the same content are one rename.  A folder (its ``sha256`` is
    None) that becomes a file is removed and added, and so is a file that becomes a folder.  A changed mtime alone
    is not a change.
    """
    removed: list[Material] = []
    added: list[Material] = []
    modifications: list[Change] = []
    for before, after in pairs:
        if before is not None and after is not None:
            if before.sha256 == after.sha256:
                continue
            if before.sha256 and after.sha256:
                modifications.append(_make_change(Op.MODIFY, after))
                continue
        if before is not None:
            removed.append(before)
        if after is not None:
            added.append(after)
    old_path_by_new = _match_renames(removed, added)
    renamed_paths = set(old_path_by_new.values())
    removals = [_make_removal(material) for material in removed if material.path not in renamed_paths]
    additions = [
        _make_change(Op.RENAME, material, old_path_by_new[material.path])
        if material.path in old_path_by_new
        else make_addition(material)
        for material in added
    ]
    return [*removals, *additions, *modifications]


def make_addition(material: Material) -> Change:
    """Return the change that adds ``material``; a material without ``sha256`` is an empty folder."""
    return _make_change(Op.ADD if material.sha256 else Op.MKDIR, material)


def _make_removal(material: Material) -> Change:
    """Return the change that removes ``material``; a material without ``sha256`` is an empty folder."""
    return _make_change(Op.DELETE if material.sha256 else Op.RMDIR, material)


def _make_change(op: Op, material: Material, old_path: bytes | None = None) -> Change:
    """Return the change ``op`` of ``material``; ``old_path`` is given for a rename only."""
    return Change(op, material.path, material.sha256, material.size, material.mtime_ns, old_path, material.health)


def _match_renames(removed: list[Material], added: list[Material]) -> dict[bytes, bytes]:
    """Return new path -> old path for each file that was removed at one path and added at another.

    Files match by content.  If several match, the first added file is paired with the first removed one.  Empty
    files are left out, because all of them are equal.
    """
    removed_paths_by_digest: dict[str, list[bytes]] = defaultdict(list)
    # Reversed, so that pop() below takes the first removed path.
    for material in reversed(removed):
        if material.sha256 and material.size:
            removed_paths_by_digest[material.sha256].append(material.path)
    old_path_by_new = {}
    for material in added:
        if removed_paths := removed_paths_by_digest.get(material.sha256 or ""):
            old_path_by_new[material.path] = removed_paths.pop()
    return old_path_by_new
