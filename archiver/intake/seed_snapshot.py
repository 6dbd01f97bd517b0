"""What the archive has and ``state.db`` does not know: without it, a deletion would go unnoticed.

A new ``state.db`` knows nothing.  And there is a crash window: a version is
durable before its entries are written; if the process dies in between and the
file is deleted then, a scan sees neither the file nor an entry of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from archiver.intake.layout import Group, group_of
from archiver.intake.snapshot import FOLDER, Snapshot, State
from archiver.model import Submission
from archiver.store.content.source import StatData
from archiver.store.index.queries import Index


def seed(snapshot: Snapshot, index: Index) -> None:
    """Enter what newest versions hold, where the entries are not known to be complete."""
    for prefix, tag in snapshot.captured_tags().items():
        if index.version(tag) is None:
            # Its event cannot be read: nobody else knows what that version held.
            snapshot.distrust(prefix)
    for submission in open_submissions(index):
        newest = index.latest(submission)
        prefix = group_of(submission).prefix
        before = snapshot.captured(prefix)
        if newest is not None and before != newest.tag:
            missing = {path: state for path, state in _states(submission, index) if snapshot.get(path) is None}
            snapshot.record(missing, prefix, before, newest.tag, newest.commit, index.point)


def _states(submission: Submission, index: Index) -> Iterator[tuple[bytes, State]]:
    prefix = submission.prefix
    for material in index.materials(submission):
        path = prefix + b"/" + material.path if prefix else material.path
        # What is still there is read again, what is not counts as deleted.
        yield path, StatData.unknown() if material.sha256 else FOLDER


def open_submissions(index: Index) -> list[Submission]:
    """Of numbered submissions, which share one folder, only the newest counts."""
    newest: dict[Group, Submission] = {}
    for submission in index.submissions():
        known = newest.setdefault(group_of(submission), submission)
        if (submission.number or 0) > (known.number or 0):
            newest[group_of(submission)] = submission
    return list(newest.values())
