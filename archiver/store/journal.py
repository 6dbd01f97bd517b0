"""Read the append-only chain of events on ``refs/heads/journal``.

Each commit holds one event: its tree has ``event.json``, in format 2 also ``body.json``, and the event's
attachments.  The field ``prev`` is the SHA-256 of the preceding ``event.json``, so that the chain of evidence does
not depend on git's SHA-1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice

from archiver import clock
from archiver.errors import StorageError
from archiver.model import Attachment, Change, Event, JournalPoint
from archiver.store.event_decoding import (
    EVENT_FILE,
    make_stand_in_event,
    parse_event,
)
from archiver.store.events import event_files
from archiver.store.events.attached_files import CHANGES_FILE
from archiver.store.events.change_lines import parse_change_lines
from archiver.store.events.event_files import BODY_FILE
from archiver.store.git.repository import JOURNAL, Repository

#: The number of events whose files are read in one request to git.  Fewer would wait for git more often; more
#: would occupy more memory.
_EVENTS_PER_REQUEST = 50
#: The size in bytes up to which a list of changes is read ahead.  One list can have 40 MB, so longer ones are read
#: one at a time.
_MAX_READ_AHEAD_BYTES = 1 << 16


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

    def newest_format(self) -> int:
        """Return the format number of the newest event; 0 without events.

        The event need not be readable, but an event that is not even JSON is skipped.  Raises StorageError if an
        event is missing.
        """
        commit = self._repository.resolve(JOURNAL)
        while commit is not None:
            try:
                return event_files.read_format_number(self._repository.read(f"{commit}:{EVENT_FILE}"))
            except ValueError:
                # Bytes that are not JSON say nothing about the format.
                commit = self._repository.first_parent(commit)
            except KeyError:
                raise self.damaged_event_error(commit) from None
        return 0

    def read_event(self, commit: str) -> Event:
        """Return the event in ``commit``; if it cannot be decoded, return a stand-in.

        The number and the clock of a stand-in follow from the last readable event before it, so earlier commits
        may be read as well.  Raises StorageError if a commit or a file of its event is missing.
        """
        # The commit and the files of each unreadable event, from ``commit`` back, newest first.
        unreadable_events: list[tuple[str, bytes, bytes | None]] = []
        current_commit: str | None = commit
        event = None
        while current_commit is not None and event is None:
            try:
                event_bytes, body_bytes = self.read_event_files(current_commit)
                event = parse_event(event_bytes, current_commit, body_bytes)
            except ValueError:
                unreadable_events.append((current_commit, event_bytes, body_bytes))
                current_commit = self._repository.first_parent(current_commit)
            except KeyError:
                raise self.damaged_event_error(current_commit) from None
        for unreadable_commit, event_bytes, body_bytes in reversed(unreadable_events):
            event = make_stand_in_event(event_bytes, body_bytes, unreadable_commit, event)
        # The first round has read ``commit`` itself.
        assert event is not None
        return event

    def read_event_files(self, commit: str) -> tuple[bytes, bytes | None]:
        """Return the bytes of ``event.json`` and ``body.json`` in a commit; the second is None in format 1.

        If the tree of the commit does not list the body that the event names, the body was never written.  Then
        its bytes are empty: this event is unreadable, but the other events can be read.  Raises KeyError if the
        commit, its ``event.json``, or a listed body is missing.
        """
        event_bytes = self._repository.read(f"{commit}:{EVENT_FILE}")
        if not event_files.names_body(event_bytes):
            return event_bytes, None
        try:
            return event_bytes, self._repository.read(f"{commit}:{BODY_FILE}")
        except KeyError:
            if BODY_FILE.encode() in self._repository.names_in(commit):
                raise
            return event_bytes, b""

    def damaged_event_error(self, commit: str) -> StorageError:
        """Return the error to raise if ``commit`` or a file of its event is missing."""
        return StorageError(
            "Journal event {commit} in {path} is damaged or missing. Nothing was changed. Restore the repository "
            "from a backup or a clone. To verify the archive, run: archiver verify",
            commit=commit[:12],
            path=self._repository.path,
        )

    def has_event(self, point: JournalPoint) -> bool:
        """Return True if this journal has the event that ``point`` names; False for an event of another history.

        A database derived from a journal records its newest event as such a point.
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
        event = None
        commits = self._repository.history(end_commit, commit)
        for event_commit, event_bytes, body_bytes in self._read_files_of_events(commits):
            try:
                event = parse_event(event_bytes, event_commit, body_bytes)
            except ValueError:
                # A stand-in needs the preceding event.  In the first round, that is the event in ``commit``, which
                # may be a stand-in itself.
                if event is None and commit is not None:
                    event = self.read_event(commit)
                event = make_stand_in_event(event_bytes, body_bytes, event_commit, event)
            yield event, event_bytes

    def _read_files_of_events(self, commits: Iterable[str]) -> Iterator[tuple[str, bytes, bytes | None]]:
        """Yield each commit with the bytes of its ``event.json`` and ``body.json``; None for an event of format 1.

        Raises StorageError, when the commit is reached, if a file is missing.
        """
        remaining_commits = iter(commits)
        while batch := list(islice(remaining_commits, _EVENTS_PER_REQUEST)):
            try:
                event_bytes_by_commit = self._read_file_of_commits(batch, EVENT_FILE)
                commits_with_body = [
                    commit for commit in batch if event_files.names_body(event_bytes_by_commit[commit])
                ]
                body_bytes_by_commit = self._read_file_of_commits(commits_with_body, BODY_FILE)
            except KeyError:
                # Read one by one, so that the events before the missing file are still yielded.
                yield from ((commit, *self._require_event_files(commit)) for commit in batch)
            else:
                for commit in batch:
                    yield commit, event_bytes_by_commit[commit], body_bytes_by_commit.get(commit)

    def _read_file_of_commits(self, commits: Sequence[str], file_name: str) -> dict[str, bytes]:
        """Return the bytes of the file ``file_name`` by commit, read in one request to git.

        Raises KeyError if a commit lacks the file.
        """
        contents = self._repository.read_many(f"{commit}:{file_name}" for commit in commits)
        return dict(zip(commits, contents, strict=True))

    def _require_event_files(self, commit: str) -> tuple[bytes, bytes | None]:
        """Read the files as :meth:`read_event_files` does, but raise StorageError if a file is missing."""
        try:
            return self.read_event_files(commit)
        except KeyError:
            raise self.damaged_event_error(commit) from None

    def events_with_changes_since(
        self, commit: str | None, tip: str | None = None
    ) -> Iterator[tuple[Event, Iterable[Change]]]:
        """Yield the events as :meth:`events_since` does, each with its changes; only a capture has any.

        A short list of changes is read ahead, together with those of other events, in one request to git.  A long
        list is read when the caller iterates over the changes.  That also raises the errors of
        :meth:`read_changes`.
        """
        events = self.events_since(commit, tip)
        while batch := list(islice(events, _EVENTS_PER_REQUEST)):
            list_bytes_by_seq = self._read_short_change_lists(batch)
            for event in batch:
                yield event, self.read_changes(event, list_bytes_by_seq.get(event.seq))

    def _read_short_change_lists(self, events: Sequence[Event]) -> dict[int, bytes]:
        """Return the bytes of the short lists of changes of ``events``, by the numbers of the events.

        Returns an empty dict if one of the lists is missing.
        """
        events_with_list = [event for event in events if any(map(_is_short_change_list, event.attachments))]
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
        if not _is_stated_attachment(event, name, attachment_bytes):
            raise self._damaged_attachment_error(event, name)
        return attachment_bytes

    def _read_unchecked_attachment(self, event: Event, name: str) -> bytes:
        """Return the bytes of an attachment without any check; raises StorageError if missing."""
        try:
            return self._repository.read(f"{event.commit}:{name}")
        except KeyError:
            raise self._damaged_attachment_error(event, name) from None

    def _damaged_attachment_error(self, event: Event, name: str) -> StorageError:
        """Return the error to raise if an attachment is missing, or has another digest than ``event`` states."""
        return StorageError(
            "{name} of journal event {seq} is damaged or missing. Nothing was changed. Restore the repository "
            "from a backup or a clone. To verify the archive, run: archiver verify",
            name=name,
            seq=event.seq,
        )

    def read_changes(self, event: Event, list_bytes: bytes | None = None) -> Iterator[Change]:
        """Yield the changes that ``event`` made; only a capture made any.

        ``list_bytes`` is the content of the event's ``changes.jsonl``; with None, the list is read from the
        repository.

        Errors are raised when a change is requested: StorageError if the list is missing; ValueError, KeyError or
        TypeError if the list is malformed, or has another digest than the event states.  Such an event was wrong
        when it was written, because git detects any later change of the bytes.
        """
        if all(item.name != CHANGES_FILE for item in event.attachments):
            return
        if list_bytes is None:
            list_bytes = self._read_unchecked_attachment(event, CHANGES_FILE)
        if not _is_stated_attachment(event, CHANGES_FILE, list_bytes):
            raise ValueError(f"{CHANGES_FILE} is another one")
        yield from parse_change_lines(list_bytes.splitlines())


def compute_compliance_time(newest_event: Event | None, time_reading: clock.ClockReading) -> datetime:
    """Return the time of the compliance clock at ``time_reading``, given the newest event of the journal.

    This clock decides retention, and nobody can set it forward (:mod:`archiver.clock`).  If there is no event yet,
    the clock starts with the wall time of ``time_reading``.
    """
    if newest_event is None:
        return time_reading.wall
    previous_time, previous_reading = clock.parse_evidence(newest_event.clock)
    return clock.advance_compliance_time(previous_time, previous_reading, time_reading)


def _is_stated_attachment(event: Event, name: str, data: bytes) -> bool:
    """Return True if ``event`` has an attachment of that name with the SHA-256 of ``data``."""
    digest = hashlib.sha256(data).hexdigest()
    return any(item.name == name and item.sha256 == digest for item in event.attachments)


def _is_short_change_list(attachment: Attachment) -> bool:
    """Return True if the attachment is a list of changes that is short enough to be read ahead."""
    return attachment.name == CHANGES_FILE and attachment.size <= _MAX_READ_AHEAD_BYTES
