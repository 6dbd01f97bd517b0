"""``replica.db``: the objects known to be in the bucket, and the progress of the last sync.

The database is derived data. If it is lost, the next sync lists the bucket and records the objects again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from archiver import clock
from archiver.model import JournalPoint
from archiver.replica.bucket_settings import BucketSettings
from archiver.store.archive import Archive
from archiver.store.sqlite import (
    IN_MEMORY,
    open_or_recreate,
    open_read_only_or_empty,
    read_journal_point,
    write_journal_point,
)

_SCHEMA_VERSION = 3
#: The last code point of Unicode. No key contains it, so a prefix followed by it sorts after all keys with the
#: prefix.
_LAST_CHARACTER = "\U0010ffff"
_SCHEMA = """
create table objects (
    key text primary key, version text not null, size integer not null, until text, held integer not null)
    without rowid;
create table unsent (key text primary key, size integer not null, waited real not null) without rowid;
create table meta (key text primary key, value text not null) without rowid;
"""
# Keys of the table meta. The value of a key without a row is read as an empty string.
#: "1" after the bucket was listed completely.
_LISTED_KEY = "listed"
#: "1" from the beginning of a sync until its successful end, so also after a failed sync.
_UNFINISHED_KEY = "unfinished"
#: When a sync last completed (RFC 3339).
_SYNCED_AT_KEY = "synced_at"
#: The number of the newest event in the bucket.
_LAST_SENT_EVENT_KEY = "sent"
#: The address of the bucket that has the objects. The meta keys of the journal point are those of
#: :mod:`archiver.store.sqlite`.
_BUCKET_KEY = "bucket"
#: The clock reading at which the column ``waited`` of the table unsent was computed, as JSON.
_MEASURED_AT_KEY = "clocks"


class ReplicatedObject(NamedTuple):
    """An object known to be in the bucket: the archive's own version of the object."""

    version_id: str
    #: In bytes.
    size: int
    #: None for an object without a lock.
    locked_until: datetime | None
    has_legal_hold: bool


class UnsentContent(NamedTuple):
    """A content object that the last sync did not send, because of the grace period or a failure."""

    #: In bytes.
    size: int
    #: How long the content had waited at the clock reading from :meth:`ReplicaState.waits_measured_at`.
    waited: timedelta


def replica_state_path(archive_root: Path) -> Path:
    """Return the path of the database in the archive at ``archive_root``."""
    return archive_root / "replica.db"


