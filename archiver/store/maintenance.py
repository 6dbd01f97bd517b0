"""Housekeeping of the repository: loose objects and single refs into packs, small packs into larger ones.

Nothing is ever pruned.  Each batch of versions is a small pack, and git looks for an object in one pack after the
other; each single ref is a file, which everything that looks at all refs opens.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from archiver.store.archive import Archive
from archiver.store.git.pack_index import PackSize, list_packs

#: The number of loose objects packed at a time, under the writer's lock: about a second.
_BATCH_OBJECTS = 20_000
#: So many loose objects in one of the 256 folders are worth packing; git's own housekeeping counts the same one.
_MANY_IN_ONE_FOLDER = 8
#: Submissions with single refs; git removes their folders when it packs the refs.
_MANY_SUBMISSIONS = 200
#: So many packs are worth merging.
_MANY_PACKS = 40


@dataclass(frozen=True, slots=True)
class Packed:
    """The work of a housekeeping run."""

    #: The number of loose objects that were packed.
    objects: int
    #: The number of packs that became parts of others.
    packs: int


def is_wanted(repository: Path) -> bool:
    """Return True if there is enough to do for a service, which has the time; quick."""
    return has_many_object_files(repository) or _has_many_single_refs(repository)


def has_many_object_files(repository: Path) -> bool:
    """Return True if there are many loose objects or small packs; quick.

    Scheduled runs wait for this: a first capture leaves many single refs, and packing them would take a tenth of
    its time.
    """
    try:
        loose_count = len(list((repository / "objects/17").iterdir()))
    except OSError:
        # Usually there is no such folder: new objects are written into packs.
        loose_count = 0
    if loose_count >= _MANY_IN_ONE_FOLDER:
        return True
    pack_count = sum(1 for _ in repository.glob("objects/pack/*.idx"))
    # Reading the sizes takes longer than counting.
    return pack_count >= _MANY_PACKS and len(choose_small_packs(list_packs(repository))) > 1


def _has_many_single_refs(repository: Path) -> bool:
    """Return True if the tags of many submissions are in files of their own; quick, whatever their number."""
    submission_count = 0
    with suppress(OSError):
        for filing_folder in (repository / "refs" / "tags").iterdir():
            # Anybody can put a file there; a filing has a folder.
            with suppress(NotADirectoryError):
                submission_count += len(os.listdir(filing_folder))
            if submission_count >= _MANY_SUBMISSIONS:
                return True
    return False


def maintain(archive: Archive, wait_seconds: float) -> Packed:
    """Pack loose objects, refs and small packs; a writer waits for a part of the work at most.

    Whatever ends it in between leaves some objects twice, and none of them never.  Raises as
    :meth:`Archive.writing` does, and StorageError if git fails.
    """
    objects = 0
    while batch := list(islice(archive.repository.loose_objects(), _BATCH_OBJECTS)):
        with archive.writing(wait_seconds):
            archive.repository.pack_objects(batch)
        objects += len(batch)
        if len(batch) < _BATCH_OBJECTS:
            break
    with archive.writing(wait_seconds):
        archive.repository.pack_refs()
    with archive.writing(wait_seconds):
        small_packs = choose_small_packs(list_packs(archive.repository_path))
        if small_packs:
            archive.repository.merge_packs([pack.name for pack in small_packs])
    return Packed(objects, max(len(small_packs) - 1, 0))


def choose_small_packs(packs: Sequence[PackSize]) -> Sequence[PackSize]:
    """Return the packs to merge, so that each pack has at least twice the objects of all smaller ones; pure.

    An object is copied only when its pack grows by half at least, and the number of packs grows with the logarithm
    of the number of objects.  Empty if there is nothing to merge.
    """
    ordered = sorted(packs, key=lambda pack: (pack.objects, pack.name))
    merged_count = smaller_objects = 0
    for count, pack in enumerate(ordered, 1):
        if pack.objects < 2 * smaller_objects:
            merged_count = count
        smaller_objects += pack.objects
    return ordered[:merged_count]
