"""Add missing entries for archived files to the snapshot, ``state.db``, so that no deletion goes unnoticed.

A new ``state.db`` has no entries.  An existing one lacks some after a crash, because a version is durable before
its entries are written.  If a file without an entry is then deleted, a scan finds neither the file nor the entry,
and the file would stay in the archive's newest version.
"""

from __future__ import annotations

from collections.abc import Iterator

from archiver.intake.layout import Group, group_of_submission
from archiver.intake.snapshot import FOLDER, Snapshot, State
from archiver.model import Submission
from archiver.store.content.source import StatData
from archiver.store.index.queries import Index


def seed_snapshot(snapshot: Snapshot, index: Index) -> None:
    """Add entries for the newest version of each open submission, unless the snapshot recorded that version.

    An open submission is one that still receives materials.  Existing entries stay as they are.  If the index does
    not know the version that was captured last from a folder, the content of that version is unknown, so the next
    scan reads every file in the folder again.

    Raises sqlite3.Error if the index or the snapshot cannot be used.
    """
    for prefix, captured_tag in snapshot.captured_tags().items():
        if index.find_version(captured_tag) is None:
            snapshot.mark_contents_unknown(prefix)
    for submission in open_submissions(index):
        newest_version = index.newest_version(submission)
        prefix = group_of_submission(submission).prefix
        previous_tag = snapshot.captured_tag(prefix)
        if newest_version is not None and previous_tag != newest_version.tag:
            missing_entries = {
                path: state
                for path, state in _archived_states(submission, index)
                if snapshot.archived_state(path) is None
            }
            snapshot.record(
                missing_entries,
                prefix=prefix,
                previous_tag=previous_tag,
                tag=newest_version.tag,
                commit=newest_version.commit,
                point=index.journal_point,
            )


def _archived_states(submission: Submission, index: Index) -> Iterator[tuple[bytes, State]]:
    """Yield the path and a state of each material in the submission's newest version.

    Paths are relative to the watched folder.  A file gets a state that no existing file can have: the next scan
    reads the file again if it still exists, and otherwise finds that it was deleted.
    """
    prefix = submission.prefix
    for material in index.materials(submission):
        path = prefix + b"/" + material.path if prefix else material.path
        yield path, StatData.unknown() if material.sha256 else FOLDER


def open_submissions(index: Index) -> list[Submission]:
    """Return the open submissions, which still receive materials: a single submission for each group.

    The numbered submissions of a filing share a folder, and only the submission with the highest number is open.
    """
    open_by_group: dict[Group, Submission] = {}
    for submission in index.submissions():
        group = group_of_submission(submission)
        open_submission = open_by_group.setdefault(group, submission)
        if (submission.number or 0) > (open_submission.number or 0):
            open_by_group[group] = submission
    return list(open_by_group.values())
