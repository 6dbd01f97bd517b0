"""The append-only chain of events on ``refs/heads/journal``.

A commit's tree is ``event.json`` and its attachments.  ``prev`` is the SHA-256
of the event before, so the chain of evidence does not rest on git's SHA-1.
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
from archiver.store.events.actions import UNREADABLE
from archiver.store.events.attached_files import CHANGES_FILE
from archiver.store.git.repository import JOURNAL, Repository

EVENT_FILE = "event.json"
#: ``prev`` of the first event.
GENESIS = "0" * 64
#: Events whose lists of changes are read ahead, and up to which size: one list can have 40 MB.
_AHEAD, _SHORT_BYTES = 50, 1 << 16


def canonical(document: dict[str, Any]) -> bytes:
    """Canonical JSON: sorted keys, no spaces, UTF-8, one line feed at the end; ValueError where it is no JSON."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    return text.encode("utf-8") + b"\n"


def change_line(change: Change) -> bytes:
    """One line of ``changes.jsonl``."""
    line: dict[str, Any] = {"op": change.op.value, "path": names.text(change.path)}
    if change.op not in (Op.MKDIR, Op.RMDIR):
        line |= {"sha256": change.sha256, "size": change.size, "mtime_ns": change.mtime_ns}
    elif change.op is Op.MKDIR:
        line["mtime_ns"] = change.mtime_ns
    if change.source is not None:
        line["from"] = names.text(change.source)
    if change.health:
        line["health"] = change.health
    return canonical(line)


def parse_change(line: bytes) -> Change:
    """The inverse of :func:`change_line`; raises ValueError, KeyError or TypeError."""
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
    """Read ``event.json``; raises ValueError where it is not an event."""
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


def _stand_in(data: bytes, commit: str, before: Event | None) -> Event:
    """Make an event of bytes that are none: with its place in the chain, and the clock of the one before.

    The clock must not run back, and gains nothing that nobody can show.
    """
    try:
        refs = validation.refs_of(validation.load(data))
    except ValueError:
        refs = {}
    beginning = clock.Reading(datetime(1970, 1, 1, tzinfo=UTC), "", 0, 0, shifted=True)
    return Event(
        seq=1 if before is None else before.seq + 1,
        at=clock.stamp(beginning.wall) if before is None else before.at,
        clock=clock.evidence(beginning.wall, beginning) if before is None else before.clock,
        actor={"uid": -1, "user": "?"},
        action=UNREADABLE,
        object="",
        details={},
        refs=refs,
        attachments=(),
        prev=GENESIS if before is None else before.sha256,
        sha256=hashlib.sha256(data).hexdigest(),
        commit=commit,
    )


