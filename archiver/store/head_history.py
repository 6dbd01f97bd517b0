"""Find the signed heads in the journal, and the events that no signed head covers yet.

A signed head ends a batch of events of format 2, and states how many events there are up to its end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from archiver.store.event_decoding import EVENT_FILE, StoredHead, decode_stored_head
from archiver.store.events import event_files
from archiver.store.events.digests import compute_sha256
from archiver.store.events.signed_head import HEAD_FILE, parse_signed_head
from archiver.store.git.repository import JOURNAL, Repository
from archiver.store.journal import Journal


class HeadHistory:
    """The signed heads of one journal, for reading; nothing here verifies a signature."""

    def __init__(self, journal: Journal, repository: Repository) -> None:
        """Read from ``repository``, the repository of ``journal``; the caller closes the repository."""
        self._journal, self._repository = journal, repository

    def signed_heads(self) -> Iterator[StoredHead]:
        """Yield the signed heads, newest first; the journal of an archive of the old format 1 has none.

        Raises StorageError if a commit is missing.
        """
        commit = self._repository.resolve(JOURNAL)
        while commit is not None:
            try:
                # Do not stop at an event of format 1 or an unreadable event: older events may have signed heads.
                is_format_2 = event_files.names_body(self._repository.read(f"{commit}:{EVENT_FILE}"))
                parent = self._repository.first_parent(commit)
            except KeyError:
                raise self._journal.damaged_event_error(commit) from None
            if is_format_2 and (stored_head := self.signed_head_in(commit)) is not None:
                yield stored_head
            commit = parent

    def newest_signed_head(self) -> StoredHead | None:
        """Return the newest signed head; None if there is none.  Raises StorageError if a commit is missing."""
        return next(self.signed_heads(), None)

    def signed_head_in(self, commit: str) -> StoredHead | None:
        """Return the signed head in the journal commit ``commit``; None if there is none, as in most commits."""
        try:
            return decode_stored_head(self._repository.read(f"{commit}:{HEAD_FILE}"), commit)
        except KeyError:
            # Also if the whole commit is missing: reading its event reports that.
            return None

    def unsigned_since(self) -> str:
        """Return the wall time (RFC 3339) of the first event that no signed head covers; empty if all are covered.

        Events of format 1 need no signed head.  Raises StorageError if a commit is missing.
        """
        signed_head = self.newest_signed_head()
        # Only an event of format 2 is in a chain.
        if signed_head is not None:
            return next((event.at for event in self._journal.events_since(signed_head.commit)), "")
        return next((event.at for event in self._journal.events_since(None) if event.chain), "")

    def first_seq_after(self, signed_head: StoredHead | None) -> int | None:
        """Return the number of the first event of format 2 that no signed head up to ``signed_head`` covers.

        With ``signed_head``, that is the number after its last event, even if there is no such event yet.  With
        None, which stands for a journal without signed heads, the result is None if all events are of format 1.
        Raises StorageError if a commit is missing.
        """
        if signed_head is not None:
            return self._journal.read_event(signed_head.commit).seq + 1
        return next((event.seq for event in self._journal.events_since(None) if event.chain), None)

    def accounts_for_head(self, data: bytes) -> bool:
        """Return True if the journal contains the signed head ``data``, or lists the head as abandoned.

        ``data`` are the bytes of a ``head.json``.  A head is abandoned if it was signed, but a crash kept
        its events out of the journal.  Raises ValueError if ``data`` are not a head, StorageError if a commit is
        missing.
        """
        sought_head, sought_digest = parse_signed_head(data), compute_sha256(data)
        for stored_head in self.signed_heads():
            if stored_head.data == data:
                return True
            if stored_head.head is None:
                continue
            if sought_digest in stored_head.head.abandoned:
                return True
            # Older heads cannot list it: a head that does covers an event of the same number, or a later one.
            if stored_head.head.last < sought_head.first:
                break
        return False

    def find_unaccounted(self, digests: Collection[str]) -> set[str]:
        """Return the digests of those heads that the journal neither contains nor lists as abandoned.

        ``digests`` are those of ``head.json`` files, ``sha256:<hex>``.  If one is returned, the whole journal was
        read, so this takes long.  Raises StorageError if a commit is missing.
        """
        unaccounted = set(digests)
        for stored_head in self.signed_heads():
            if not unaccounted:
                break
            unaccounted.discard(compute_sha256(stored_head.data))
            if stored_head.head is not None:
                unaccounted -= set(stored_head.head.abandoned)
        return unaccounted
