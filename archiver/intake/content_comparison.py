"""Compare files with the archive by their bytes, where their state does not tell whether they have changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import NamedTuple

from archiver.intake.exclusion.ignore_rules import IgnoreRules
from archiver.intake.folder.access import FolderAccess
from archiver.intake.folder.change_times import ChangeTimes
from archiver.intake.layout import Group, group_of_submission
from archiver.intake.path_reasons import UNREADABLE_FILE
from archiver.intake.seed_snapshot import open_submissions
from archiver.intake.snapshot import SkippedPath, Snapshot, State
from archiver.model import Submission
from archiver.store.content.source import SourceChanged, StatData
from archiver.store.index.queries import Index
from archiver.store.system_limits import find_limit

_READ_BYTES = 1 << 20


class ContentComparison(NamedTuple):
    """The outcome for each file; a file that is gone, or lent to a client of a share, is left out."""

    #: Files with the archived bytes, with their state at that time.
    same: dict[bytes, StatData]
    #: Files with other bytes, or that changed while they were read, with their state at the beginning.
    different: dict[bytes, StatData]
    unreadable: list[SkippedPath]

    def correct(self, changed_states: Mapping[bytes, State], snapshot: Snapshot) -> dict[bytes, State]:
        """Return the changed paths that a later scan has found, corrected by this comparison."""
        corrected = {
            path: state
            for path, state in changed_states.items()
            # What has changed since the comparison has a known state, or another one than at that time.
            if path not in self.same
            or self.same[path] != state
            or snapshot.archived_state(path) not in (None, StatData.unknown())
        }
        return {**self.different, **corrected}


def archived_digests(index: Index, submission: Submission) -> dict[bytes, str]:
    """Return the SHA-256 of each file in a submission's newest version, by path below the watched folder."""
    prefix = submission.prefix + b"/" if submission.prefix else b""
    # ``sha256`` is None for a folder.
    return {prefix + each.path: each.sha256 for each in index.materials(submission) if each.sha256 is not None}


def compare_doubtful_files(
    access: FolderAccess,
    index: Index,
    group: Group,
    snapshot: Snapshot,
    change_times: ChangeTimes,
    ignore_rules: IgnoreRules,
) -> ContentComparison:
    """Compare the files of a group of which a scan does not tell whether they have changed.

    Those are the files without a state in ``snapshot``, as after its loss, and all files on a filesystem that does
    not store when they are changed.  Ignored files are left out, because they are no longer captured.

    Raises LimitReached, and sqlite3.Error if a database cannot be read.
    """
    unknown = StatData.unknown()
    known_paths = {path for path, state in snapshot.file_entries(group.prefix) if state != unknown}
    digests = {
        path: digest
        for submission in open_submissions(index)
        if group_of_submission(submission) == group
        for path, digest in archived_digests(index, submission).items()
        if not (path in known_paths and change_times.are_stored(path)) and not ignore_rules.covers(path)
    }
    return compare_contents(access, digests)


def compare_contents(
    access: FolderAccess, digests: Mapping[bytes, str], check_stop: Callable[[], None] = lambda: None
) -> ContentComparison:
    """Read the files at the paths of ``digests``, and compare their bytes with the SHA-256 values.

    ``check_stop`` is called before each chunk, and may raise to give up.  Raises LimitReached: a file that this
    process cannot open says nothing about the file.
    """
    comparison = ContentComparison({}, {}, [])
    buffer = memoryview(bytearray(_READ_BYTES))
    with access.opened_in_turn() as open_file:
        for path, archived_digest in digests.items():
            try:
                with closing(open_file(path)) as source:
                    source.drop_cached_pages()
                    digest = hashlib.sha256()
                    check_stop()
                    while read_count := source.readinto(buffer):
                        digest.update(buffer[:read_count])
                        check_stop()
                    is_same = digest.hexdigest() == archived_digest and source.is_unchanged()
            except (FileNotFoundError, NotADirectoryError, SourceChanged, BlockingIOError):
                # A scan finds what is gone or replaced, and a look at writers finds what is lent.
                continue
            except OSError as error:
                if (limit := find_limit(error)) is not None:
                    raise limit from error
                comparison.unreadable.append(SkippedPath(path, UNREADABLE_FILE.code, error.strerror or str(error)))
                continue
            (comparison.same if is_same else comparison.different)[path] = source.stat_data
    return comparison