class Journal:
    """Reading the journal of one repository."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def head(self) -> Event | None:
        """The newest event, or None in a repository without any."""
        commit = self._repository.resolve(JOURNAL)
        return None if commit is None else self.event(commit)

    def first(self) -> Event | None:
        """The oldest event, which made the archive."""
        tip = self._repository.resolve(JOURNAL)
        return None if tip is None else self.event(self._repository.root_of(tip))

    def event(self, commit: str) -> Event:
        """One event, or the stand-in for one that cannot be understood.

        Raises StorageError where its commit or its file is missing.
        """
        strange: list[tuple[str, bytes]] = []
        at: str | None = commit
        event = None
        while at is not None and event is None:
            try:
                data = self._repository.read(f"{at}:{EVENT_FILE}")
                event = parse_event(data, at)
            except ValueError:
                strange.append((at, data))
                at = self._parent(at)
            except KeyError:
                raise self._damaged(at) from None
        for each, data in reversed(strange):
            event = _stand_in(data, each, event)
        assert event is not None
        return event

    def _parent(self, commit: str) -> str | None:
        head = self._repository.read(commit).split(b"\n\n", 1)[0].split(b"\n")
        return next((line[7:].decode("ascii") for line in head if line.startswith(b"parent ")), None)

    def _damaged(self, commit: str) -> StorageError:
        return StorageError(
            "The journal event {commit} in {path} is damaged or missing. Nothing was changed. Run "
            "archiver verify, and bring the repository back from a backup or a clone.",
            commit=commit[:12],
            path=self._repository.path,
        )

    def since(self, commit: str | None, tip: str | None = None) -> Iterator[Event]:
        """Events after ``commit`` (None: all) up to ``tip`` (None: the newest), oldest first.

        What cannot be understood has a stand-in.
        """
        return (event for event, _ in self.lines_since(commit, tip))

    def lines_since(self, commit: str | None, tip: str | None = None) -> Iterator[tuple[Event, bytes]]:
        """The same, each with its bytes: the SHA-256 of these is ``prev`` of the next."""
        head = tip or self._repository.resolve(JOURNAL)
        if head is None or head == commit:
            return
        commits = list(self._repository.history(head, commit))
        lines = self._repository.read_many(f"{each}:{EVENT_FILE}" for each in commits)
        before = None
        for each in commits:
            try:
                line = next(lines)
            except KeyError:
                raise self._damaged(each) from None
            try:
                before = parse_event(line, each)
            except ValueError:
                # The place is asked for only where it is needed; the event before may be of this kind too.
                if before is None and commit is not None:
                    before = self.event(commit)
                before = _stand_in(line, each, before)
            yield before, line

    def since_with_changes(
        self, commit: str | None, tip: str | None = None
    ) -> Iterator[tuple[Event, Iterable[Change]]]:
        """The same with the changes of each capture; short lists are read ahead."""
        following = self.since(commit, tip)
        while batch := list(islice(following, _AHEAD)):
            lists = self._short_lists(batch)
            for event in batch:
                yield event, self.changes(event, lists.get(event.seq))

    def _short_lists(self, batch: Sequence[Event]) -> dict[int, bytes]:
        short = [event for event in batch if any(_is_short_list(item) for item in event.attachments)]
        read = self._repository.read_many(f"{event.commit}:{CHANGES_FILE}" for event in short)
        try:
            return dict(zip((event.seq for event in short), read, strict=True))
        except KeyError:
            # Whoever asks for the one that is missing gets to know.
            return {}

    def attachment(self, event: Event, name: str) -> bytes:
        """The bytes of an attachment; raises StorageError where they do not fit the event."""
        data = self._attached(event, name)
        if not _is_attachment(event, name, data):
            raise self._lost(event, name)
        return data

    def _attached(self, event: Event, name: str) -> bytes:
        try:
            return self._repository.read(f"{event.commit}:{name}")
        except KeyError:
            raise self._lost(event, name) from None

    def _lost(self, event: Event, name: str) -> StorageError:
        return StorageError(
            "{name} of journal event {seq} is damaged or missing. Nothing was changed. Run archiver "
            "verify, and bring the repository back from a backup or a clone.",
            name=name,
            seq=event.seq,
        )

    def changes(self, event: Event, data: bytes | None = None) -> Iterator[Change]:
        """The changes of a capture event; ``data``: the list, if it was read already.

        Raises StorageError where the list is missing, ValueError, KeyError or TypeError where it is there and
        cannot be the event's: git vouches for its bytes, so the event itself is wrong.
        """
        if all(item.name != CHANGES_FILE for item in event.attachments):
            return
        if data is None:
            data = self._attached(event, CHANGES_FILE)
        if not _is_attachment(event, CHANGES_FILE, data):
            raise ValueError(f"{CHANGES_FILE} is another one")
        for line in data.splitlines():
            yield parse_change(line)


def compliance_clock(newest: Event | None, reading: clock.Reading) -> datetime:
    """The compliance clock now; it starts with the wall time of the first event."""
    if newest is None:
        return reading.wall
    value, before = clock.from_evidence(newest.clock)
    return clock.advance(value, before, reading)


def _is_attachment(event: Event, name: str, data: bytes) -> bool:
    digest = hashlib.sha256(data).hexdigest()
    return any(item.name == name and item.sha256 == digest for item in event.attachments)


def _is_short_list(item: Attachment) -> bool:
    return item.name == CHANGES_FILE and item.size <= _SHORT_BYTES
