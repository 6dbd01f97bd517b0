"""Look for the archived files in a folder: with half of the files, the folder may replace the watched folder."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from archiver.intake.folder.access import FolderAccess
from archiver.intake.seed_snapshot import open_submissions
from archiver.store.index.queries import Index

#: The most archived paths to look for in a folder. More, and a slow share takes too long. Fewer, and a folder that
#: has some of the names by chance may be mistaken for a successor.
_MAX_SAMPLE_SIZE = 1000
#: The share of these paths that a successor must have.
_REQUIRED_SHARE = 0.5


class PresentFiles(NamedTuple):
    """How many files of a sample a folder has."""

    present_count: int
    sampled_count: int

    @property
    def are_enough(self) -> bool:
        """Return True if the folder has at least half of the files; True also if nothing is archived."""
        return self.present_count >= _REQUIRED_SHARE * self.sampled_count


def count_present_files(access: FolderAccess, sampled_paths: Sequence[bytes]) -> PresentFiles:
    """Look up each path below the folder of ``access``; a path that cannot be looked up is not present."""
    return PresentFiles(sum(_is_file(access, path) for path in sampled_paths), len(sampled_paths))


def sample_archived_paths(index: Index) -> Iterator[bytes]:
    """Yield the paths of files in the newest versions, relative to the watched folder.

    If there are ``_MAX_SAMPLE_SIZE`` files or more, only every n-th path is yielded, so that the sample stays
    within this size.
    """
    newest_versions = [
        version for version in map(index.newest_version, open_submissions(index)) if version is not None
    ]
    sampling_step = sum(version.files for version in newest_versions) // _MAX_SAMPLE_SIZE + 1
    file_number = 0
    for version in newest_versions:
        prefix = version.submission.prefix + b"/" if version.submission.prefix else b""
        for material in index.materials(version.submission):
            # ``sha256`` is None for a folder.
            if material.sha256 is not None:
                if file_number % sampling_step == 0:
                    yield prefix + material.path
                file_number += 1


def _is_file(access: FolderAccess, path: bytes) -> bool:
    """Return True if a regular file can be seen at the path."""
    try:
        return stat.S_ISREG(access.look_up(path).mode)
    except OSError:
        # A file that cannot be looked up does not count: the folder has to prove that it is the successor.
        return False
