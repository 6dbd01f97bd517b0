"""History for the bucket: a git bundle with the events since the last bundle.

A bundle is made from the object ids that the journal names, not from refs: capturing goes on while the bundle is
written, and a bundle must not promise a ref whose objects it lacks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from archiver.replica.object_names import EventSpan
from archiver.store.archive import Archive
from archiver.store.git.repository import JOURNAL

_BRANCHES = "refs/heads/"


@contextmanager
def write_bundle(archive: Archive, since: str | None, until: str) -> Iterator[tuple[EventSpan, Path, str]]:
    """Write a bundle of the events after the commit ``since`` (None: from the first) up to ``until``.

    Yields the span, the file, and its SHA-256. The file lies in the spool and is deleted at the end of the block;
    one that a crash leaves behind goes with the next cleaning of the spool.

    Raises StorageError or KeyError if an event or an object cannot be read.
    """
    events = list(_read_events(archive, since, until))
    refs = {ref: oid for _, _, moved_refs in events for ref, oid in moved_refs.items()}
    (first_seq, _, _), (last_seq, head_commit, _) = events[0], events[-1]
    prerequisites = [since] if since else []
    if not archive.index.unread():
        # A version whose event cannot be read is in no bundle: its successor has to bring its history along.
        prerequisites += _parents_of_first_commits(archive, (moved_refs for _, _, moved_refs in events))
    with NamedTemporaryFile(dir=archive.spool, prefix="tmp-bundle-", suffix=".bundle") as bundle_file:
        _write_header(bundle_file, {JOURNAL: head_commit, **refs}, prerequisites)
        archive.repository.write_pack(bundle_file, [head_commit, *refs.values()], prerequisites)
        bundle_file.flush()
        with open(bundle_file.name, "rb") as written_file:
            sha256 = hashlib.file_digest(written_file, "sha256").hexdigest()
        yield EventSpan(first_seq, last_seq, head_commit), Path(bundle_file.name), sha256


def _read_events(archive: Archive, since: str | None, until: str) -> Iterator[tuple[int, str, dict[str, str]]]:
    """Yield number, commit and moved refs of each event up to ``until``: later events may name unsent content."""
    for event in archive.journal.since(since):
        yield event.seq, event.commit, event.refs
        if event.commit == until:
            return


def _parents_of_first_commits(archive: Archive, moves: Iterable[Mapping[str, str]]) -> list[str]:
    """Return the commits of branches before the events: parents of the first commit of each branch.

    The bucket has them from earlier bundles, so the pack can leave them out.
    """
    first_commits: dict[str, str] = {}
    for moved_refs in moves:
        for ref, oid in moved_refs.items():
            if ref.startswith(_BRANCHES):
                first_commits.setdefault(ref, oid)
    parents = []
    for commit_data in archive.repository.read_many(first_commits.values()):
        header_lines = commit_data.split(b"\n\n", 1)[0].split(b"\n")
        parents += [line[7:].decode("ascii") for line in header_lines if line.startswith(b"parent ")]
    return parents


def _write_header(bundle_file: IO[bytes], refs: Mapping[str, str], prerequisites: Iterable[str]) -> None:
    """Write the header of a bundle, version 2, as in gitformat-bundle(5)."""
    bundle_file.write(b"# v2 git bundle\n")
    bundle_file.writelines(f"-{oid} \n".encode("ascii") for oid in prerequisites)
    bundle_file.writelines(f"{oid} {ref}\n".encode() for ref, oid in refs.items())
    bundle_file.write(b"\n")
