"""Write the journal of an inspection package: a line for each event, each event's body, and each signed head.

A line has exactly the bytes of a file in the journal, so that SHA-256 values and signatures can be checked on the
line.  A journal file that cannot be decoded may contain line breaks.  The bytes of such a file go to a file of the
package instead, and the line has their SHA-256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from archiver.audit.bag import BagWriter
from archiver.audit.report_model import SignedHeadCount
from archiver.model import Event
from archiver.store.archive import Archive
from archiver.store.event_decoding import EVENT_FILE
from archiver.store.events.canonical_json import encode_canonical
from archiver.store.events.event_files import BODY_FILE, decode_visible, names_body
from archiver.store.events.event_kinds import UNREADABLE
from archiver.store.events.signed_head import HEAD_FILE, HEAD_SIGNATURE_FILE, parse_signed_head


class WrittenEvents(NamedTuple):
    """The events and the signed heads in a package."""

    events: list[Event]  # all events, oldest first
    signed_heads: SignedHeadCount | None  # None if all events have the old journal format, format 1


class _UndecodableFile(NamedTuple):
    """A file of the journal that is written to a separate file of the package, because it is not one line."""

    payload_name: str
    content: bytes


class JournalFilesWriter:
    """Writes ``journal.jsonl``, ``bodies.jsonl``, ``heads.jsonl`` and the signatures of one package.

    If all events have the old journal format (format 1), only ``journal.jsonl`` is written.  Lines and names of
    files refer to an event by its position in the journal, counted from 1.  The position is the same as the
    event's number, unless somebody forged the event.
    """

    def __init__(self, archive: Archive, bag_writer: BagWriter) -> None:
        """Prepare to write the journal of ``archive`` into ``bag_writer``."""
        self._archive = archive
        self._bag_writer = bag_writer
        self._events: list[Event] = []
        #: The positions of the events with a body: those of the present journal format, format 2.
        self._positions_with_body: set[int] = set()
        #: The positions of the events with a signed head.
        self._positions_with_head: list[int] = []
        self._undecodable_files: list[_UndecodableFile] = []

    def write(self) -> WrittenEvents:
        """Write all files, and return the events and the number of signed heads; call this once.

        A signed head or a signature that is missing is left out, and the verifier of the package reports the loss.

        Raises OSError if the disk cannot take the files, StorageError if a commit, an event or a body is missing.
        """
        self._bag_writer.add_payload("journal.jsonl", self._read_event_lines())
        signed_heads = None
        if self._positions_with_body:
            self._bag_writer.add_payload("bodies.jsonl", self._read_body_lines())
            self._bag_writer.add_payload("heads.jsonl", self._read_head_lines())
            self._write_signatures()
            signed_heads = SignedHeadCount(
                count=len(self._positions_with_head), newest_seq=max(self._positions_with_head, default=0)
            )
        for payload_name, content in self._undecodable_files:
            self._bag_writer.add_payload(payload_name, [content])
        return WrittenEvents(self._events, signed_heads)

    def _read_event_lines(self) -> Iterator[bytes]:
        """Yield the lines of ``journal.jsonl``, oldest first.

        The SHA-256 of an event's line is the member ``prev`` of the next event.  Stores the events as well.
        """
        for event, event_bytes in self._archive.journal.events_with_bytes_since(None):
            self._events.append(event)
            position = len(self._events)
            if names_body(event_bytes):
                self._positions_with_body.add(position)
            if event.action == UNREADABLE and not _is_valid_event_line(event_bytes):
                yield self._move_to_separate_file(f"journal/{position}/{EVENT_FILE}", position, event_bytes)
            else:
                yield event_bytes

    def _read_body_lines(self) -> Iterator[bytes]:
        """Yield a line of ``bodies.jsonl`` for each event: the event's body, or an empty line in format 1."""
        readable_events = (
            self._events[position - 1]
            for position in sorted(self._positions_with_body)
            if self._events[position - 1].action != UNREADABLE
        )
        bodies = self._archive.repository.read_many(f"{event.commit}:{BODY_FILE}" for event in readable_events)
        for position, event in enumerate(self._events, 1):
            if position not in self._positions_with_body:
                yield b"\n"
            elif event.action == UNREADABLE:
                # The body is empty if it was never written to the journal.
                _, body = self._archive.journal.read_event_files(event.commit)
                yield self._move_to_separate_file(f"journal/{position}/{BODY_FILE}", position, body or b"")
            else:
                yield next(bodies)

    def _read_head_lines(self) -> Iterator[bytes]:
        """Yield the lines of ``heads.jsonl``, oldest first, and store the positions of the events with a head."""
        for position in sorted(self._positions_with_body):
            head_bytes = self._read_file_of_event(position, HEAD_FILE)
            if head_bytes is None:
                # Only the last event of a batch has a signed head.
                continue
            self._positions_with_head.append(position)
            if _is_head_ending_at(head_bytes, position):
                yield head_bytes
            else:
                yield self._move_to_separate_file(f"heads/{position}.json", position, head_bytes)

    def _write_signatures(self) -> None:
        """Write the signature of each signed head to a file; a missing signature is left out."""
        for position in self._positions_with_head:
            signature = self._read_file_of_event(position, HEAD_SIGNATURE_FILE)
            if signature is not None:
                self._bag_writer.add_payload(f"heads/{position}.sig", [signature])

    def _move_to_separate_file(self, payload_name: str, position: int, content: bytes) -> bytes:
        """Remember ``content`` for the file ``payload_name``, and return the line to write instead.

        The line has the position of the event and the SHA-256 of ``content``.
        """
        self._undecodable_files.append(_UndecodableFile(payload_name, content))
        return encode_canonical({"seq": position, "unreadable": hashlib.sha256(content).hexdigest()})

    def _read_file_of_event(self, position: int, file_name: str) -> bytes | None:
        """Return the bytes of a file in the commit of an event; None if the file is missing or damaged."""
        try:
            return self._archive.repository.read(f"{self._events[position - 1].commit}:{file_name}")
        except KeyError:
            return None  # the caller leaves the file out, and the package's verifier reports that


def _is_valid_event_line(event_bytes: bytes) -> bool:
    """Return True if the ``event.json`` of an unreadable event is one valid line: only its body is unreadable."""
    try:
        decode_visible(event_bytes)
    except ValueError:
        # The event has the old format (format 1), or was already damaged when it was written.
        return False
    return True


def _is_head_ending_at(head_bytes: bytes, position: int) -> bool:
    """Return True if ``head_bytes`` is one line: a signed head whose last event is at ``position``."""
    try:
        return parse_signed_head(head_bytes).last == position
    except ValueError:
        # The head was already damaged when it was written, or belongs to a newer release.
        return False
