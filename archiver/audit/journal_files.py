"""Write the events of a package, their bodies, and the signed heads, a line for each.

A line has the bytes of a file of the journal, so that SHA-256 values and signatures can be checked on it.  A file
that cannot be decoded may contain line breaks: its bytes go to a file of the package, and its line names their
SHA-256.
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
    signed_heads: SignedHeadCount | None  # None if every event is of format 1


class _UndecodableFile(NamedTuple):
    """A file of the journal that is no line of the package."""

    payload_name: str
    content: bytes


class JournalFilesWriter:
    """Writes one package's ``journal.jsonl``, and in format 2 ``bodies.jsonl``, ``heads.jsonl`` and signatures.

    In all of them, and in the names of files, an event is named by its place in the journal, counted from 1.  That
    is its number, unless somebody forged the event.
    """

    def __init__(self, archive: Archive, bag_writer: BagWriter) -> None:
        """Prepare to write the journal of ``archive`` into ``bag_writer``."""
        self._archive = archive
        self._bag_writer = bag_writer
        self._events: list[Event] = []
        #: The places of the events of format 2, which have a body.
        self._places_with_body: set[int] = set()
        #: The places of the events with a signed head.
        self._places_with_head: list[int] = []
        self._undecodable_files: list[_UndecodableFile] = []

    def write(self) -> WrittenEvents:
        """Write all events; call this once.

        Raises OSError if the disk cannot take the files, StorageError if a commit, an event or a body is missing.
        A signed head that is missing, or has no signature, is left out: the verifier then reports it.
        """
        self._bag_writer.add_payload("journal.jsonl", self._read_event_lines())
        signed_heads = None
        if self._places_with_body:
            self._bag_writer.add_payload("bodies.jsonl", self._read_body_lines())
            self._bag_writer.add_payload("heads.jsonl", self._read_head_lines())
            self._write_signatures()
            signed_heads = SignedHeadCount(
                count=len(self._places_with_head), newest_seq=max(self._places_with_head, default=0)
            )
        for payload_name, content in self._undecodable_files:
            self._bag_writer.add_payload(payload_name, [content])
        return WrittenEvents(self._events, signed_heads)

    def _read_event_lines(self) -> Iterator[bytes]:
        """Yield the lines of ``journal.jsonl``, oldest first.

        The SHA-256 of a line is ``prev`` of the next event.
        """
        for event, event_bytes in self._archive.journal.events_with_bytes_since(None):
            self._events.append(event)
            place = len(self._events)
            if names_body(event_bytes):
                self._places_with_body.add(place)
            if event.action == UNREADABLE and not _is_visible_line(event_bytes):
                yield self._set_aside(f"journal/{place}/{EVENT_FILE}", place, event_bytes)
            else:
                yield event_bytes

    def _read_body_lines(self) -> Iterator[bytes]:
        """Yield the lines of ``bodies.jsonl``, one for each event; empty for an event of format 1."""
        readable_events = (
            self._events[place - 1]
            for place in sorted(self._places_with_body)
            if self._events[place - 1].action != UNREADABLE
        )
        bodies = self._archive.repository.read_many(f"{event.commit}:{BODY_FILE}" for event in readable_events)
        for place, event in enumerate(self._events, 1):
            if place not in self._places_with_body:
                yield b"\n"
            elif event.action == UNREADABLE:
                # Empty if it was never written.
                _, body = self._archive.journal.read_event_files(event.commit)
                yield self._set_aside(f"journal/{place}/{BODY_FILE}", place, body or b"")
            else:
                yield next(bodies)

    def _read_head_lines(self) -> Iterator[bytes]:
        """Yield the lines of ``heads.jsonl``, oldest first."""
        for place in sorted(self._places_with_body):
            head_bytes = self._read_if_there(place, HEAD_FILE)
            if head_bytes is None:
                # Only the last event of a batch has a signed head.
                continue
            self._places_with_head.append(place)
            if _is_head_of(head_bytes, place):
                yield head_bytes
            else:
                yield self._set_aside(f"heads/{place}.json", place, head_bytes)

    def _write_signatures(self) -> None:
        """Write the signatures of the signed heads."""
        for place in self._places_with_head:
            signature = self._read_if_there(place, HEAD_SIGNATURE_FILE)
            if signature is not None:
                self._bag_writer.add_payload(f"heads/{place}.sig", [signature])

    def _set_aside(self, payload_name: str, place: int, content: bytes) -> bytes:
        """Remember to write a file that is no line; return the line in its place."""
        self._undecodable_files.append(_UndecodableFile(payload_name, content))
        return encode_canonical({"seq": place, "unreadable": hashlib.sha256(content).hexdigest()})

    def _read_if_there(self, place: int, file_name: str) -> bytes | None:
        """Return the bytes of a file in the commit of an event; None if it is missing or damaged."""
        try:
            return self._archive.repository.read(f"{self._events[place - 1].commit}:{file_name}")
        except KeyError:
            return None


def _is_visible_line(event_bytes: bytes) -> bool:
    """Return True if the bytes of an unreadable event are one line, so that only its body is unreadable."""
    try:
        decode_visible(event_bytes)
    except ValueError:
        # Of format 1, or damaged before it was written.
        return False
    return True


def _is_head_of(head_bytes: bytes, place: int) -> bool:
    """Return True if the bytes are one line, with a signed head whose last event is the one at ``place``."""
    try:
        return parse_signed_head(head_bytes).last == place
    except ValueError:
        # Damaged before it was written, or of a newer release.
        return False
