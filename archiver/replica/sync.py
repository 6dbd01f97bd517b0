"""Bringing the bucket up to what the archive holds: send, lock, hold, and delete what was disposed of.

Content first, history after it: whatever the history in the bucket names, the bucket has.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TypeVar

from archiver import clock
from archiver.errors import Phrase, StorageProblem
from archiver.existence import is_there
from archiver.replica import object_names
from archiver.replica.bucket import Bucket, BucketProblem, Refused
from archiver.replica.bundles import bundle
from archiver.replica.desired_objects import Wanted, history, is_short, lock_date, wanted
from archiver.replica.known_objects import Known, State
from archiver.replica.lock_probe import claim
from archiver.retention.policy import Policy
from archiver.store import lock
from archiver.store.archive import Archive

_BATCH = 500
_Item = TypeVar("_Item")
_Done = TypeVar("_Done")

#: Called with the bytes that were sent, and those there are to send.
Progress = Callable[[int, int], None]


class SecondWriter(BucketProblem):
    """Another archive, or another copy of this one, writes under the same prefix."""


class Ended(Exception):
    """The service ends; what is missing is sent next time."""


@dataclass(slots=True)
class SyncResult:
    """What one run did.  ``locked``: disposed of here, but locked there until then."""

    sent: int = 0
    sent_bytes: int = 0
    #: Key and new end of each lock that was moved.
    extended: list[tuple[str, datetime]] = field(default_factory=list)
    holds: int = 0
    deleted: int = 0
    locked: list[tuple[str, datetime]] = field(default_factory=list)
    #: What neither the disk nor the bucket has as it should be: content, and why.
    missing: list[str] = field(default_factory=list)


class Replicator:
    """One archive and its bucket."""

    def __init__(
        self,
        archive: Archive,
        bucket: Bucket,
        state: State,
        *,
        has_lock: bool,
        parallel: int,
        stopping: threading.Event | None = None,
        progress: Progress = lambda _done, _total: None,
    ) -> None:
        self._archive, self._bucket, self._state = archive, bucket, state
        self._has_lock = has_lock
        self._parallel = parallel
        self._stopping = stopping or threading.Event()
        self._progress = progress
        self._done = SyncResult()
        self._may_release = False

    def sync(self, policy: Policy, wait_seconds: float) -> SyncResult:
        """Send what is missing, move locks and holds, delete what may go.

        Raises BucketProblem, SecondWriter, and Busy where another process is at it for longer than that.
        """
        with lock.hold(self._archive.root / "replica.lock", wait_seconds):
            return self._sync(policy)

    def _sync(self, policy: Policy) -> SyncResult:
        index = self._archive.index
        head = index.head
        # An event that is not understood may be a hold: until it is, no hold is lifted and nothing deleted.
        self._may_release = not index.unread()
        now = clock.read().wall
        contents = wanted(index, policy, self._archive.compliance_time())
        self._adopt(now)
        self._state.set_meta("unfinished", "1")
        known = self._state.objects(object_names.OBJECTS)
        self._send(contents, known, now)
        self._lock(contents, now)
        self._send_history(head, history(contents, now), now)
        self._delete(contents, now)
        self._state.set_meta("unfinished", "")
        self._state.set_meta("synced_at", clock.stamp(clock.read().wall))
        return self._done

    # --- what is there already

    def _adopt(self, now: datetime) -> None:
        """After a crash, or with a new ``replica.db``: what the bucket has is not sent again."""
        if self._state.meta("listed") and not self._state.meta("unfinished"):
            return
        known = set(self._state.objects(""))
        found = (
            each
            for each in self._bucket.versions(object_names.OBJECTS)
            if not each.is_marker and each.key not in known
        )
        for batch in _batches(found, _BATCH):
            # Of several versions the oldest is ours: whoever came later could only add.
            oldest = {each.key: each for each in reversed(batch) if each.key not in known}
            known |= oldest.keys()
            heads = self._each(lambda each: self._bucket.head(each.key, each.version), oldest.values())
            self._state.record(
                (each.key, Known(each.version, each.size, head.locked_until, head.held))
                for each, head in zip(oldest.values(), heads, strict=True)
                if head is not None and head.sha256 == object_names.content_of(each.key)
            )
        until = lock_date(history({}, now), now) if self._has_lock else None
        claimed = claim(self._bucket, self._archive.index.archive_id, until)
        self._state.record([claimed])
        self._state.set_meta("listed", "1")

    # --- content

    def _send(self, contents: dict[str, Wanted], known: dict[str, Known], now: datetime) -> None:
        missing = [
            (sha256, each)
            for sha256, each in contents.items()
            if (there := known.get(object_names.content_key(sha256))) is None or there.size != each.size
        ]
        total, done = sum(each.size for _, each in missing), 0
        for batch in _batches(iter(missing), _BATCH):
            results = self._each(lambda item: self._send_one(*item, now), batch)
            sent = [
                (object_names.content_key(sha256), found)
                for (sha256, _), found in zip(batch, results, strict=True)
                if found
            ]
            self._state.record(sent)
            self._done.sent += len(sent)
            self._done.sent_bytes += sum(found.size for _, found in sent)
            done += sum(each.size for _, each in batch)
            self._progress(done, total)

    def _send_one(self, sha256: str, each: Wanted, now: datetime) -> Known | None:
        path = self._archive.content.path(sha256)
        if not is_there(path):
            # Gone here: verify tells of it.
            self._done.missing.append(sha256)
            return None
        return self._put(object_names.content_key(sha256), path, sha256, each, now)

    def _put(self, key: str, path: Path, sha256: str, each: Wanted, now: datetime) -> Known:
        until = lock_date(each, now) if self._has_lock else None
        version = self._bucket.put(key, path, sha256, until)
        if each.held and self._has_lock:
            self._bucket.hold(key, version, on=True)
        return Known(version, path.stat().st_size, until, each.held and self._has_lock)

    # --- locks and holds

    def _lock(self, contents: dict[str, Wanted], now: datetime) -> None:
        if not self._has_lock:
            return
        known = self._state.objects(object_names.OBJECTS)
        work = [
            (key, known[key], each)
            for key, each in ((object_names.content_key(sha256), each) for sha256, each in contents.items())
            if key in known and (is_short(known[key].until, each, now) or self._moves_hold(known[key], each))
        ]
        for batch in _batches(iter(work), _BATCH):
            self._state.record(
                zip(
                    (key for key, _, _ in batch),
                    self._each(lambda item: self._strengthen(*item, now), batch),
                    strict=True,
                )
            )

    def _strengthen(self, key: str, there: Known, each: Wanted, now: datetime) -> Known:
        until = there.until
        if is_short(until, each, now):
            until = lock_date(each, now)
            self._bucket.lock(key, there.version, until)
            self._done.extended.append((key, until))
        held = there.held
        if self._moves_hold(there, each):
            held = each.held
            self._bucket.hold(key, there.version, on=held)
            self._done.holds += 1
        return Known(there.version, there.size, until, held)

    def _moves_hold(self, there: Known, each: Wanted) -> bool:
        return there.held != each.held and (each.held or self._may_release)

    # --- history

    def _send_history(self, head: str | None, each: Wanted, now: datetime) -> None:
        known = self._state.objects(object_names.HISTORY)
        spans = {key: span for key in known if (span := object_names.span_of(key))}
        last = max(spans.values(), key=lambda span: span.last, default=None)
        last = self._take_in_bundles(last)
        if head is not None and (last is None or self._archive.journal.event(head).seq > last.last):
            with bundle(self._archive, last.head if last else None, head) as (span, path, sha256):
                found = self._put(object_names.bundle_key(span), path, sha256, each, now)
                self._state.record([(object_names.bundle_key(span), found)])
                self._done.sent_bytes += found.size
                last = span
        if last is not None:
            self._state.set_meta("seq", str(last.last))
        if self._has_lock:
            known |= self._state.objects(object_names.IDENTITY)
            short = [(key, there, each) for key, there in known.items() if is_short(there.until, each, now)]
            moved = self._each(lambda item: self._strengthen(*item, now), short)
            self._state.record(zip((key for key, _, _ in short), moved, strict=True))

    def _take_in_bundles(self, last: object_names.EventSpan | None) -> object_names.EventSpan | None:
        """Bundles behind the last one that is known: ours from before a crash, or those of a second writer."""
        after = object_names.bundle_key(last) if last else ""
        for found in self._bucket.versions(object_names.HISTORY, after):
            span = object_names.span_of(found.key)
            if found.is_marker or self._state.object(found.key) is not None:
                continue
            if span is None or not self._is_ours(span):
                raise SecondWriter(
                    "{key} in the bucket was not written by this archive. Nothing was sent and nothing was lost. "
                    "Each archive needs a prefix of its own: look who else writes there, or begin a new one with "
                    "archiver replica init.",
                    key=found.key,
                )
            head = self._bucket.head(found.key, found.version)
            if head is not None:
                self._state.record([(found.key, Known(found.version, found.size, head.locked_until, head.held))])
                last = span if last is None or span.last > last.last else last
        return last

    def _is_ours(self, span: object_names.EventSpan) -> bool:
        try:
            return self._archive.journal.event(span.head).seq == span.last
        except StorageProblem:
            return False

    # --- disposal

    def _delete(self, contents: dict[str, Wanted], now: datetime) -> None:
        """What no version needs any more was disposed of here: it goes there too, once its lock has ended."""
        if not self._may_release:
            return
        gone = []
        for key, there in self._state.objects(object_names.OBJECTS).items():
            sha256 = object_names.content_of(key)
            if sha256 is None or sha256 in contents:
                continue
            if there.held:
                self._bucket.hold(key, there.version, on=False)
            if there.until is not None and there.until > now:
                self._done.locked.append((sha256, there.until))
                continue
            try:
                self._bucket.delete(key, there.version)
            except Refused:
                self._done.locked.append((sha256, there.until or now))
                continue
            gone.append(key)
        self._state.forget(gone)
        self._done.deleted += len(gone)

    # --- inside

    def _each(self, work: Callable[[_Item], _Done], items: Iterable[_Item]) -> list[_Done]:
        """In parallel; the first failure is raised once what is on its way has arrived and ends the rest."""
        failed = threading.Event()

        def one(item: _Item) -> _Done:
            if self._stopping.is_set() or failed.is_set():
                raise Ended
            try:
                return work(item)
            except BaseException:
                failed.set()
                raise

        with ThreadPoolExecutor(self._parallel) as pool:
            futures = [pool.submit(one, item) for item in items]
        # Whoever gave up because another failed is not what has to be told.
        errors = [error for future in futures if (error := future.exception()) is not None]
        for error in errors:
            if not isinstance(error, Ended):
                raise error
        if errors:
            raise errors[0]
        return [future.result() for future in futures]


def _batches(items: Iterable[_Item], count: int) -> Iterator[list[_Item]]:
    waiting = iter(items)
    while batch := list(islice(waiting, count)):
        yield batch


def described(outcome: SyncResult) -> Phrase:
    """One sentence on what was done."""
    return Phrase(
        "Sent {sent} objects ({megabytes} MB), moved {extended} locks and {holds} holds, deleted {deleted}.",
        sent=outcome.sent,
        megabytes=f"{outcome.sent_bytes / 1e6:.1f}",
        extended=len(outcome.extended),
        holds=outcome.holds,
        deleted=outcome.deleted,
    )
