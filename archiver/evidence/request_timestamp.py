"""Request timestamp tokens (RFC 3161), by which an outside authority confirms when an event already existed."""

from __future__ import annotations

import io

from archiver import clock
from archiver.errors import StorageError
from archiver.model import Event
from archiver.store.archive import Archive
from archiver.store.events.attached_files import ROOTS_FILE, TOKEN_FILE
from archiver.store.events.digests import compute_sha256
from archiver.store.events.evidence_events import TimestampReceived
from archiver.store.writing.drafts import Draft
from archiver.verify import rfc3161


def is_token_due(archive: Archive) -> bool:
    """Return True if no token covers the newest checkpoint, and the archive has a timestamp authority.

    Without a checkpoint, no token is due.  A token for a later event also covers the checkpoint, because the
    events form a hash chain.  The number of the covered event decides, and not the number of the event that
    records the token: the token may have been requested before the checkpoint, and recorded after it.
    """
    last_checkpoint = archive.index.last_checkpoint()
    if last_checkpoint is None or archive.index.last_timestamped_seq() >= last_checkpoint.seq:
        return False
    return bool(read_authority_certificates(archive))


def read_authority_certificates(archive: Archive) -> bytes:
    """Return the pinned certificates (PEM) of the timestamp authority; ``b""`` if the archive has no authority.

    The certificates are an attachment of the journal's first event, so nobody can replace them later.  Raises
    StorageError if the attachment is damaged.
    """
    first_event = archive.journal.first_event()
    if first_event is None or all(attachment.name != ROOTS_FILE for attachment in first_event.attachments):
        return b""
    return archive.journal.read_attachment(first_event, ROOTS_FILE)


def request_and_journal_token(archive: Archive, url: str, lock_timeout: float) -> Event:
    """Request a timestamp token for the newest signed head from the authority at ``url``, and journal the token.

    Returns the event with the token.  If the time of the token is later than the compliance clock, the clock
    advances to that time.

    Waits for the authority without locking the archive, then up to ``lock_timeout`` seconds for the archive's
    lock.  Raises StorageError if the journal is missing, the authority sends no token, the token's certificate
    does not chain to a pinned certificate, or the archive cannot be written.  Raises Busy if another process still
    holds the lock.  Nothing is journalled on failure.
    """
    signed_head = archive.head_history.newest_signed_head()
    if signed_head is None:
        raise StorageError(
            "The journal is missing. Nothing was changed. To verify the archive, run: archiver verify"
        )
    token = rfc3161.request_token(url, signed_head.data)
    try:
        proven_time = rfc3161.verify_token(token, signed_head.data, read_authority_certificates(archive))
    except ValueError as error:
        raise StorageError(
            "The timestamp token from {url} cannot be trusted ({reason}). Nothing was recorded. Set "
            "timestamp.url to the timestamp authority that was chosen at init.",
            url=url,
            reason=error,
        ) from None
    token_details = TimestampReceived(
        seq=archive.journal.read_event(signed_head.commit).seq,
        head=compute_sha256(signed_head.data),
        time=clock.format_time(proven_time),
        authority=url,
    )
    with archive.writing(lock_timeout) as writer:
        return writer.append(Draft("clock", token_details, {TOKEN_FILE: io.BytesIO(token)}, proven=proven_time))
