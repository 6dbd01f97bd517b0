"""Checkpoints: signed events that cover every ref of the archive."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from archiver import clock
from archiver.errors import StorageError
from archiver.model import CHECKPOINTS, Event
from archiver.store.archive import Archive
from archiver.store.events.evidence_events import CheckpointSigned
from archiver.store.writer import Draft
from archiver.verify.witness import Witness

#: Longest time without a checkpoint while anything happens. Longer: more history that only its own chain vouches
#: for. Shorter: more tags and events, and for most archives one a day is no more than one for every busy day.
_INTERVAL_SECONDS = 86_400


def roll_up(refs: Mapping[str, str]) -> str:
    """Return the SHA-256 over all refs: a line ``<oid> <ref>`` for each, in the byte order of the names.

    Checked by ``verify`` and by the verifier in a package, each with code of its own: the form is a format.
    """
    ordered_refs = sorted(refs.items(), key=lambda item: item[0].encode("utf-8", "surrogateescape"))
    lines = "".join(f"{oid} {ref}\n" for ref, oid in ordered_refs)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def make_checkpoint(archive: Archive, lock_timeout: float) -> Event:
    """Sign all refs as of the newest event, and journal the checkpoint.

    Raises Busy after ``lock_timeout``, StorageError if the journal is missing, the key cannot sign or the
    archive cannot be written. Nothing is journalled then.
    """
    with archive.writing(lock_timeout) as writer:
        head = archive.journal.head()
        if head is None:
            raise StorageError(
                "The journal of {path} is missing, so nothing was signed. Nothing was changed. "
                "Run archiver verify.",
                path=archive.repository_path,
            )
        refs = archive.repository.refs()
        digest = roll_up(refs)
        tag_name = f"{CHECKPOINTS}/{head.seq + 1}"
        tag_message = f"checkpoint {head.seq + 1}\n\nevent-sha256 {head.sha256}\nrefs-sha256 {digest}\n"
        details = CheckpointSigned(refs=len(refs), refs_sha256=digest)
        return writer.append(Draft(tag_name, details), (tag_name, head.commit, tag_message))


def is_checkpoint_due(archive: Archive) -> bool:
    """Return True if anything was journalled since the last checkpoint, and that is a day old or more."""
    head = archive.journal.head()
    last_checkpoint = archive.index.last_checkpoint()
    if head is None or (last_checkpoint is not None and last_checkpoint[0] == head.seq):
        return False
    if last_checkpoint is None:
        return True
    age_seconds = (clock.read().wall - clock.parse(last_checkpoint[1])).total_seconds()
    # A wall clock that was set back must not put checkpoints off.
    return not 0 <= age_seconds < _INTERVAL_SECONDS


def witness_of(archive: Archive, checkpoint: Event) -> Witness:
    """Return the witness line of a checkpoint, to be kept outside of the archive."""
    return Witness(archive.index.archive_id, checkpoint.seq, checkpoint.sha256, checkpoint.clock["time"])
