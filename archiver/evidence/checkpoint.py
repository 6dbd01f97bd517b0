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

    The digest covers a line ``<oid> <ref>`` for each ref, sorted by the bytes of the ref names.  Do not change
    this format: ``archiver verify`` and the verifier in a package compute the same digest with separate code.
    """
    ordered_refs = sorted(refs.items(), key=lambda ref_and_oid: ref_and_oid[0].encode("utf-8", "surrogateescape"))
    ref_lines = "".join(f"{oid} {ref}\n" for ref, oid in ordered_refs)
    return hashlib.sha256(ref_lines.encode("utf-8", "surrogateescape")).hexdigest()


def make_checkpoint(archive: Archive, lock_timeout: float) -> Event:
    """Sign all refs as of the newest event, and return the journalled event of the checkpoint.

    Waits up to ``lock_timeout`` seconds for the archive's lock.  Raises Busy if the lock is still held then,
    StorageError if the journal is missing, the key cannot sign or the archive cannot be written.  Nothing is
    journalled on failure.
    """
    with archive.writing(lock_timeout) as writer:
        newest_event = archive.journal.newest_event()
        if newest_event is None:
            raise StorageError(
                "The journal of {path} is missing, so nothing was signed. Nothing was changed. To verify the "
                "archive, run: archiver verify",
                path=archive.repository_path,
            )
        refs = archive.repository.refs()
        refs_digest = hash_all_refs(refs)
        checkpoint_seq = newest_event.seq + 1
        tag_name = f"{CHECKPOINTS}/{checkpoint_seq}"
        covered_digests = f"event-sha256 {newest_event.sha256}\nrefs-sha256 {refs_digest}\n"
        tag_message = f"checkpoint {checkpoint_seq}\n\n{covered_digests}"
        details = CheckpointSigned(refs=len(refs), refs_sha256=refs_digest)
        signed_tag = (tag_name, newest_event.commit, tag_message)
        return writer.append(Draft(tag_name, details), signed_tag)


def is_checkpoint_due(archive: Archive) -> bool:
    """Return True if the last checkpoint is at least a day old, and later events exist.

    An archive with events but without any checkpoint is due at once.  An archive without events is never due.
    """
    newest_event = archive.journal.newest_event()
    if newest_event is None:
        return False
    last_checkpoint = archive.index.last_checkpoint()
    if last_checkpoint is None:
        return True
    checkpoint_seq, checkpoint_time = last_checkpoint
    if checkpoint_seq == newest_event.seq:
        return False
    age_seconds = (clock.read_clocks().wall - clock.parse_time(checkpoint_time)).total_seconds()
    # A negative age means that the wall clock was set back, which must not delay the checkpoint.
    return not 0 <= age_seconds < _INTERVAL_SECONDS


def make_witness(archive: Archive, checkpoint: Event) -> Witness:
    """Return the witness line of the event ``checkpoint``.

    Users keep the line outside of the archive, and later verify the archive against the line.
    """
    return Witness(archive.index.archive_id, checkpoint.seq, checkpoint.sha256, checkpoint.clock["time"])
