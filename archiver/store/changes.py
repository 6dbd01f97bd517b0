"""From two states of paths to the changes between them.  Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from archiver.model import Change, Material, Op


def between(pairs: Iterable[tuple[Material | None, Material | None]]) -> list[Change]:
    """Changes from (before, after) per path; endings first, renames found by equal content.

    A changed mtime alone is no change.
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
    renames = _renames(removed, added)
    sources = set(renames.values())
    return [
        *(_change(Op.DELETE if m.sha256 else Op.RMDIR, m) for m in removed if m.path not in sources),
        *(_change(Op.RENAME, m, renames[m.path]) if m.path in renames else addition(m) for m in added),
        *modified,
    ]


def addition(material: Material) -> Change:
    """The change that brings ``material`` in."""
    return _change(Op.ADD if material.sha256 else Op.MKDIR, material)


def _change(op: Op, material: Material, source: bytes | None = None) -> Change:
    return Change(op, material.path, material.sha256, material.size, material.mtime_ns, source, material.health)


def _renames(removed: list[Material], added: list[Material]) -> dict[bytes, bytes]:
    """New path -> old path; empty files are too much alike to be called renamed."""
    sources: dict[str, list[bytes]] = defaultdict(list)
    for material in reversed(removed):
        if material.sha256 and material.size:
            sources[material.sha256].append(material.path)
    renames = {}
    for material in added:
        if candidates := sources.get(material.sha256 or ""):
            renames[material.path] = candidates.pop()
    return renames
