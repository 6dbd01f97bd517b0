"""Journal checkpoints, with which people can prove later that nobody has rewritten the history of the archive.

A checkpoint is an event of the journal.  The head that is signed with it states how many events there are, and the
digest of the last one.  People keep the digest of this head outside of the archive, as a *witness line*.
"""

from __future__ import annotations

import hashlib

from archiver import clock
from archiver.errors import StorageError
from archiver.model import Event
from archiver.store.archive import Archive
from archiver.store.events.evidence_events import CheckpointSigned
from archiver.store.events.signed_head import HEAD_FILE
from archiver.store.writing.drafts import Draft
from archiver.store.writing.writer import HeadRule
from archiver.verify.witness import Witness

#: Age at which a checkpoint is replaced by a new one, if events were journalled since. With a longer interval,
#: metrics and reports would show an old checkpoint. A shorter interval would add events, but hardly any proof,
#: because every batch of events ends with a signed head anyway.
_INTERVAL_SECONDS = 86_400


def make_checkpoint(archive: Archive, lock_timeout: float) -> Event:
    """Journal a checkpoint, and return its event.

    The head that is signed with the event covers the event itself and every earlier event.

    Waits up to ``lock_timeout`` seconds for the archive's lock.  Raises Busy if another process still holds the
    lock then, StorageError if the journal is missing, the key cannot sign or the archive cannot be written.
    Nothing is journalled on failure.
    """
    with archive.writing(lock_timeout) as writer:
        # REQUIRED: without a signature, the checkpoint would prove nothing.
        draft = Draft("journal", CheckpointSigned())
        return writer.write_batch([draft], head_rule=HeadRule.REQUIRED)[0]


def is_checkpoint_due(archive: Archive) -> bool:
    """Return True if the last checkpoint is at least a day old, and events were journalled after it.

    The first checkpoint is due as soon as the journal has an event.  In an archive without events, none is due.
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
    """Return the witness line of a checkpoint, given the checkpoint's event.

    People keep the line outside of the archive, and later verify the archive against the line.

    Raises StorageError if the repository lacks the signed head of the event.
    """
    try:
        head_bytes = archive.repository.read(f"{checkpoint.commit}:{HEAD_FILE}")
    except KeyError:
        raise StorageError(
            "The signed head of event {seq} is missing. Nothing was changed. To verify the archive, run: archiver "
            "verify",
            seq=checkpoint.seq,
        ) from None
    head_sha256 = hashlib.sha256(head_bytes).hexdigest()
    # Version 2 of the line has the digest of the signed head; version 1 had the digest of the event.
    return Witness(archive.index.archive_id, checkpoint.seq, head_sha256, checkpoint.clock["time"], version=2)
