"""Find the signed heads in the journal, and which events they cover."""

from __future__ import annotations

from collections.abc import Iterator

from archiver.store.event_decoding import EVENT_FILE, StoredHead, decode_stored_head
from archiver.store.events import event_files
from archiver.store.events.digests import compute_sha256
from archiver.store.events.signed_head import HEAD_FILE, parse_signed_head
from archiver.store.git.repository import JOURNAL, Repository
from archiver.store.journal import Journal


class HeadHistory:
    """The signed heads of one journal, for reading; nothing here verifies a signature."""

    def __init__(self, journal: Journal, repository: Repository) -> None:
        """Read from ``repository``, which holds ``journal`` and which the caller closes."""
        self._journal, self._repository = journal, repository

    def signed_heads(self) -> Iterator[StoredHead]:
        """Yield the signed heads, newest first; none in format 1.

        Raises StorageError if a commit is missing.
        """
        commit = self._repository.resolve(JOURNAL)
        while commit is not None:
            try:
                # An event of format 1, or one that cannot be read, may be behind signed ones.
                is_format_2 = event_files.names_body(self._repository.read(f"{commit}:{EVENT_FILE}"))
                parent = self._repository.first_parent(commit)
            except KeyError:
                raise self._journal.damaged_event_error(commit) from None
            if is_format_2 and (stored_head := self.signed_head_in(commit)) is not None:
                yield stored_head
            commit = parent

    def newest_signed_head(self) -> StoredHead | None:
        """Return the newest signed head; None without any.  Raises as :meth:`signed_heads` does."""
        return next(self.signed_heads(), None)

    def signed_head_in(self, commit: str) -> StoredHead | None:
        """Return the signed head in the commit of an event; None if it has none, as most have."""
        try:
            return decode_stored_head(self._repository.read(f"{commit}:{HEAD_FILE}"), commit)
        except KeyError:  # Also of an event that is missing, which whoever reads the journal reports.
            return None

    def unsigned_since(self) -> str:
        """Return the time (RFC 3339) of the first event that no signed head covers; empty if all are covered.

        Events of format 1 need none.  Raises StorageError if a commit is missing.
        """
        signed_head = self.newest_signed_head()
        if signed_head is not None:
            return next((event.at for event in self._journal.events_since(signed_head.commit)), "")
        return next((event.at for event in self._journal.events_since(None) if event.chain), "")

    def first_seq_after(self, signed_head: StoredHead | None) -> int | None:
        """Return the number of the first event of format 2 that no head up to ``signed_head`` covers.

        ``signed_head`` is None before the first one.  None if there is no such event yet.  Raises StorageError if
        a commit is missing.
        """
        if signed_head is not None:
            return self._journal.read_event(signed_head.commit).seq + 1
        return next((event.seq for event in self._journal.events_since(None) if event.chain), None)

    def accounts_for_head(self, data: bytes) -> bool:
        """Return True if ``data`` are the bytes of a signed head in the journal, or of a head named as abandoned.

        Raises ValueError if they are of no head, and as :meth:`signed_heads` does.
        """
        wanted, digest = parse_signed_head(data), compute_sha256(data)
        for stored_head in self.signed_heads():
            if stored_head.data == data:
                return True
            if stored_head.head is None:
                continue
            if digest in stored_head.head.abandoned:
                return True
            # A head that names it covers an event of the same number, or a later one.
            if stored_head.head.last < wanted.first:
                break
        return False
