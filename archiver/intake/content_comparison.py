"""Compare files with the archive by their bytes, where their state does not tell whether they have changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import closing
from typing import NamedTuple

from archiver.intake.folder.access import FolderAccess
from archiver.intake.layout import Group, group_of_submission
from archiver.intake.path_reasons import UNREADABLE_FILE
from archiver.intake.seed_snapshot import open_submissions
from archiver.intake.snapshot import SkippedPath
from archiver.store.content.source import SourceChanged, StatData
from archiver.store.index.queries import Index

_READ_BYTES = 1 << 20


class ContentComparison(NamedTuple):
    """The outcome for each file; a file that is gone, or lent to a client of a share, is left out."""

    #: Files with the archived bytes.
    same: frozenset[bytes]
    #: Files with other bytes, or that changed while they were read, with their state at the beginning.
    different: dict[bytes, StatData]
    unreadable: list[SkippedPath]


def archived_digests(index: Index, group: Group) -> dict[bytes, str]:
    """Return the SHA-256 of each file in the newest version of a group, by path below the watched folder."""
    prefix = group.prefix + b"/" if group.prefix else b""
    return {
        prefix + material.path: material.sha256
        for submission in open_submissions(index)
        if group_of_submission(submission) == group
        for material in index.materials(submission)
        # ``sha256`` is None for a folder.
        if material.sha256 is not None
    }


def compare_contents(access: FolderAccess, digests: Mapping[bytes, str]) -> ContentComparison:
    """Read the files at the paths of ``digests``, and compare their bytes with the SHA-256 values."""
    same: set[bytes] = set()
    different: dict[bytes, StatData] = {}
    unreadable: list[SkippedPath] = []
    buffer = memoryview(bytearray(_READ_BYTES))
    with access.opened_in_turn() as open_file:
        for path, archived_digest in digests.items():
            try:
                with closing(open_file(path)) as source:
                    digest = hashlib.sha256()
                    while read_count := source.readinto(buffer):
                        digest.update(buffer[:read_count])
                    is_same = digest.hexdigest() == archived_digest and source.is_unchanged()
            except (FileNotFoundError, NotADirectoryError, SourceChanged, BlockingIOError):
                # A scan finds what is gone or replaced, and a look at writers finds what is lent.
                continue
            except OSError as error:
                unreadable.append(SkippedPath(path, UNREADABLE_FILE.code, error.strerror or str(error)))
                continue
            if is_same:
                same.add(path)
            else:
                different[path] = source.stat_data
    return ContentComparison(frozenset(same), different, unreadable)
