"""Sign checkpoints: events whose signed tag covers every ref of the archive."""

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

#: Longest time between two checkpoints while events are journalled. Longer: more events have no signature after
#: them, only the hash chain. Shorter: more tags and events, for little more proof.
_INTERVAL_SECONDS = 86_400


def hash_all_refs(refs: Mapping[str, str]) -> str:
    """Return one SHA-256, in hex, over all ``refs`` (full ref name -> object id): the roll-up of a checkpoint.

    The digest is taken over a line ``<oid> <ref>`` for each ref, sorted by the bytes of the ref names.  This is a
    format: ``archiver verify`` and the verifier in a package compute the digest with code of their own.
    """
    ordered_refs = sorted(refs.items(), key=lambda ref_and_oid: ref_and_oid[0].encode("utf-8", "surrogateescape"))
    lines = "".join(f"{oid} {ref}\n" for ref, oid in ordered_refs)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def make_checkpoint(archive: Archive, lock_timeout: float) -> Event:
    """Sign all refs as of the newest event, and return the event of the checkpoint.

    Waits ``lock_timeout`` seconds for the archive's lock.  Raises Busy if the lock is still held then,
    StorageError if the journal is missing, the key cannot sign or the archive cannot be written.  Nothing is
    journalled then.
    """
    with archive.writing(lock_timeout) as writer:
        head = archive.journal.newest_event()
        if head is None:
            raise StorageError(
                "The journal of {path} is missing, so nothing was signed. Nothing was changed. To check the "
                "archive, run: archiver verify",
                path=archive.repository_path,
            )
        refs = archive.repository.refs()
        refs_digest = hash_all_refs(refs)
        tag_name = f"{CHECKPOINTS}/{head.seq + 1}"
        tag_message = f"checkpoint {head.seq + 1}\n\nevent-sha256 {head.sha256}\nrefs-sha256 {refs_digest}\n"
        details = CheckpointSigned(refs=len(refs), refs_sha256=refs_digest)
        return writer.append(Draft(tag_name, details), (tag_name, head.commit, tag_message))


def is_checkpoint_due(archive: Archive) -> bool:
    """Return True if a checkpoint is due: the last checkpoint is at least a day old, and later events exist.

    An archive with events but without any checkpoint needs one at once.  A repository without events needs none.
    """
    head = archive.journal.newest_event()
    if head is None:
        return False
    last_checkpoint = archive.index.last_checkpoint()
    if last_checkpoint is None:
        return True
    checkpoint_seq, checkpoint_time = last_checkpoint
    if checkpoint_seq == head.seq:
        return False
    age_seconds = (clock.read_clocks().wall - clock.parse_time(checkpoint_time)).total_seconds()
    # A negative age means that the wall clock was set back. That must not delay the checkpoint.
    return not 0 <= age_seconds < _INTERVAL_SECONDS


def make_witness(archive: Archive, checkpoint: Event) -> Witness:
    """Return the witness line of the event ``checkpoint``.

    People keep the line outside of the archive, and verify the archive against it later.
    """
    return Witness(archive.index.archive_id, checkpoint.seq, checkpoint.sha256, checkpoint.clock["time"])
