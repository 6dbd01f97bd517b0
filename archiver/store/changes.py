"""Compute the changes between two states of a submission's paths.  Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from archiver.model import Change, Material, Op


def between(pairs: Iterable[tuple[Material | None, Material | None]]) -> list[Change]:
    """Return the changes from (before, after) pairs, one pair for each path; removals come first.

    A path that disappeared and one that appeared with the same content are a rename.  A changed mtime alone is not
    a change.
    """
    removed: list[Material] = []
    added: list[Material] = []
    modified: list[Change] = []
    for before, after in pairs:
        if before is None and after is None:
            continue
        if before is not None and after is not None:
            if before.sha256 == after.sha256:
                continue
            if before.sha256 and after.sha256:
                modified.append(_change(Op.MODIFY, after))
                continue
        removed += [before] if before is not None else []
        added += [after] if after is not None else []
    old_paths = _match_renames(removed, added)
    renamed_paths = set(old_paths.values())
    return [
        *(
            _change(Op.DELETE if material.sha256 else Op.RMDIR, material)
            for material in removed
            if material.path not in renamed_paths
        ),
        *(
            _change(Op.RENAME, material, old_paths[material.path])
            if material.path in old_paths
            else addition(material)
            for material in added
        ),
        *modified,
    ]


def addition(material: Material) -> Change:
    """Return the change that adds ``material``; one without content is an empty folder."""
    return _change(Op.ADD if material.sha256 else Op.MKDIR, material)


def _change(op: Op, material: Material, source: bytes | None = None) -> Change:
    return Change(op, material.path, material.sha256, material.size, material.mtime_ns, source, material.health)


def _match_renames(removed: list[Material], added: list[Material]) -> dict[bytes, bytes]:
    """Return new path -> old path of materials with equal content; empty files are too alike to be matched."""
    removed_by_content: dict[str, list[bytes]] = defaultdict(list)
    for material in reversed(removed):
        if material.sha256 and material.size:
            removed_by_content[material.sha256].append(material.path)
    old_paths = {}
    for material in added:
        if candidates := removed_by_content.get(material.sha256 or ""):
            old_paths[material.path] = candidates.pop()
    return old_paths
