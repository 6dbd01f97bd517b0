"""Find out, without the writer's lock, whether the index and the refs agree with the journal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from archiver.errors import LazyMessage
from archiver.store import lock
from archiver.store.git.repository import JOURNAL
from archiver.store.repair import journal_repair

if TYPE_CHECKING:
    from archiver.store.archive import Archive


def find_contradiction(archive: Archive) -> LazyMessage | None:
    """Return a message on how the index, or branches and tags, contradict the journal; None if they agree with it.

    Also returns None while another process writes, and for differences that the next writer repairs after a crash.
    """
    journal_tip = archive.repository.resolve(JOURNAL)
    if archive.index.head_commit != journal_tip:
        return _find_missing_event(archive, journal_tip)
    branches_and_tags = archive.repository.refs()
    # A writer moves the journal's ref first, and updates the index last. If the ref has not moved since the index
    # was read, no writer was at work in between, and the listed refs belong to this state of the index.
    if archive.repository.resolve(JOURNAL) != journal_tip:
        return None
    return _compare_with_index(archive, branches_and_tags)


def _find_missing_event(archive: Archive, journal_tip: str | None) -> LazyMessage | None:
    """Return the problem if the journal lacks the newest event of the index; None if the journal has that event.

    ``journal_tip`` is the newest commit of the journal; None without a journal, which is reported elsewhere.
    """
    newest_indexed_event = archive.index.journal_point
    if journal_tip is None or newest_indexed_event is None or archive.journal.has_event(newest_indexed_event):
        return None
    return LazyMessage.define(
        "its newest event is older than event {seq}, which a database records", code="journal.set-back"
    ).with_fields(seq=newest_indexed_event.seq)


def _compare_with_index(archive: Archive, branches_and_tags: Mapping[str, str]) -> LazyMessage | None:
    """Return a message on how branches and tags differ from the index; None if they agree.

    Also returns None if the last writer crashed and the crash explains the differences.
    """
    differences = journal_repair.compare_refs(branches_and_tags, archive.index)
    if differences.is_explained_by_crash and not lock.is_marked_clean(archive.root / "lock"):
        return None
    return differences.problem
