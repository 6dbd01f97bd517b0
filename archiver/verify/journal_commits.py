"""Read the commits and event files of the journal, and read refs at a moment when no writer is moving them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import tee
from typing import NamedTuple

from archiver.errors import LazyMessage
from archiver.store.events.event_files import BODY_FILE, names_body, read_moved_refs
from archiver.store.git.repository import JOURNAL, Repository
from archiver.verify.findings import VerifyReport
from archiver.verify.refs import read_refs

#: How often the refs are read until they agree. A transaction takes milliseconds, so a transaction that is still
#: half done after a second belongs to a writer that was killed.
_MAX_REF_READS = 10
_REF_READ_PAUSE_SECONDS = 0.1
#: No transaction of a writer has more events that move refs.
_MAX_TRANSACTION_EVENTS = 64


def read_refs_between_writes(repository: Repository, report: VerifyReport) -> dict[str, str]:
    """Read the refs while no writer is moving them; return the object ids by the name of the ref.

    A writer moves the journal first and the other refs right after it. So the refs are read again, for about a
    second, until they have the values that the newest events name. If they never do, the last values are returned.
    Reports refs that cannot be read (A023).
    """
    for read_number in range(_MAX_REF_READS):
        ref_report = VerifyReport()
        refs = read_refs(repository.path, ref_report)
        moved_refs = _collect_newest_moves(repository, refs.get(JOURNAL))
        if all(refs.get(ref) == oid for ref, oid in moved_refs.items()):
            break
        if read_number < _MAX_REF_READS - 1:
            time.sleep(_REF_READ_PAUSE_SECONDS)
    report.findings += ref_report.findings
    return refs


def _collect_newest_moves(repository: Repository, tip: str | None) -> dict[str, str]:
    """Return ref -> object id of all refs that the newest events of the journal moved.

    These events include those of the newest transaction. Returns an empty dict without a readable journal.
    """
    moved_refs: dict[str, str] = {}
    commit = tip
    for _ in range(_MAX_TRANSACTION_EVENTS):
        if commit is None:
            break
        try:
            event_bytes = repository.read(f"{commit}:event.json")
            body_bytes = repository.read(f"{commit}:{BODY_FILE}") if names_body(event_bytes) else None
            commit = _read_parent_commit(repository, commit, VerifyReport())
        except KeyError:
            # Waiting would not help: the event is reported as missing later.
            break
        moved_refs = read_moved_refs(event_bytes, body_bytes) | moved_refs
    return moved_refs


class StoredEvent(NamedTuple):
    """The files of an event, as they are in its commit."""

    commit: str
    event: bytes | None  # None if it is missing
    body: bytes | None  # None in format 1, and if it is missing

    def read_event(self) -> bytes:
        """Return the bytes of ``event.json``; raises KeyError if it is missing."""
        if self.event is None:
            raise KeyError(f"{self.commit}:event.json missing")
        return self.event

    def read_body(self) -> bytes | None:
        """Return the bytes of ``body.json``, None in format 1; raises KeyError if it is missing."""
        if not names_body(self.read_event()):
            return None
        if self.body is None:
            raise KeyError(f"{self.commit}:{BODY_FILE} missing")
        return self.body


def read_stored_events(repository: Repository, commits: Iterable[str]) -> Iterator[StoredEvent]:
    """Yield the files of the events in ``commits``, in the same order. Many files are requested from git at once.

    Raises StorageError if git does not answer.
    """
    commits_to_yield, commits_to_request = tee(commits)
    contents = repository.read_present(
        f"{commit}:{file_name}" for commit in commits_to_request for file_name in ("event.json", BODY_FILE)
    )
    for commit in commits_to_yield:
        yield StoredEvent(commit, next(contents), next(contents))


def list_journal_commits(repository: Repository, tip: str, report: VerifyReport) -> list[str]:
    """Return the commits of the journal up to ``tip``, oldest first.

    If a commit is missing or damaged, the list begins with that commit, and the commit is reported (A030). Also
    reports an object that is not a commit, or that has several parents (A031).
    """
    commits: list[str] = []
    commit: str | None = tip
    while commit is not None:
        commits.append(commit)
        commit = _read_parent_commit(repository, commit, report)
    return commits[::-1]


def _read_parent_commit(repository: Repository, commit: str, report: VerifyReport) -> str | None:
    """Return the first parent of a journal commit; None for the first commit and for an unreadable commit.

    Reports a missing or damaged commit (A030), and an object that is not a commit or has several parents (A031).
    """
    try:
        object_type, object_data = repository.object(commit)
    except KeyError:
        detail = LazyMessage("it is missing or damaged; earlier events cannot be read")
        report.add_finding("A030", f"commit {commit}", detail)
        return None
    header_lines = object_data.split(b"\n\n", 1)[0].split(b"\n")
    parents = [line.removeprefix(b"parent ") for line in header_lines if line.startswith(b"parent ")]
    if object_type != "commit" or len(parents) > 1:
        detail = LazyMessage("{kind}, number of parents: {count}", kind=object_type, count=len(parents))
        report.add_finding("A031", f"commit {commit}", detail)
    return parents[0].decode("ascii") if parents else None
