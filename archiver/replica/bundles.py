"""History for the bucket: git bundles, each with the events after the previous bundle.

A bundle is made from the object ids in the journal, not from the repository's refs. Capturing goes on while the
bundle is written and moves the refs, and a bundle must not list a ref whose objects it lacks.
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
    """The part of a journal event that a bundle is made from."""

    seq: int
    #: The journal commit of the event.
    commit: str
    #: Ref -> the object id that the event moved the ref to.
    moved_refs: Mapping[str, str]


@contextmanager
def write_bundle(archive: Archive, previous_commit: str | None, last_commit: str) -> Iterator[WrittenBundle]:
    """Write a bundle of the events after ``previous_commit``, up to and including ``last_commit``.

    Both are journal commits. Without a ``previous_commit`` the bundle begins with the first event. There must be
    at least one event between them.

    Yields the bundle. Its file lies in the spool and is deleted when the block ends. If the process is killed, the
    next cleaning of the spool deletes it.

    Raises StorageError or KeyError if an event or an object cannot be read.
    """
    events = list(_read_events(archive, previous_commit, last_commit))
    refs = {ref: oid for event in events for ref, oid in event.moved_refs.items()}
    head_commit = events[-1].commit
    prerequisites = [previous_commit] if previous_commit else []
    if not archive.index.unread_events():
        # No bundle holds a version whose event cannot be read. While there is one, the next version on its branch
        # has to bring the history along, so its parents must not be left out.
        prerequisites += _parents_of_first_commits(archive, events)
    with NamedTemporaryFile(dir=archive.spool_folder, prefix="tmp-bundle-", suffix=".bundle") as bundle_file:
        _write_header(bundle_file, {JOURNAL: head_commit, **refs}, prerequisites)
        archive.repository.write_pack(bundle_file, [head_commit, *refs.values()], prerequisites)
        bundle_file.flush()
        with open(bundle_file.name, "rb") as written_file:
            sha256 = hashlib.file_digest(written_file, "sha256").hexdigest()
        span = EventSpan(events[0].seq, events[-1].seq, head_commit)
        yield WrittenBundle(span, Path(bundle_file.name), sha256)


def _read_events(archive: Archive, previous_commit: str | None, last_commit: str) -> Iterator[_BundledEvent]:
    """Yield the events after ``previous_commit`` up to ``last_commit``, oldest first.

    Events recorded after ``last_commit`` are left out: they may name content that was not uploaded yet.
    """
    for event in archive.journal.events_since(previous_commit):
        yield _BundledEvent(event.seq, event.commit, event.refs)
        if event.commit == last_commit:
            return


def _parents_of_first_commits(archive: Archive, events: Iterable[_BundledEvent]) -> list[str]:
    """Return the parents of the first commit that the events put on each branch.

    The bucket has them from earlier bundles, so the new bundle can name them as prerequisites.
    """
    first_commits: dict[str, str] = {}
    for event in events:
        for ref, oid in event.moved_refs.items():
            if ref.startswith(_BRANCHES):
                first_commits.setdefault(ref, oid)
    parents = []
    for commit_data in archive.repository.read_many(first_commits.values()):
        # An empty line ends the header of a commit. The message after it may hold anything, also such lines.
        header_lines = commit_data.split(b"\n\n", 1)[0].split(b"\n")
        parent_lines = (line for line in header_lines if line.startswith(_PARENT_FIELD))
        parents += [line.removeprefix(_PARENT_FIELD).decode("ascii") for line in parent_lines]
    return parents


def _write_header(bundle_file: IO[bytes], refs: Mapping[str, str], prerequisites: Iterable[str]) -> None:
    """Write the header of a bundle of version 2, as in gitformat-bundle(5).

    ``refs`` maps the refs that the bundle offers to their object ids. ``prerequisites`` are the commits that a
    repository must have before it can take in the bundle.
    """
    bundle_file.write(b"# v2 git bundle\n")
    bundle_file.writelines(f"-{oid} \n".encode("ascii") for oid in prerequisites)
    bundle_file.writelines(f"{oid} {ref}\n".encode() for ref, oid in refs.items())
    bundle_file.write(b"\n")
