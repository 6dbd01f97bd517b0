"""Move an archive from the old journal format 1 to format 2, without rewriting any earlier event."""

from __future__ import annotations

import hashlib
import io
import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING

from archiver.store import archive_format, keys
from archiver.store.events.archive_events import EarlierEventsCounted
from archiver.store.events.attached_files import SIGNERS_FILE
from archiver.store.events.chain_rules import filing_in_object
from archiver.store.events.digests import format_sha256
from archiver.store.events.event_files import FORMAT
from archiver.store.lock import hold_lock
from archiver.store.writing.drafts import Draft
from archiver.store.writing.writer import HeadRule

if TYPE_CHECKING:
    from archiver.store.archive import Archive

_SALT_BYTES = 16


def upgrade(archive: Archive, lock_timeout: float) -> int | None:
    """Move the archive to the format of this release, in one batch; return the number of the event for the format.

    Returns None if the archive has this format already.  After a crash, either all events of the batch count or
    none of them does, and a repeated call completes the work.

    Raises Busy if the service runs or the archive stays locked for ``lock_timeout`` seconds, ConfigError for a
    newer format, JournalDamaged for a damaged journal, StorageError if the key cannot sign or the disk cannot be
    written; nothing is changed then.
    """
    with hold_lock(archive.root / "daemon.lock", 0), archive.writing(lock_timeout) as writer:
        drafts = draft_upgrade(archive)
        format_seq = None
        if drafts:
            keys.check_folder_writable(archive.keys_folder)
            format_seq = writer.write_batch(drafts, head_rule=HeadRule.REQUIRED)[0].seq
        else:
            archive.check_writable()
        # Also done if nothing was drafted: a crash may have prevented this step after the batch.
        keys.write_signers(archive.keys_folder, archive.journalled_signers())
        return format_seq


def draft_upgrade(archive: Archive) -> list[Draft]:
    """Return drafts of the events that move the archive to the format of this release.

    Returns an empty list if the archive has this format already.  The caller holds the writer's lock, writes all
    drafts in one batch, and installs the journalled list of keys.
    """
    if not 0 < archive.format_number() < FORMAT:
        return []
    signers = keys.allow_heads(archive.journalled_signers())
    return [
        Draft("archive", archive_format.state_format(), {SIGNERS_FILE: io.BytesIO(signers)}),
        *(Draft(filing_name, counted) for filing_name, counted in _count_earlier_events(archive)),
    ]


def _count_earlier_events(archive: Archive) -> Iterator[tuple[str, EarlierEventsCounted]]:
    """Yield each filing, as named in refs, with the count and a salted digest of its events, ordered by name.

    Events of format 1 belong to no chain, so an inspection package needs these figures to show that it contains
    all of them.
    """
    salts: dict[str, bytes] = {}
    digests: dict[str, hashlib._Hash] = {}
    counts: dict[str, int] = {}
    for event, event_bytes in archive.journal.events_with_bytes_since(None):
        filing_name = filing_in_object(event.action, event.object)
        if filing_name is None:
            continue
        if filing_name not in digests:
            salts[filing_name] = secrets.token_bytes(_SALT_BYTES)
            digests[filing_name] = hashlib.sha256(salts[filing_name])
        digests[filing_name].update(event_bytes)
        counts[filing_name] = counts.get(filing_name, 0) + 1
    for filing_name in sorted(counts):
        yield (
            filing_name,
            EarlierEventsCounted(
                count=counts[filing_name],
                salt=salts[filing_name].hex(),
                digest=format_sha256(digests[filing_name].digest()),
            ),
        )
