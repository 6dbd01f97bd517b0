"""Keep the git repository fast: pack loose objects and loose refs, and merge small packs into larger ones.

Each batch of versions adds a small pack, and git searches the packs for an object one after the other.  Each loose
ref is a separate file, which git has to open whenever it lists all refs.  No object is ever lost: only an object
that a pack has as well is deleted.
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

#: The number of loose objects to pack while the writer's lock is held once, which takes about a second.
_BATCH_OBJECTS = 20_000
#: With this many loose objects in a sample, one of the 256 folders of objects, packing is worthwhile.
_MANY_SAMPLED_OBJECTS = 8
#: With this many submissions that have loose refs, packing the refs is worthwhile.
_MANY_SUBMISSIONS = 200
#: With this many packs, merging the small ones is worthwhile.
_MANY_PACKS = 40


@dataclass(frozen=True, slots=True)
class Packed:
    """The work that a run of :func:`maintain` has done."""

    #: The number of loose objects that were packed.
    objects: int
    #: By how many packs the repository has fewer than before, because packs were merged.
    packs: int


def is_wanted(repository: Path) -> bool:
    """Return True if a run of :func:`maintain` is worthwhile for a service, which has the time; quick."""
    return has_many_object_files(repository) or _has_many_loose_refs(repository)


def has_many_object_files(repository: Path) -> bool:
    """Return True if there are many loose objects or small packs; quick.

    Scheduled runs wait for this: a first capture leaves many single refs, and packing them would take a tenth of
    its time.
    """
    try:
        # Git's own housekeeping takes the same folder as the sample.
        loose_count = len(list((repository / "objects/17").iterdir()))
    except OSError:
        # Usually the folder does not exist, because new objects are written to packs.
        loose_count = 0
    if loose_count >= _MANY_SAMPLED_OBJECTS:
        return True
    pack_count = sum(1 for _ in repository.glob("objects/pack/*.idx"))
    # Reading the sizes takes longer than counting.
    return pack_count >= _MANY_PACKS and len(choose_small_packs(list_packs(repository))) > 1


def _has_many_loose_refs(repository: Path) -> bool:
    """Return True if many submissions have loose tags, each in a separate file.

    Quick, however many there are: git removes the folder of a submission when it packs the refs, and the counting
    ends at the limit.
    """
    submission_count = 0
    with suppress(OSError):
        for filing_folder in (repository / "refs" / "tags").iterdir():
            # Each filing has a folder. A file, which anybody can put there, is not a filing.
            with suppress(NotADirectoryError):
                submission_count += len(os.listdir(filing_folder))
            if submission_count >= _MANY_SUBMISSIONS:
                return True
    return False


def maintain(archive: Archive, wait_seconds: float) -> Packed:
    """Pack loose objects and refs, and merge small packs; return how much was done.

    The writer's lock is taken for each step and released in between, so another writer waits for one step at most.
    An error or a crash loses no object; at worst, some objects are stored twice.

    Raises the errors of :meth:`Archive.writing`, StorageError if git fails, OSError or ValueError if the index of
    a pack cannot be read.
    """
    packed_count = 0
    while object_ids := list(islice(archive.repository.loose_objects(), _BATCH_OBJECTS)):
        with archive.writing(wait_seconds):
            archive.repository.pack_objects(object_ids)
        packed_count += len(object_ids)
        if len(object_ids) < _BATCH_OBJECTS:
            break
    with archive.writing(wait_seconds):
        archive.repository.pack_refs()
    with archive.writing(wait_seconds):
        small_packs = choose_small_packs(list_packs(archive.repository_path))
        if small_packs:
            archive.repository.merge_packs([pack.name for pack in small_packs])
    return Packed(packed_count, max(len(small_packs) - 1, 0))


def choose_small_packs(packs: Sequence[PackSize]) -> Sequence[PackSize]:
    """Return the smallest packs, to be merged into one; empty if there is nothing to merge.  Pure.

    Afterwards, each larger pack has at least twice as many objects as all smaller packs together.  So the number
    of packs grows only with the logarithm of the number of objects, and an object is copied only when its pack
    grows by at least half.
    """
    packs_by_size = sorted(packs, key=lambda pack: (pack.objects, pack.name))
    merged_count = smaller_objects = 0
    for count, pack in enumerate(packs_by_size, 1):
        if pack.objects < 2 * smaller_objects:
            merged_count = count
        smaller_objects += pack.objects
    return packs_by_size[:merged_count]
