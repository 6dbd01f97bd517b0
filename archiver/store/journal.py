"""Read the append-only chain of events on ``refs/heads/journal``.

A commit's tree is ``event.json`` and its attachments.  ``prev`` is the SHA-256 of the preceding event, so the
chain of evidence does not rest on git's SHA-1.
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
from archiver.model import Attachment, Change, Event, Op
from archiver.store import names
from archiver.store.events import validation
from archiver.store.events.attached_files import CHANGES_FILE
from archiver.store.events.event_kinds import UNREADABLE
from archiver.store.git.repository import JOURNAL, Repository

EVENT_FILE = "event.json"
#: ``prev`` of the first event.
GENESIS = "0" * 64
#: Fewer events read ahead wait for git more often.  Lists of changes above this size are read one at a time: one
#: of them can have 40 MB.
_READ_AHEAD_EVENTS, _READ_AHEAD_BYTES = 50, 1 << 16


def canonical(document: dict[str, Any]) -> bytes:
    """Return canonical JSON: sorted keys, no spaces, UTF-8, one line feed at the end.

    Equal documents have equal bytes, so that their SHA-256 can be compared.  Raises ValueError for a value that
    JSON or UTF-8 cannot hold.
    """
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    return text.encode("utf-8") + b"\n"


def change_line(change: Change) -> bytes:
    """Return a change as a line of ``changes.jsonl``."""
    fields: dict[str, Any] = {"op": change.op.value, "path": names.text(change.path)}
    if change.op not in (Op.MKDIR, Op.RMDIR):
        fields |= {"sha256": change.sha256, "size": change.size, "mtime_ns": change.mtime_ns}
    elif change.op is Op.MKDIR:
        fields["mtime_ns"] = change.mtime_ns
    if change.source is not None:
        fields["from"] = names.text(change.source)
    if change.health:
        fields["health"] = change.health
    return canonical(fields)


def parse_change(line: bytes) -> Change:
    """Read a line of :func:`change_line`; raises ValueError, KeyError or TypeError for another line."""
    fields = validation.load(line)
    source = fields.get("from")
    return Change(
        op=Op(fields["op"]),
        path=names.raw(fields["path"]),
        sha256=fields.get("sha256"),
        size=fields.get("size", 0),
        mtime_ns=fields.get("mtime_ns", 0),
        source=None if source is None else names.raw(source),
        health=fields.get("health", ""),
    )


def parse_event(data: bytes, commit: str) -> Event:
    """Read ``event.json``; raises ValueError if the bytes are not an event."""
    fields = validation.parse(data)
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


def _make_stand_in(data: bytes, commit: str, previous: Event | None) -> Event:
    """Return an event in place of bytes that are none, with the number that follows ``previous``.

    The clock is that of ``previous``: a compliance clock must not run back, and advances only with evidence.
    """
    try:
        refs = validation.refs_of(validation.load(data))
    except ValueError:
        # Not even JSON: no ref of the event can be known.
        refs = {}
    epoch_reading = clock.Reading(datetime(1970, 1, 1, tzinfo=UTC), "", 0, 0, shifted=True)
    return Event(
        seq=1 if previous is None else previous.seq + 1,
        at=clock.stamp(epoch_reading.wall) if previous is None else previous.at,
        clock=clock.evidence(epoch_reading.wall, epoch_reading) if previous is None else previous.clock,
        actor={"uid": -1, "user": "?"},
        action=UNREADABLE,
        object="",
        details={},
        refs=refs,
        attachments=(),
        prev=GENESIS if previous is None else previous.sha256,
        sha256=hashlib.sha256(data).hexdigest(),
        commit=commit,
    )


class Journal:
    """Read the journal of one repository.

    An event that cannot be read has a stand-in with the action ``unreadable``: the chain goes on past it.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def head(self) -> Event | None:
        """Return the newest event; None in a repository without events.  Raises StorageError as :meth:`event`."""
        commit = self._repository.resolve(JOURNAL)
        return None if commit is None else self.event(commit)

    def first(self) -> Event | None:
        """Return the oldest event, which created the archive; None in a repository without events."""
        tip = self._repository.resolve(JOURNAL)
        return None if tip is None else self.event(self._repository.root_of(tip))

    def event(self, commit: str) -> Event:
        """Return the event of a commit, or a stand-in for an unreadable event.

        A stand-in needs the last readable event before it for number and clock.  Raises StorageError if a commit
        or its ``event.json`` is missing.
        """
        unreadable_events: list[tuple[str, bytes]] = []
        current_commit: str | None = commit
        event = None
        while current_commit is not None and event is None:
            try:
                data = self._repository.read(f"{current_commit}:{EVENT_FILE}")
                event = parse_event(data, current_commit)
            except ValueError:
                unreadable_events.append((current_commit, data))
                current_commit = self._parent_of(current_commit)
            except KeyError:
                raise self._damaged_event(current_commit) from None
        for unreadable_commit, data in reversed(unreadable_events):
            event = _make_stand_in(data, unreadable_commit, event)
        assert event is not None
        return event

    def _parent_of(self, commit: str) -> str | None:
        header_lines = self._repository.read(commit).split(b"\n\n", 1)[0].split(b"\n")
        return next((line[7:].decode("ascii") for line in header_lines if line.startswith(b"parent ")), None)

    def _damaged_event(self, commit: str) -> StorageError:
        return StorageError(
            "The journal event {commit} in {path} is damaged or missing. Nothing was changed. Run "
            "archiver verify, and bring the repository back from a backup or a clone.",
            commit=commit[:12],
            path=self._repository.path,
        )

    def since(self, commit: str | None, tip: str | None = None) -> Iterator[Event]:
        """Yield the events after ``commit`` (None: all) up to ``tip`` (None: the newest), oldest first.

        Raises StorageError if a commit or its ``event.json`` is missing.
        """
        return (event for event, _ in self.lines_since(commit, tip))

    def lines_since(self, commit: str | None, tip: str | None = None) -> Iterator[tuple[Event, bytes]]:
        """Yield the events as :meth:`since` does, each with its bytes: their SHA-256 is ``prev`` of the next."""
        end_commit = tip or self._repository.resolve(JOURNAL)
        if end_commit is None or end_commit == commit:
            return
        commits = list(self._repository.history(end_commit, commit))
        event_files = self._repository.read_many(f"{event_commit}:{EVENT_FILE}" for event_commit in commits)
        last_event = None
        for event_commit in commits:
            try:
                event_bytes = next(event_files)
            except KeyError:
                raise self._damaged_event(event_commit) from None
            try:
                last_event = parse_event(event_bytes, event_commit)
            except ValueError:
                # Read only for a stand-in at the start; the preceding event may be a stand-in, too.
                if last_event is None and commit is not None:
                    last_event = self.event(commit)
                last_event = _make_stand_in(event_bytes, event_commit, last_event)
            yield last_event, event_bytes

    def since_with_changes(
        self, commit: str | None, tip: str | None = None
    ) -> Iterator[tuple[Event, Iterable[Change]]]:
        """Yield the events as :meth:`since` does, with the changes of each capture.

        Short lists are read ahead in one request to git.  Iterating over the changes raises as :meth:`changes`.
        """
        events = self.since(commit, tip)
        while batch := list(islice(events, _READ_AHEAD_EVENTS)):
            short_lists = self._read_short_lists(batch)
            for event in batch:
                yield event, self.changes(event, short_lists.get(event.seq))

    def _read_short_lists(self, batch: Sequence[Event]) -> dict[int, bytes]:
        events_with_list = [event for event in batch if any(_is_short_list(item) for item in event.attachments)]
        contents = self._repository.read_many(f"{event.commit}:{CHANGES_FILE}" for event in events_with_list)
        try:
            return dict(zip((event.seq for event in events_with_list), contents, strict=True))
        except KeyError:
            # changes() reads the lists one by one then, and raises for the missing one.
            return {}

    def attachment(self, event: Event, name: str) -> bytes:
        """Return the bytes of an attachment; raises StorageError if missing or not the event's."""
        attachment_bytes = self._read_attached(event, name)
        if not _is_attachment(event, name, attachment_bytes):
            raise self._lost_attachment(event, name)
        return attachment_bytes

    def _read_attached(self, event: Event, name: str) -> bytes:
        try:
            return self._repository.read(f"{event.commit}:{name}")
        except KeyError:
            raise self._lost_attachment(event, name) from None

    def _lost_attachment(self, event: Event, name: str) -> StorageError:
        return StorageError(
            "{name} of journal event {seq} is damaged or missing. Nothing was changed. Run archiver "
            "verify, and bring the repository back from a backup or a clone.",
            name=name,
            seq=event.seq,
        )

    def changes(self, event: Event, list_bytes: bytes | None = None) -> Iterator[Change]:
        """Yield the changes of a capture; ``list_bytes`` is the list, if read already.

        Raises StorageError if the list is missing; ValueError, KeyError or TypeError if the list exists but cannot
        be that of the event: git vouches for its bytes, so the event itself is wrong.
        """
        if all(item.name != CHANGES_FILE for item in event.attachments):
            return
        if list_bytes is None:
            list_bytes = self._read_attached(event, CHANGES_FILE)
        if not _is_attachment(event, CHANGES_FILE, list_bytes):
            raise ValueError(f"{CHANGES_FILE} is another one")
        for line in list_bytes.splitlines():
            yield parse_change(line)


def compliance_clock(newest: Event | None, reading: clock.Reading) -> datetime:
    """Return the present time of the compliance clock, which starts with the wall time of the first event."""
    if newest is None:
        return reading.wall
    previous_time, previous_reading = clock.from_evidence(newest.clock)
    return clock.advance(previous_time, previous_reading, reading)


def _is_attachment(event: Event, name: str, data: bytes) -> bool:
    digest = hashlib.sha256(data).hexdigest()
    return any(item.name == name and item.sha256 == digest for item in event.attachments)


def _is_short_list(item: Attachment) -> bool:
    return item.name == CHANGES_FILE and item.size <= _READ_AHEAD_BYTES
