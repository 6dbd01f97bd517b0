"""Housekeeping of the repository: loose objects and refs into packs, packs into one; nothing is ever pruned.

Without it every version would leave about ten files of a few hundred bytes, each taking a
block of the disk, and everything that looks at all refs would open a file for each.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from archiver.store.archive import Archive

#: At a time, under the writer's lock: about a second.
_BATCH = 20_000
#: In one of the 256 folders; git's own housekeeping looks at the same one.
_MANY_IN_ONE = 8
_MANY_PACKS = 40


@dataclass(frozen=True, slots=True)
class Packed:
    """What was put together."""

    objects: int
    packs: int


def is_wanted(repository: Path) -> bool:
    """Whether there is enough to do; quick."""
    try:
        loose = len(list((repository / "objects/17").iterdir()))
    except OSError:
        loose = 0
    return loose >= _MANY_IN_ONE or _packs(repository) >= _MANY_PACKS


def maintain(archive: Archive, wait_seconds: float) -> Packed:
    """Pack loose objects and refs in batches, so writers wait for a batch at most; raises as Archive.writing.

    Whatever ends it in between leaves objects twice, never none of them.
    """
    objects = 0
    while batch := list(islice(archive.repository.loose_objects(), _BATCH)):
        with archive.writing(wait_seconds):
            archive.repository.pack_objects(batch)
        objects += len(batch)
        if len(batch) < _BATCH:
            break
    with archive.writing(wait_seconds):
        archive.repository.pack_refs()
    packs = _packs(archive.repository_path)
    if packs >= _MANY_PACKS:
        with archive.writing(wait_seconds):
            archive.repository.merge_packs()
    return Packed(objects, packs - _packs(archive.repository_path))


def _packs(repository: Path) -> int:
    return sum(1 for _ in (repository / "objects/pack").glob("*.pack"))
