"""Checkpoints: a signed event that covers every ref."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from archiver import clock
from archiver.errors import StorageProblem
from archiver.model import CHECKPOINTS, Event
from archiver.store.archive import Archive
from archiver.store.events.evidence_events import CheckpointSigned
from archiver.store.writer import Draft
from archiver.verify.witness import Witness

#: A checkpoint is made at least this often where anything has happened.
PERIOD_SECONDS = 86_400


def roll_up(refs: Mapping[str, str]) -> str:
    """SHA-256 over every ref and its value, one ``<oid> <ref>`` line each, in the order of the names."""
    ordered = sorted(refs.items(), key=lambda item: item[0].encode("utf-8", "surrogateescape"))
    lines = "".join(f"{oid} {ref}\n" for ref, oid in ordered)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def checkpoint(archive: Archive, wait_seconds: float) -> Event:
    """Sign everything as it stands; raises Busy and StorageProblem as any writing does."""
    with archive.writing(wait_seconds) as writer:
        head = archive.journal.head()
        if head is None:
            raise StorageProblem(
                "The journal of {path} is missing, so nothing was signed. Nothing was changed. "
                "Run archiver verify.",
                path=archive.repository_path,
            )
        refs = archive.repository.refs()
        digest = roll_up(refs)
        name = f"{CHECKPOINTS}/{head.seq + 1}"
        message = f"checkpoint {head.seq + 1}\n\nevent-sha256 {head.sha256}\nrefs-sha256 {digest}\n"
        details = CheckpointSigned(refs=len(refs), refs_sha256=digest)
        return writer.append(Draft(name, details), (name, head.commit, message))


def is_due(archive: Archive) -> bool:
    """Whether something happened since the last checkpoint, and that is a day ago or more."""
    head = archive.journal.head()
    last = archive.index.last_checkpoint()
    if head is None or (last is not None and last[0] == head.seq):
        return False
    if last is None:
        return True
    age = (clock.read().wall - clock.parse(last[1])).total_seconds()
    # A wall clock that was set back must not put checkpoints off.
    return not 0 <= age < PERIOD_SECONDS


def witness(archive: Archive, event: Event) -> Witness:
    """The line for a checkpoint."""
    return Witness(archive.index.archive_id, event.seq, event.sha256, event.clock["time"])
