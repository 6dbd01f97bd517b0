"""Enter into ``state.db`` what the archive has and the snapshot lacks, so that no deletion goes unnoticed.

A new ``state.db`` has no entries at all.  And there is a crash window: a version is durable before its entries are
written.  If the process dies in between and the file is deleted then, a scan sees neither the file nor an entry.
"""

from __future__ import annotations

from collections.abc import Iterator

from archiver.intake.layout import Group, group_of
from archiver.intake.snapshot import FOLDER, Snapshot, State
from archiver.model import Submission
from archiver.store.content.source import StatData
from archiver.store.index.queries import Index


def seed_snapshot(snapshot: Snapshot, index: Index) -> None:
    """Enter the materials of each newest version that the snapshot has not recorded as captured.

    Entries that exist stay as they are.  A group whose last captured version the index does not know is marked as
    not to be trusted: nobody else knows what that version held.
    """
    for prefix, tag in snapshot.captured_tags().items():
        if index.version(tag) is None:
            snapshot.distrust(prefix)
    for submission in open_submissions(index):
        newest = index.latest(submission)
        prefix = group_of(submission).prefix
        captured_tag = snapshot.captured_tag(prefix)
        if newest is not None and captured_tag != newest.tag:
            missing_entries = {
                path: state
                for path, state in _archived_states(submission, index)
                if snapshot.archived_state(path) is None
            }
            snapshot.record(missing_entries, prefix, captured_tag, newest.tag, newest.commit, index.point)


def _archived_states(submission: Submission, index: Index) -> Iterator[tuple[bytes, State]]:
    prefix = submission.prefix
    for material in index.materials(submission):
        path = prefix + b"/" + material.path if prefix else material.path
        # A signature that fits no file: one that still exists is read again, one that does not counts as deleted.
        yield path, StatData.unknown() if material.sha256 else FOLDER


def open_submissions(index: Index) -> list[Submission]:
    """List the submissions that still take materials: of numbered ones, which share a folder, the newest only."""
    newest_by_group: dict[Group, Submission] = {}
    for submission in index.submissions():
        group = group_of(submission)
        newest = newest_by_group.setdefault(group, submission)
        if (submission.number or 0) > (newest.number or 0):
            newest_by_group[group] = submission
    return list(newest_by_group.values())
