"""History for the bucket: one git bundle for the events since the last one.

A bundle is written from the object ids that the journal names, not from refs: while it is made,
versions go on being written, and nothing that it does not contain may be promised in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from archiver.replica.object_names import EventSpan
from archiver.store.archive import Archive
from archiver.store.git.repository import JOURNAL

_BRANCHES = "refs/heads/"


@contextmanager
def bundle(archive: Archive, since: str | None, until: str) -> Iterator[tuple[EventSpan, Path, str]]:
    """A file with everything journalled after the commit ``since`` (None: all) up to ``until``, and its SHA-256.

    It is gone afterwards.
    """
    events = list(_events(archive, since, until))
    refs = {name: oid for _, _, given in events for name, oid in given.items()}
    head = events[-1][1]
    known = [since] if since else []
    if not archive.index.unread():
        # A version whose event cannot be read is in no bundle: what follows it brings its own past.
        known += _earlier(archive, [given for _, _, given in events])
    with NamedTemporaryFile(dir=archive.spool, prefix="tmp-bundle-", suffix=".bundle") as stream:
        _write_head(stream, {JOURNAL: head, **refs}, known)
        archive.repository.write_pack(stream, [head, *refs.values()], known)
        stream.flush()
        with open(stream.name, "rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
        yield EventSpan(events[0][0], events[-1][0], head), Path(stream.name), digest


def _events(archive: Archive, since: str | None, until: str) -> Iterator[tuple[int, str, dict[str, str]]]:
    for event in archive.journal.since(since):
        yield event.seq, event.commit, event.refs
        # What came later may name content that was not sent yet.
        if event.commit == until:
            return


def _earlier(archive: Archive, refs: list[dict[str, str]]) -> list[str]:
    """The commits that the branches had before these events: parents of the first that move them."""
    first: dict[str, str] = {}
    for given in refs:
        for name, oid in given.items():
            if name.startswith(_BRANCHES):
                first.setdefault(name, oid)
    parents = []
    for data in archive.repository.read_many(first.values()):
        head = data.split(b"\n\n", 1)[0].split(b"\n")
        parents += [line[7:].decode("ascii") for line in head if line.startswith(b"parent ")]
    return parents


def _write_head(stream: IO[bytes], refs: dict[str, str], known: list[str]) -> None:
    """The head of a bundle, version 2, as gitformat-bundle(5) has it."""
    stream.write(b"# v2 git bundle\n")
    stream.writelines(f"-{oid} \n".encode("ascii") for oid in known)
    stream.writelines(f"{oid} {name}\n".encode() for name, oid in refs.items())
    stream.write(b"\n")