class ReplicaState:
    """An open ``replica.db``. The caller closes it with :meth:`close`.

    Not safe to use from several threads. Each method commits before it returns, so a crash loses at most the last
    call.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open or create the database.

        With ``read_only`` nothing is written, and a database that is missing, damaged, of another schema version,
        or just being created counts as empty. Otherwise a damaged database, or one of another schema version, is
        deleted and created again.

        Raises sqlite3.Error for any other failure.
        """
        self._database = (
            open_read_only_or_empty(path, _SCHEMA, _SCHEMA_VERSION)
            if read_only
            else open_or_recreate(path, _SCHEMA, _SCHEMA_VERSION)
        )

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    @classmethod
    def empty(cls) -> ReplicaState:
        """Return a state without any records, which is in memory and can only be read."""
        return cls(IN_MEMORY, read_only=True)

    # --- the archive and the bucket

    @property
    def journal_point(self) -> JournalPoint | None:
        """The event that was the journal's newest at the last :meth:`bind`; None before the first call."""
        return read_journal_point(self._database)

    @property
    def bucket_address(self) -> str:
        """The address of the bucket given to the last :meth:`bind`; empty before the first call."""
        return self._read_meta(_BUCKET_KEY)

    def bind(self, point: JournalPoint, bucket_address: str) -> None:
        """Record that the records belong to the journal with the event ``point``, and to a bucket."""
        with self._database:
            write_journal_point(self._database, point)
            self._database.execute(
                "insert or replace into meta (key, value) values (?, ?)", (_BUCKET_KEY, bucket_address)
            )

    def forget_everything(self) -> None:
        """Delete all records, so that the next sync lists the bucket."""
        with self._database:
            for table in ("objects", "unsent", "meta"):
                self._database.execute(f"delete from {table}")

    # --- objects

    def objects_below(self, prefix: str) -> dict[str, ReplicatedObject]:
        """Return the recorded objects whose keys begin with ``prefix``, or all if it is empty, by key."""
        object_rows = self._database.execute(
            "select key, version, size, until, held from objects where key >= ? and key < ?",
            (prefix, prefix + _LAST_CHARACTER),
        )
        return {
            key: _build_object(version_id, size, locked_until, has_legal_hold)
            for key, version_id, size, locked_until, has_legal_hold in object_rows
        }

    def find_object(self, key: str) -> ReplicatedObject | None:
        """Return the recorded object with this key, or None without a record."""
        query = "select version, size, until, held from objects where key = ?"
        object_row = self._database.execute(query, (key,)).fetchone()
        return None if object_row is None else _build_object(*object_row)

    def record_objects(self, objects: Iterable[tuple[str, ReplicatedObject]]) -> None:
        """Record ``objects``, pairs of a key and an object. An earlier record with the same key is replaced."""
        object_rows = (
            (
                key,
                replicated.version_id,
                replicated.size,
                clock.format_time(replicated.locked_until) if replicated.locked_until else None,
                replicated.has_legal_hold,
            )
            for key, replicated in objects
        )
        with self._database:
            self._database.executemany(
                "insert or replace into objects (key, version, size, until, held) values (?, ?, ?, ?, ?)",
                object_rows,
            )

    def delete_object_records(self, keys: Iterable[str]) -> None:
        """Delete the records of the objects with these keys. Keys without a record are ignored."""
        with self._database:
            self._database.executemany("delete from objects where key = ?", ((key,) for key in keys))

    # --- content that waits

    def unsent_content(self) -> dict[str, UnsentContent]:
        """Return the content that the last sync held back or failed to send, by key.

        Content that was recorded as an object in the meantime is left out.
        """
        unsent_rows = self._database.execute(
            "select key, size, waited from unsent where key not in (select key from objects)"
        )
        return {key: UnsentContent(size, timedelta(seconds=waited)) for key, size, waited in unsent_rows}

    def waits_measured_at(self) -> clock.ClockReading | None:
        """Return the clock reading at which the waits of :meth:`unsent_content` were computed.

        Returns None before the first sync.
        """
        stored_clocks = self._read_meta(_MEASURED_AT_KEY)
        return clock.parse_evidence(json.loads(stored_clocks)).reading if stored_clocks else None

    def record_unsent(self, unsent: Mapping[str, UnsentContent], measured_at: clock.ClockReading) -> None:
        """Replace all records of unsent content by ``unsent``, whose waits were computed at ``measured_at``."""
        unsent_rows = ((key, content.size, content.waited.total_seconds()) for key, content in unsent.items())
        stored_clocks = json.dumps(clock.make_evidence(measured_at.wall, measured_at))
        with self._database:
            self._database.execute("delete from unsent")
            self._database.executemany("insert into unsent (key, size, waited) values (?, ?, ?)", unsent_rows)
            self._database.execute(
                "insert or replace into meta (key, value) values (?, ?)", (_MEASURED_AT_KEY, stored_clocks)
            )

    # --- progress

    def has_complete_records(self) -> bool:
        """Return True if the bucket was listed completely and every sync since then succeeded."""
        return bool(self._read_meta(_LISTED_KEY)) and not self._read_meta(_UNFINISHED_KEY)

    def mark_bucket_listed(self) -> None:
        """Record that the listing of the bucket is complete."""
        self._set_meta({_LISTED_KEY: "1"})

    def begin_sync(self) -> None:
        """Record that a sync has begun. Until :meth:`finish_sync`, the records count as incomplete."""
        self._set_meta({_UNFINISHED_KEY: "1"})

    def finish_sync(self, finished_at: datetime) -> None:
        """Record that a sync completed at ``finished_at``, and that the records are complete."""
        self._set_meta({_UNFINISHED_KEY: "", _SYNCED_AT_KEY: clock.format_time(finished_at)})

    def last_sync_time(self) -> str | None:
        """Return when a sync last completed (RFC 3339), or None if no sync ever did."""
        return self._read_meta(_SYNCED_AT_KEY) or None

    def last_sent_event(self) -> int:
        """Return the number of the newest event in the bucket, or 0 if none was sent yet."""
        return int(self._read_meta(_LAST_SENT_EVENT_KEY) or 0)

    def set_last_sent_event(self, seq: int) -> None:
        """Record the number of the newest event in the bucket."""
        self._set_meta({_LAST_SENT_EVENT_KEY: str(seq)})

    def _read_meta(self, key: str) -> str:
        """Return a value of the table meta, or an empty string if the key has no row."""
        meta_row = self._database.execute("select value from meta where key = ?", (key,)).fetchone()
        return "" if meta_row is None else str(meta_row[0])

    def _set_meta(self, entries: dict[str, str]) -> None:
        """Write ``entries``, a value for each key, to the table meta. Either all entries are committed or none."""
        with self._database:
            self._database.executemany("insert or replace into meta (key, value) values (?, ?)", entries.items())


def _build_object(version_id: str, size: int, locked_until: str | None, has_legal_hold: int) -> ReplicatedObject:
    """Build an object from a row. ``locked_until`` is RFC 3339 or None, and ``has_legal_hold`` is 0 or 1."""
    return ReplicatedObject(
        version_id, size, clock.parse_time(locked_until) if locked_until else None, bool(has_legal_hold)
    )


def open_state(archive: Archive, settings: BucketSettings, *, read_only: bool = False) -> ReplicaState:
    """Open ``replica.db``, for the caller to close.

    The returned state is empty if the records belong to another archive, to another history of this archive, or to
    another bucket: with such records, content would never be sent. The records are deleted, unless ``read_only``
    is set.

    Raises sqlite3.Error if the file cannot be used, StorageError if the journal cannot be read.
    """
    state = ReplicaState(replica_state_path(archive.root), read_only=read_only)
    bucket_address = f"{settings.endpoint_url} {settings.url}"
    recorded_point, newest_point = state.journal_point, archive.index.journal_point
    are_records_valid = (
        recorded_point is not None
        and state.bucket_address == bucket_address
        # A damaged journal cannot be searched for the event. Nothing is sent then, so the records do no harm.
        and (archive.journal_damage() is not None or archive.journal.has_event(recorded_point))
    )
    if read_only:
        if are_records_valid:
            return state
        state.close()
        return ReplicaState.empty()
    if not are_records_valid:
        state.forget_everything()
    if newest_point is not None:
        state.bind(newest_point, bucket_address)
    return state
