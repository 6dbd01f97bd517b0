"""Time-stamps in the journal: what was true of the archive before a time that somebody else vouches for."""

from __future__ import annotations

import io

from archiver import clock
from archiver.errors import StorageProblem
from archiver.model import Event
from archiver.store.archive import Archive
from archiver.store.events.attached_files import ROOTS_FILE, TOKEN_FILE
from archiver.store.events.evidence_events import TimestampReceived
from archiver.store.journal import EVENT_FILE
from archiver.store.writer import Draft
from archiver.verify import rfc3161


def is_wanted(archive: Archive) -> bool:
    """Whether the newest checkpoint has no token yet, though the archive has an authority."""
    signed, stamped = archive.index.last_checkpoint(), archive.index.last_token()
    return signed is not None and (stamped is None or stamped[0] < signed[0]) and bool(roots(archive))


def roots(archive: Archive) -> bytes:
    """The certificates pinned when the archive was made; empty without an authority."""
    first = archive.journal.first()
    if first is None or all(item.name != ROOTS_FILE for item in first.attachments):
        return b""
    return archive.journal.attachment(first, ROOTS_FILE)


def stamp(archive: Archive, url: str, wait_seconds: float) -> Event:
    """Journal a token over the newest event; the compliance clock catches up with it.

    Raises StorageProblem where the authority gives no token that can be trusted.
    """
    head = archive.journal.head()
    if head is None:
        raise StorageProblem("The journal is missing. Nothing was changed. Run archiver verify.")
    data = archive.repository.read(f"{head.commit}:{EVENT_FILE}")
    answer = rfc3161.ask(url, data)
    try:
        proven = rfc3161.proven_time(answer, data, roots(archive))
    except ValueError as error:
        raise StorageProblem(
            "The token of {url} cannot be trusted ({reason}). It was not taken in, and nothing was lost. The "
            "authority of an archive is the one that was named at init.",
            url=url,
            reason=error,
        ) from None
    details = TimestampReceived(seq=head.seq, event_sha256=head.sha256, time=clock.stamp(proven), authority=url)
    with archive.writing(wait_seconds) as writer:
        return writer.append(Draft("clock", details, {TOKEN_FILE: io.BytesIO(answer)}, proven=proven))
