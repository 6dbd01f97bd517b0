"""A lost ``state.db`` is made anew from the archive, so that no deletion goes unnoticed."""

from __future__ import annotations

from collections.abc import Iterator

from archiver.intake.layout import Group, group_of
from archiver.intake.snapshot import FOLDER, Snapshot, State
from archiver.model import Submission
from archiver.store.index import Index
from archiver.store.source import Signature


def seed(snapshot: Snapshot, index: Index) -> None:
    """Enter what the newest versions hold, once per ``state.db``."""
    if snapshot.meta("seeded"):
        return
    for submission in _open_submissions(index):
        snapshot.record(dict(_states(submission, index)))
    snapshot.set_meta("seeded", "yes")


def _states(submission: Submission, index: Index) -> Iterator[tuple[bytes, State]]:
    prefix = submission.prefix
    for material in index.materials(submission):
        path = prefix + b"/" + material.path if prefix else material.path
        # What is still there is read again, what is not counts as deleted.
        yield path, Signature.unknown() if material.sha256 else FOLDER


def _open_submissions(index: Index) -> list[Submission]:
    """Of numbered submissions, which share one folder, only the newest counts."""
    newest: dict[Group, Submission] = {}
    for submission in index.submissions():
        known = newest.setdefault(group_of(submission), submission)
        if (submission.number or 0) > (known.number or 0):
            newest[group_of(submission)] = submission
    return list(newest.values())
