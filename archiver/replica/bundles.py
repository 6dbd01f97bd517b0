"""Writes the archive's history as git bundles for the bucket, each with the events after the previous bundle.

A bundle is created from the object ids in the journal, not from the repository's refs. The archive may capture a
version while the bundle is written, which moves refs, and a bundle must not list a ref whose objects it lacks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, NamedTuple

from archiver.replica.object_names import EventSpan
from archiver.store.archive import Archive
from archiver.store.git.repository import JOURNAL

#: The first line of a bundle of version 2, see gitformat-bundle(5).
_BUNDLE_SIGNATURE = b"# v2 git bundle\n"
_BRANCHES = "refs/heads/"
#: Before the id of each parent, in the header of a git commit.
_PARENT_FIELD = b"parent "


class WrittenBundle(NamedTuple):
    """A bundle on disk, ready to be uploaded."""

    span: EventSpan
    path: Path
    #: Hex digest of the file.
    sha256: str


class _BundledEvent(NamedTuple):
    """The data of a journal event from which a bundle is created."""

    seq: int
    #: The journal commit of the event.
    commit: str
    #: Ref -> the object id that the event moved the ref to.
    moved_refs: Mapping[str, str]


@contextmanager
def write_bundle(archive: Archive, previous_commit: str | None, last_commit: str) -> Iterator[WrittenBundle]:
    """Write a bundle of the events after ``previous_commit``, up to and including ``last_commit``.

    Both are commits of the journal. Without a ``previous_commit`` the bundle begins with the first event. The
    journal must have at least one event after ``previous_commit``.

    Yields the bundle as a file in the spool, which is deleted when the block ends. If the process is killed, the
    next cleaning of the spool deletes the file.

    Raises StorageError if the journal cannot be read or git fails, KeyError if an object is missing.
    """
    events = list(_read_events(archive, previous_commit, last_commit))
    moved_refs = {ref: oid for event in events for ref, oid in event.moved_refs.items()}
    journal_head = events[-1].commit
    prerequisites = [previous_commit] if previous_commit else []
    if not archive.index.unread_events():
        # No bundle has a version whose event cannot be read. With such an event, the bundle that contains the next
        # version on the same branch must include the unread version, too, so the parents are no prerequisites.
        prerequisites += _read_parents_of_first_commits(archive, events)
    with NamedTemporaryFile(dir=archive.spool_folder, prefix="tmp-bundle-", suffix=".bundle") as bundle_file:
        _write_header(bundle_file, {JOURNAL: journal_head, **moved_refs}, prerequisites)
        archive.repository.write_pack(bundle_file, [journal_head, *moved_refs.values()], prerequisites)
        bundle_file.flush()
        with open(bundle_file.name, "rb") as written_file:
            sha256 = hashlib.file_digest(written_file, "sha256").hexdigest()
        span = EventSpan(events[0].seq, events[-1].seq, journal_head)
        yield WrittenBundle(span, Path(bundle_file.name), sha256)


def _read_events(archive: Archive, previous_commit: str | None, last_commit: str) -> Iterator[_BundledEvent]:
    """Yield the events after ``previous_commit`` up to ``last_commit``, oldest first.

    Events recorded after ``last_commit`` are left out: they may name content that was not uploaded yet.
    """
    for event in archive.journal.events_since(previous_commit):
        yield _BundledEvent(event.seq, event.commit, event.refs)
        if event.commit == last_commit:
            return


def _read_parents_of_first_commits(archive: Archive, events: Iterable[_BundledEvent]) -> list[str]:
    """Return the ids of the parents of the first commit that the events put on each branch.

    Earlier bundles have these parents, so the new bundle can name them as prerequisites. Raises KeyError if a
    commit is missing.
    """
    first_commits: dict[str, str] = {}
    for event in events:
        for ref, oid in event.moved_refs.items():
            if ref.startswith(_BRANCHES):
                first_commits.setdefault(ref, oid)
    parent_commits: list[str] = []
    for commit_data in archive.repository.read_many(first_commits.values()):
        # An empty line ends the header of a commit. The message below may contain lines that look like parents.
        header_lines = commit_data.split(b"\n\n", 1)[0].split(b"\n")
        parent_lines = (line for line in header_lines if line.startswith(_PARENT_FIELD))
        parent_commits += [line.removeprefix(_PARENT_FIELD).decode("ascii") for line in parent_lines]
    return parent_commits


def _write_header(bundle_file: IO[bytes], refs: Mapping[str, str], prerequisites: Iterable[str]) -> None:
    """Write the header of a bundle of version 2, as in gitformat-bundle(5).

    ``refs`` maps the refs that the bundle offers to their object ids. ``prerequisites`` are the commits that a
    repository must have before it can fetch from the bundle.
    """
    bundle_file.write(_BUNDLE_SIGNATURE)
    bundle_file.writelines(f"-{oid} \n".encode("ascii") for oid in prerequisites)
    bundle_file.writelines(f"{oid} {ref}\n".encode() for ref, oid in refs.items())
    bundle_file.write(b"\n")
