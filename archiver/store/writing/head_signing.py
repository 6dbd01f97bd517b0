"""Sign a head of the journal for each batch of events, and note each head before it is signed.

A signed head states how many events the journal has.  After a crash between the signature and the move of the
journal's ref, the events of a signed head never take effect, and somebody could present them as a second history.
So each head is written durably to ``spool/signing`` before it is signed, and the next head names each earlier one
that never took effect as *abandoned*.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from archiver.errors import StorageError
from archiver.model import Event
from archiver.path_existence import is_there
from archiver.store.event_decoding import StoredHead
from archiver.store.events.digests import GENESIS, compute_sha256, name_algorithm
from archiver.store.events.event_files import FORMAT
from archiver.store.events.signed_head import HEAD_NAMESPACE, SignedHead, parse_signed_head
from archiver.store.failpoints import Step, announce_step
from archiver.store.fsync import sync_path
from archiver.store.git.packed_refs import read_regular_file
from archiver.store.head_history import HeadHistory
from archiver.store.keys import SigningKey
from archiver.store.writing.chain_heads import ChainHeads

_STATEMENTS_FILE = "signing"
#: If the file has more lines than this, the next head replaces all of them, because it names them anyway.
_MAX_STATEMENTS = 16


class HeadFiles(NamedTuple):
    """The bytes of a signed head and of its signature."""

    head: bytes
    signature: bytes


class CoveredEvents(NamedTuple):
    """The events that the next signed head covers."""

    #: The digest of the archive's first event, ``sha256:<hex>``.
    first_event_digest: str
    #: The number of the first event of the batch.
    first_batch_seq: int
    newest: Event
    chain_heads: ChainHeads


class HeadSigner:
    """Signs the heads of one archive's journal; the caller holds the writer's lock."""

    def __init__(self, history: HeadHistory, keys_folder: Path, spool_folder: Path) -> None:
        """Sign with the key in ``keys_folder``, and note each head in a file in ``spool_folder``."""
        self._history = history
        self._keys_folder = keys_folder
        self._statements_path = spool_folder / _STATEMENTS_FILE

    def sign(self, covered: CoveredEvents, signers: bytes, *, with_next_key: bool = False) -> HeadFiles:
        """Create, note and sign the next head; return it with the signature, which was verified.

        ``signers`` is the text of ``allowed_signers`` in the journal; with ``with_next_key``, it is the text that
        the batch itself adds to the journal.  Raises StorageError if there is no usable key, if the key is not the
        last one in ``signers``, or if the head cannot be noted.
        """
        key = SigningKey(self._keys_folder, is_next_key=with_next_key)
        if not key.is_last_of(signers):
            raise StorageError(
                "The signing key {path} is not the one that the journal names. Nothing was recorded. Restore it "
                "from a backup of the keys folder. If there is no backup, run: archiver key replace",
                path=self._keys_folder / "signing_key",
            )
        previous = self._history.newest_signed_head()
        # Read the file each time, because another process may have signed a head in between, and crashed.
        statements = self._read_statements()
        abandoned = self._find_abandoned(statements, previous)
        head = SignedHead(
            archive=covered.first_event_digest,
            format=FORMAT,
            # Events that were written without a usable key are covered by the next head.
            first=self._history.first_seq_after(previous) or covered.first_batch_seq,
            batch=covered.first_batch_seq,
            last=covered.newest.seq,
            event=name_algorithm("sha256", covered.newest.sha256),
            chain_heads=covered.chain_heads.compute_digest(),
            chains=len(covered.chain_heads),
            key=key.fingerprint,
            previous_head=GENESIS if previous is None else compute_sha256(previous.data),
            abandoned=abandoned,
        )
        head_bytes = head.encode()
        self._note_statement(head_bytes, len(statements) if abandoned else 0)
        # If the batch fails from here on, the next batch finds this head in the file.
        signature = key.sign(head_bytes, HEAD_NAMESPACE).encode("ascii")
        announce_step(Step.HEAD_SIGNED)
        return HeadFiles(head_bytes, signature)

    def _read_statements(self) -> list[bytes]:
        """Return the noted heads, one line each, oldest first; raises StorageError if the file cannot be read."""
        try:
            return read_regular_file(self._statements_path).splitlines(keepends=True)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unusable_statements_error(error) from None

    def _find_abandoned(self, statements: list[bytes], newest_head: StoredHead | None) -> tuple[str, ...]:
        """Return the digests of the noted heads that never took effect, and of those that they list as abandoned.

        A digest that the journal accounts for already is left out.  ``newest_head`` is the newest head in the
        journal.  Usually no other head is noted.
        """
        abandoned: dict[str, None] = {}
        named: dict[str, None] = {}
        for line in statements:
            if newest_head is not None and line == newest_head.data:
                continue
            try:
                head = parse_signed_head(line)
            except ValueError:
                # A crash cut the line, so this head was never signed.
                continue
            if not self._history.accounts_for_head(line):
                abandoned[compute_sha256(line)] = None
                named |= dict.fromkeys(head.abandoned)
        # A head that another journal abandoned may be in effect in this one, after somebody restored a backup,
        # went on, and restored a newer backup.
        unaccounted = self._history.find_unaccounted(named.keys() - {compute_sha256(line) for line in statements})
        return (*(digest for digest in named if digest in unaccounted), *abandoned)

    def _note_statement(self, head_bytes: bytes, statement_count: int) -> None:
        """Write a head durably to the file of noted heads, before the head is signed.

        ``statement_count`` is the number of noted heads that must stay in the file; with 0, the new head replaces
        all of them.  Raises StorageError if the file cannot be written.
        """
        if statement_count > _MAX_STATEMENTS:
            # Replace the noted heads, all of which the new head names: otherwise a service that fails for days
            # would fill the disk.
            new_path = self._statements_path.with_name(f"{_STATEMENTS_FILE}.new")
            self._write_statement(new_path, head_bytes, os.O_TRUNC)
            try:
                new_path.rename(self._statements_path)
                sync_path(os.fspath(self._statements_path.parent))
            except OSError as error:
                raise self._unusable_statements_error(error) from None
        elif statement_count:
            # Begin with a line feed, because a crash may have cut the last line of the file.
            self._write_statement(self._statements_path, b"\n" + head_bytes, os.O_APPEND)
        else:
            self._write_statement(self._statements_path, head_bytes, os.O_TRUNC)

    def _write_statement(self, path: Path, data: bytes, flag: int) -> None:
        """Write ``data`` durably to ``path``; ``flag`` is O_TRUNC or O_APPEND.  Raises StorageError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | flag
        is_new_file = not is_there(path, follow_links=False)
        try:
            # With a buffer, a full disk raises an error; without, only a part of the head could be written.
            with open(os.open(path, flags, 0o600), "wb") as statements_file:
                statements_file.write(data)
                statements_file.flush()
                os.fdatasync(statements_file.fileno())
            if is_new_file:
                sync_path(os.fspath(path.parent))
        except OSError as error:
            raise self._unusable_statements_error(error) from None

    def _unusable_statements_error(self, error: OSError) -> StorageError:
        """Return the error for a file of noted heads that cannot be read or written."""
        return StorageError(
            "Cannot use {path} ({reason}). Nothing was recorded. Check the disk and the permissions of this file.",
            path=self._statements_path,
            reason=error.strerror,
        )
