"""Read the append-only chain of events on ``refs/heads/journal``.

Each commit holds one event: its tree is ``event.json`` and the event's attachments.  The field ``prev`` is the
SHA-256 of the preceding event, so that the chain of evidence does not depend on git's SHA-1.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from archiver import clock
from archiver.errors import StorageError
from archiver.model import Attachment, Change, Event, JournalPoint, Op
from archiver.store import names
from archiver.store.events import validation
from archiver.store.events.attached_files import CHANGES_FILE
from archiver.store.events.event_kinds import UNREADABLE
from archiver.store.git.repository import JOURNAL, Repository

EVENT_FILE = "event.json"
#: ``prev`` of the first event.
GENESIS_DIGEST = "0" * 64
#: The lists of changes of so many events are read in one request.  Fewer would wait for git more often; more would
#: occupy more memory.
_READ_AHEAD_EVENTS = 50
#: Longer lists of changes are read one at a time: one of them can have 40 MB.
_READ_AHEAD_BYTES = 1 << 16


def canonical_json(document: dict[str, Any]) -> bytes:
    """Encode ``document`` as canonical JSON: sorted keys, no spaces, UTF-8, one line feed at the end.

    Equal documents have equal bytes, so that their SHA-256 values can be compared.  Raises ValueError for a number
    or a text that JSON or UTF-8 cannot represent, such as NaN, and TypeError for an object of another type.
    """
    json_text = json.dumps(document, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    return json_text.encode("utf-8") + b"\n"


def encode_change_line(change: Change) -> bytes:
    """Encode a change as a line of ``changes.jsonl``, for :func:`parse_change_line`; the line feed is included.

    Fields that mean nothing for the kind of change, or that are empty, are left out.
    """
    fields: dict[str, Any] = {"op": change.op.value, "path": names.name_as_text(change.path)}
    if change.op not in (Op.MKDIR, Op.RMDIR):
        fields |= {"sha256": change.sha256, "size": change.size, "mtime_ns": change.mtime_ns}
    elif change.op is Op.MKDIR:
        fields["mtime_ns"] = change.mtime_ns
    if change.source is not None:
        fields["from"] = names.name_as_text(change.source)
    if change.health:
        fields["health"] = change.health
    return canonical_json(fields)


def parse_change_line(line: bytes) -> Change:
    """Decode a line of ``changes.jsonl``; raises ValueError, KeyError or TypeError if it is not a change."""
    fields = validation.load_json_object(line)
    old_path = fields.get("from")
    return Change(
        op=Op(fields["op"]),
        path=names.name_from_text(fields["path"]),
        sha256=fields.get("sha256"),
        size=fields.get("size", 0),
        mtime_ns=fields.get("mtime_ns", 0),
        source=None if old_path is None else names.name_from_text(old_path),
        health=fields.get("health", ""),
    )


def parse_event(data: bytes, commit: str) -> Event:
    """Decode the event in ``commit`` from ``event.json``; raises ValueError if the file is not an event."""
    fields = validation.parse_event_document(data)
    return Event(
        seq=fields["seq"],
        at=fields["at"],
        clock=fields["clock"],
        actor=fields["actor"],
        action=fields["action"],
        object=fields["object"],
        details=fields["details"],
        refs=fields["refs"],
        attachments=tuple(Attachment(**item) for item in fields["attachments"]),
        prev=fields["prev"],
        sha256=hashlib.sha256(data).hexdigest(),
        commit=commit,
    )


def _make_stand_in_event(data: bytes, commit: str, previous: Event | None) -> Event:
    """Return an event with the action ``unreadable`` for the ``event.json`` ``data``, which cannot be decoded.

    It has the number after ``previous``, and its ``sha256`` is that of ``data``, so that the chain continues.  It
    has the clock of ``previous``: the compliance clock never runs back, and advances only with evidence.  With
    ``previous`` None, it is the first event, and its clocks show 1970.
    """
    try:
        refs = validation.read_moved_refs(validation.load_json_object(data))
    except ValueError:
        # The bytes are not even JSON, so that the refs that the event moved are unknown.
        refs = {}
    epoch_reading = clock.ClockReading(datetime(1970, 1, 1, tzinfo=UTC), "", 0, 0, shifted=True)
    return Event(
        seq=1 if previous is None else previous.seq + 1,
        at=clock.format_time(epoch_reading.wall) if previous is None else previous.at,
        clock=clock.make_evidence(epoch_reading.wall, epoch_reading) if previous is None else previous.clock,
        actor={"uid": -1, "user": "?"},
        action=UNREADABLE,
        object="",
        details={},
        refs=refs,
        attachments=(),
        prev=GENESIS_DIGEST if previous is None else previous.sha256,
        sha256=hashlib.sha256(data).hexdigest(),
        commit=commit,
    )


class Journal:
    """The events of one repository, for reading.

    An event whose ``event.json`` cannot be decoded is replaced by a stand-in with the action ``unreadable``, so
    that the events after it can be read.
    """

    def __init__(self, repository: Repository) -> None:
        """Read from ``repository``, which the caller closes."""
        self._repository = repository

    def newest_event(self) -> Event | None:
        """Return the newest event; None in a repository without events.  Raises as :meth:`read_event` does."""
        commit = self._repository.resolve(JOURNAL)
        return None if commit is None else self.read_event(commit)

    def first_event(self) -> Event | None:
        """Return the oldest event, which created the archive; None in a repository without events.

        Raises as :meth:`read_event` does.
        """
        tip = self._repository.resolve(JOURNAL)
        return None if tip is None else self.read_event(self._repository.root_of(tip))

    def read_event(self, commit: str) -> Event:
        """Return the event held by ``commit``, or a stand-in if decoding fails.

        A stand-in takes number and clock from the last readable event before it, so further commits may be read.
        Raises StorageError if a commit or its ``event.json`` is missing.
        """
        # From ``commit`` back to the last readable event: commits and their bytes, newest first.
        unreadable_events: list[tuple[str, bytes]] = []
        current_commit: str | None = commit
        event = None
        while current_commit is not None and event is None:
            try:
                data = self._repository.read(f"{current_commit}:{EVENT_FILE}")
                event = parse_event(data, current_commit)
            except ValueError:
                unreadable_events.append((current_commit, data))
                current_commit = self._read_parent_commit(current_commit)
            except KeyError:
                raise self._damaged_event_error(current_commit) from None
        for unreadable_commit, data in reversed(unreadable_events):
            event = _make_stand_in_event(data, unreadable_commit, event)
        assert event is not None
        return event

    def _read_parent_commit(self, commit: str) -> str | None:
        """Return the first parent of a commit; None if it has none.  Raises KeyError if the commit is missing."""
        header_lines = self._repository.read(commit).split(b"\n\n", 1)[0].split(b"\n")
        parents = (line.removeprefix(b"parent ") for line in header_lines if line.startswith(b"parent "))
        return next((parent.decode("ascii") for parent in parents), None)

    def _damaged_event_error(self, commit: str) -> StorageError:
        """Return the error for a commit that is missing, or has no ``event.json``."""
        return StorageError(
            "Journal event {commit} in {path} is damaged or missing. Nothing was changed. Restore the repository "
            "from a backup or a clone. To verify the archive, run: archiver verify",
            commit=commit[:12],
            path=self._repository.path,
        )

    def has_event(self, point: JournalPoint) -> bool:
        """Return True if the event named by ``point`` is in this journal; False if from another history.

        A database made from the journal records its newest event as such a point.
        """
        tip = self._repository.resolve(JOURNAL)
        if tip is None or (point.commit != tip and not self._repository.is_ancestor(point.commit, tip)):
            return False
        try:
            event_bytes = self._repository.read(f"{point.commit}:{EVENT_FILE}")
        except KeyError:
            # The commit exists in this repository, but holds no event.
            return False
        return hashlib.sha256(event_bytes).hexdigest() == point.sha256

    def events_since(self, commit: str | None, tip: str | None = None) -> Iterator[Event]:
        """Yield the events after ``commit`` (None: all) up to ``tip`` (None: the newest), oldest first.

        Raises StorageError, when the event is reached, if a commit or its ``event.json`` is missing.
        """
        return (event for event, _ in self.events_with_bytes_since(commit, tip))

    def newest_events(self, count: int) -> Iterator[Event]:
        """Yield the newest ``count`` events, or all if there are fewer, oldest first; raises StorageError."""
        tip = self._repository.resolve(JOURNAL)
        if tip is not None:
            yield from map(self.read_event, self._repository.history(tip, newest=count))

    def events_with_bytes_since(self, commit: str | None, tip: str | None = None) -> Iterator[tuple[Event, bytes]]:
        """Yield the events as :meth:`events_since` does, each with the bytes of its ``event.json``.

        The SHA-256 of these bytes is the field ``prev`` of the next event.
        """
        end_commit = tip or self._repository.resolve(JOURNAL)
        if end_commit is None or end_commit == commit:
            return
        commits = list(self._repository.history(end_commit, commit))
        event_files = self._repository.read_many(f"{event_commit}:{EVENT_FILE}" for event_commit in commits)
        event = None
        for event_commit in commits:
            try:
                event_bytes = next(event_files)
            except KeyError:
                raise self._damaged_event_error(event_commit) from None
            try:
                event = parse_event(event_bytes, event_commit)
            except ValueError:
                # A stand-in needs the preceding event: that of the last round, or before the first round the event
                # of ``commit``, which may be a stand-in itself.
                if event is None and commit is not None:
                    event = self.read_event(commit)
                event = _make_stand_in_event(event_bytes, event_commit, event)
            yield event, event_bytes

    def events_with_changes_since(
        self, commit: str | None, tip: str | None = None
    ) -> Iterator[tuple[Event, Iterable[Change]]]:
        """Yield the events as :meth:`events_since` does, each with its changes, of which only a capture has any.

        The changes are read when they are iterated over, and raise as those of :meth:`read_changes`.  Only short
        lists of changes are read ahead, those of many events in one request to git.
        """
        events = self.events_since(commit, tip)
        while batch := list(islice(events, _READ_AHEAD_EVENTS)):
            short_lists = self._read_short_lists(batch)
            for event in batch:
                yield event, self.read_changes(event, short_lists.get(event.seq))

    def _read_short_lists(self, events: Sequence[Event]) -> dict[int, bytes]:
        """Read the short lists of changes of ``events``; return their bytes by the number of the event.

        Returns nothing if a list is missing.
        """
        events_with_list = [event for event in events if any(_is_short_list(item) for item in event.attachments)]
        contents = self._repository.read_many(f"{event.commit}:{CHANGES_FILE}" for event in events_with_list)
        try:
            return dict(zip((event.seq for event in events_with_list), contents, strict=True))
        except KeyError:
            # read_changes() then reads the lists one by one, and raises for the missing one.
            return {}

    def read_attachment(self, event: Event, name: str) -> bytes:
        """Return the bytes of the attachment ``name`` of ``event``.

        Raises StorageError if the event has no such attachment, or if the bytes are missing or were changed.
        """
        attachment_bytes = self._read_unchecked_attachment(event, name)
        if not _is_attachment(event, name, attachment_bytes):
            raise self._damaged_attachment_error(event, name)
        return attachment_bytes

    def _read_unchecked_attachment(self, event: Event, name: str) -> bytes:
        """Return the bytes of an attachment without any check; raises StorageError if missing."""
        try:
            return self._repository.read(f"{event.commit}:{name}")
        except KeyError:
            raise self._damaged_attachment_error(event, name) from None

    def _damaged_attachment_error(self, event: Event, name: str) -> StorageError:
        """Return the error for a missing attachment, or for a file other than the event names."""
        return StorageError(
            "{name} of journal event {seq} is damaged or missing. Nothing was changed. Restore the repository "
            "from a backup or a clone. To verify the archive, run: archiver verify",
            name=name,
            seq=event.seq,
        )

    def read_changes(self, event: Event, list_bytes: bytes | None = None) -> Iterator[Change]:
        """Yield the changes that ``event`` made; only a capture made any.

        ``list_bytes`` is the content of its ``changes.jsonl``; with None, it is read from the repository.

        Raises, when the first change is requested, StorageError if the list is missing; ValueError, KeyError or
        TypeError if it is not the list that the event names.  Git vouches for the bytes of both, so that the event
        was wrong when it was written.
        """
        if all(item.name != CHANGES_FILE for item in event.attachments):
            return
        if list_bytes is None:
            list_bytes = self._read_unchecked_attachment(event, CHANGES_FILE)
        if not _is_attachment(event, CHANGES_FILE, list_bytes):
            raise ValueError(f"{CHANGES_FILE} is another one")
        for line in list_bytes.splitlines():
            yield parse_change_line(line)


def compute_compliance_time(newest_event: Event | None, time_reading: clock.ClockReading) -> datetime:
    """Return the time of the compliance clock at ``time_reading``, given the newest event of the journal.

    Retention is decided by this clock, which nobody can set forward (:mod:`archiver.clock`).  Without an event, it
    starts now, with the wall time.
    """
    if newest_event is None:
        return time_reading.wall
    previous_time, previous_reading = clock.parse_evidence(newest_event.clock)
    return clock.advance_compliance_time(previous_time, previous_reading, time_reading)


def _is_attachment(event: Event, name: str, data: bytes) -> bool:
    """Return True if ``event`` has an attachment of that name with the SHA-256 of ``data``."""
    digest = hashlib.sha256(data).hexdigest()
    return any(item.name == name and item.sha256 == digest for item in event.attachments)


def _is_short_list(attachment: Attachment) -> bool:
    """Return True if the attachment is a list of changes that is short enough to be read ahead."""
    return attachment.name == CHANGES_FILE and attachment.size <= _READ_AHEAD_BYTES
