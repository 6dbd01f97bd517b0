"""The append-only chain of events on ``refs/heads/journal``.

A commit's tree is ``event.json`` and its attachments.  ``prev`` is the SHA-256
of the event before, so the chain of evidence does not rest on git's SHA-1.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from archiver import clock
from archiver.errors import StorageProblem
from archiver.model import Attachment, Change, Event, Op
from archiver.store import names
from archiver.store.repository import JOURNAL, Repository

EVENT_FILE = "event.json"
CHANGES_FILE = "changes.jsonl"
#: ``prev`` of the first event.
GENESIS = "0" * 64
#: Events whose lists of changes are read ahead, and up to which size: one list can have 40 MB.
_AHEAD, _SHORT_BYTES = 50, 1 << 16


def canonical(document: dict[str, Any]) -> bytes:
    """Canonical JSON: sorted keys, no spaces, UTF-8, one line feed at the end."""
    text = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
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
    """The inverse of :func:`change_line`; raises ValueError."""
    fields = json.loads(line)
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
    try:
        fields = json.loads(data)
        return Event(
            seq=int(fields["seq"]),
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
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an event: {error}") from error


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
        """One event; raises StorageProblem where it cannot be read."""
        try:
            return parse_event(self._repository.read(f"{commit}:{EVENT_FILE}"), commit)
        except (KeyError, ValueError):
            raise self._damaged(commit) from None

    def _damaged(self, commit: str) -> StorageProblem:
        return StorageProblem(
            "The journal event {commit} in {path} is damaged or missing. Nothing was changed. Run "
            "archiver verify, and bring the repository back from a backup or a clone.",
            commit=commit[:12],
            path=self._repository.path,
        )

    def since(self, commit: str | None, tip: str | None = None) -> Iterator[Event]:
        """Events after ``commit`` (None: all) up to ``tip`` (None: the newest), oldest first."""
        return (event for event, _ in self.lines_since(commit, tip))

    def lines_since(self, commit: str | None, tip: str | None = None) -> Iterator[tuple[Event, bytes]]:
        """The same, each with its bytes: the SHA-256 of these is ``prev`` of the next."""
        head = tip or self._repository.resolve(JOURNAL)
        if head is None or head == commit:
            return
        commits = list(self._repository.history(head, commit))
        lines = self._repository.read_many(f"{each}:{EVENT_FILE}" for each in commits)
        for each in commits:
            try:
                line = next(lines)
                yield parse_event(line, each), line
            except (KeyError, ValueError):
                raise self._damaged(each) from None

    def since_with_changes(
        self, commit: str | None, tip: str | None = None
    ) -> Iterator[tuple[Event, Iterable[Change]]]:
        """The same with the changes of each capture; short lists are read ahead."""
        events = self.since(commit, tip)
        while batch := list(islice(events, _AHEAD)):
            lists = self._short_lists(batch)
            for event in batch:
                yield event, self.changes(event, lists.get(event.seq))

    def _short_lists(self, events: Sequence[Event]) -> dict[int, bytes]:
        short = [event for event in events if any(_is_short_list(item) for item in event.attachments)]
        read = self._repository.read_many(f"{event.commit}:{CHANGES_FILE}" for event in short)
        try:
            return dict(zip((event.seq for event in short), read, strict=True))
        except KeyError:
            # Whoever asks for the one that is missing gets to know.
            return {}

    def attachment(self, event: Event, name: str) -> bytes:
        """The bytes of an attachment; raises StorageProblem where they do not fit the event."""
        try:
            data = self._repository.read(f"{event.commit}:{name}")
        except KeyError:
            data = b""
        return self._checked(event, name, data)

    def _checked(self, event: Event, name: str, data: bytes) -> bytes:
        wanted = next(item for item in event.attachments if item.name == name)
        if hashlib.sha256(data).hexdigest() != wanted.sha256:
            raise StorageProblem(
                "{name} of journal event {seq} is damaged or missing. Nothing was changed. Run archiver "
                "verify, and bring the repository back from a backup or a clone.",
                name=name,
                seq=event.seq,
            )
        return data

    def changes(self, event: Event, data: bytes | None = None) -> Iterator[Change]:
        """The changes of a capture event; ``data``: the list, if it was read already."""
        if all(item.name != CHANGES_FILE for item in event.attachments):
            return
        lines = self.attachment(event, CHANGES_FILE) if data is None else self._checked(event, CHANGES_FILE, data)
        for line in lines.splitlines():
            yield parse_change(line)


def compliance_clock(newest: Event | None, reading: clock.Reading) -> datetime:
    """The compliance clock now; it starts with the wall time of the first event."""
    if newest is None:
        return reading.wall
    value, before = clock.from_evidence(newest.clock)
    return clock.advance(value, before, reading)


def _is_short_list(item: Attachment) -> bool:
    return item.name == CHANGES_FILE and item.size <= _SHORT_BYTES
