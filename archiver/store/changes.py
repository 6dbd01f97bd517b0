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
    removed_materials: list[Material] = []
    added_materials: list[Material] = []
    modifications: list[Change] = []
    for old_material, new_material in pairs:
        if old_material is not None and new_material is not None:
            if old_material.sha256 == new_material.sha256:
                continue
            if old_material.sha256 and new_material.sha256:
                modifications.append(_make_change(Op.MODIFY, new_material))
                continue
        if old_material is not None:
            removed_materials.append(old_material)
        if new_material is not None:
            added_materials.append(new_material)
    old_path_by_new = _match_renames(removed_materials, added_materials)
    renamed_paths = set(old_path_by_new.values())
    removals = [_make_removal(material) for material in removed_materials if material.path not in renamed_paths]
    additions = [
        _make_change(Op.RENAME, material, old_path_by_new[material.path])
        if material.path in old_path_by_new
        else make_addition(material)
        for material in added_materials
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


def _match_renames(removed_materials: list[Material], added_materials: list[Material]) -> dict[bytes, bytes]:
    """Return new path -> old path for each file that was removed at one path and added at another.

    Files match by content.  If several match, the first added file is paired with the first removed one.  Empty
    files are left out, because all of them are equal.
    """
    removed_paths_by_digest: dict[str, list[bytes]] = defaultdict(list)
    # Reversed, so that pop() below takes the first removed path.
    for material in reversed(removed_materials):
        if material.sha256 and material.size:
            removed_paths_by_digest[material.sha256].append(material.path)
    old_path_by_new = {}
    for material in added_materials:
        if removed_paths := removed_paths_by_digest.get(material.sha256 or ""):
            old_path_by_new[material.path] = removed_paths.pop()
    return old_path_by_new
