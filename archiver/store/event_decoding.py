"""Decode a journal event from the files in its commit, in the old format 1 or in format 2."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import NamedTuple

from archiver import clock
from archiver.model import Attachment, Event
from archiver.naming.ref_names import RefName
from archiver.store.events import event_files, validation
from archiver.store.events.chains import ChainPosition
from archiver.store.events.event_kinds import UNREADABLE
from archiver.store.events.signed_head import SignedHead, parse_signed_head

EVENT_FILE = "event.json"
#: The value of ``prev``, the digest of the previous event, in the first event.
GENESIS_DIGEST = "0" * 64


class StoredHead(NamedTuple):
    """A signed head as stored in the journal, at the end of a batch; the signature is not checked here."""

    commit: str  # the journal commit with the head, and with the last event that the head covers
    data: bytes  # the bytes of ``head.json``
    head: SignedHead | None  # the decoded head; None if this release cannot decode the bytes


def decode_stored_head(head_bytes: bytes, commit: str) -> StoredHead:
    """Return the signed head in ``commit``, given ``head_bytes``, the bytes of its ``head.json``.

    Also returns a head that cannot be decoded, because it takes its place among the others; ``head`` is None then.
    """
    try:
        return StoredHead(commit, head_bytes, parse_signed_head(head_bytes))
    except ValueError:
        # A newer release wrote the head, or the head was damaged before it was written: ``verify`` reports it.
        return StoredHead(commit, head_bytes, None)


def parse_event(event_bytes: bytes, commit: str, body_bytes: bytes | None = None) -> Event:
    """Return the event in ``commit``, decoded from the bytes of its files.

    ``event_bytes`` is the content of ``event.json``, and ``body_bytes`` that of ``body.json``; None for an event
    of the old format 1, which has no such file.

    Raises ValueError if the files are not an event, or if the digest of ``body_bytes`` is not the one that
    ``event.json`` names.
    """
    if body_bytes is not None:
        return _parse_format_2_event(event_bytes, body_bytes, commit)
    fields = validation.parse_event_document(event_bytes)
    return Event(
        seq=fields["seq"],
        at=fields["at"],
        clock=fields["clock"],
        actor=fields["actor"],
        action=fields["action"],
        object=RefName(fields["object"]),
        details=fields["details"],
        refs=fields["refs"],
        attachments=tuple(Attachment(**item) for item in fields["attachments"]),
        prev=fields["prev"],
        sha256=hashlib.sha256(event_bytes).hexdigest(),
        commit=commit,
    )


def _parse_format_2_event(event_bytes: bytes, body_bytes: bytes, commit: str) -> Event:
    """Decode an event of format 2; raises ValueError as :func:`parse_event` does."""
    visible, fields = event_files.decode_event(event_bytes, body_bytes)
    return Event(
        seq=visible.seq,
        at=visible.at,
        clock=visible.clock,
        actor=fields.actor,
        action=fields.action,
        object=RefName(fields.object),
        details=fields.details,
        refs=fields.refs,
        attachments=tuple(Attachment(*attachment) for attachment in fields.attachments),
        prev=visible.prev,
        sha256=hashlib.sha256(event_bytes).hexdigest(),
        commit=commit,
        chain=visible.position.chain,
        chain_number=visible.position.number,
        chain_prev=visible.position.previous_digest,
        event_class=visible.event_class.value,
    )


def make_stand_in_event(
    event_bytes: bytes, body_bytes: bytes | None, commit: str, previous: Event | None
) -> Event:
    """Return a stand-in, with the action ``unreadable``, for an event in ``commit`` that cannot be decoded.

    ``event_bytes`` and ``body_bytes`` are the content of its files, as for :func:`parse_event`.  The refs that the
    event moved, and its place in a chain, are taken from the files if possible.

    The stand-in has the number after that of ``previous``, the event before, and the SHA-256 of ``event_bytes``,
    so that the journal continues.  It has the clock of ``previous``, because the compliance clock never runs back,
    and advances only with evidence.  If ``previous`` is None, the event is the first, and its clock shows 1970.
    """
    refs = event_files.read_moved_refs(event_bytes, body_bytes)
    # An event of format 1 is in no chain.
    position = event_files.read_chain_place(event_bytes) or ChainPosition("", 0, "")
    # ``shifted`` keeps the compliance clock from counting any time from this reading.
    epoch_reading = clock.ClockReading(datetime(1970, 1, 1, tzinfo=UTC), "", 0, 0, shifted=True)
    return Event(
        seq=1 if previous is None else previous.seq + 1,
        at=clock.format_time(epoch_reading.wall) if previous is None else previous.at,
        clock=clock.make_evidence(epoch_reading.wall, epoch_reading) if previous is None else previous.clock,
        actor={"uid": -1, "user": "?"},
        action=UNREADABLE,
        object=RefName(""),
        details={},
        refs=refs,
        attachments=(),
        prev=GENESIS_DIGEST if previous is None else previous.sha256,
        sha256=hashlib.sha256(event_bytes).hexdigest(),
        commit=commit,
        chain=position.chain,
        chain_number=position.number,
        chain_prev=position.previous_digest,
    )
