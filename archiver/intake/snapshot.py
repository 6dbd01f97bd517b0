"""Keep ``state.db``: the state of the watched folder when each file was last archived.

The database may be lost at the price of reading every file again.  The daemon also leaves messages for ``status``
there: pending paths, and skipped paths with the reason.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from archiver.errors import LazyMessage
from archiver.intake.path_reasons import code_of_stored, reason_message
from archiver.model import JournalPoint
from archiver.store.archive import Archive
from archiver.store.content.source import StatData
from archiver.store.repair import set_aside
from archiver.store.sqlite import (
    file_identity,
    open_or_empty,
    open_or_recreate,
    read_integer,
    read_point,
    stored_integer,
    write_point,
)

#: The state of an empty folder, which has no signature.
FOLDER: Literal["folder"] = "folder"
#: The state of a path: a file's signature, an empty folder, or None for a path without either.
State = StatData | Literal["folder"] | None

#: A column ``template`` holds a code; it is called after the sentences that earlier releases kept there.
_SCHEMA_VERSION = 3
_SCHEMA = """
create table entries (dir blob, name blob, folder integer, size integer, mtime_ns integer,
    ctime_ns integer, inode integer, primary key (dir, name)) without rowid;
create table captured (prefix blob primary key, tag text not null, "commit" text not null) without rowid;
create table skipped (path blob primary key, template text, value text, source text) without rowid;
create table pending (path blob primary key, since text, template text, value text) without rowid;
create table meta (key text primary key, value text) without rowid;
"""


@dataclass(frozen=True, slots=True)
class SkippedPath:
    """A path that is not archived, with the reason."""

    path: bytes
    code: str  # of ``path_reasons``
    value: str = ""  # in the sentence of the code

    @property
    def reason(self) -> LazyMessage:
        """Return the reason for people; ``str`` of the message is English."""
        return reason_message(self.code, self.value)


def split_path(path: bytes) -> tuple[bytes, bytes]:
    """Return folder and name of a relative path."""
    folder, _, name = path.rpartition(b"/")
    return folder, name


class Snapshot:
    """An open ``state.db``, for the thread that opened it; the owner ends it with :meth:`close`."""

    def __init__(self, path: Path, read_only: bool = False) -> None:
        """Open the database, or make a new one; a damaged file is thrown away, which costs a full scan.

        With ``read_only`` nothing is written, and a missing or damaged file looks like an empty database.

        Raises sqlite3.DatabaseError for any other problem.
        """
        self._path = path
        self._database = (
            open_or_empty(path, _SCHEMA) if read_only else open_or_recreate(path, _SCHEMA, _SCHEMA_VERSION)
        )
        self._file_identity = file_identity(path)

    @property
    def point(self) -> JournalPoint | None:
        """Return the journal event up to which the entries can be believed; None without entries."""
        return read_point(self._database)

    @property
    def is_replaced(self) -> bool:
        """Return True if another process has set aside the file that is open here."""
        return file_identity(self._path) != self._file_identity

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def folder_entries(self, path: bytes) -> dict[bytes, State]:
        """Return the archived state of each name directly in a folder."""
        rows = self._database.execute(
            "select name, folder, size, mtime_ns, ctime_ns, inode from entries where dir = ?", (path,)
        )
        return {row[0]: FOLDER if row[1] else _stat_data(row[2:]) for row in rows}

    def archived_state(self, path: bytes) -> State:
        """Return the archived state of a path."""
        row = self._database.execute(
            "select folder, size, mtime_ns, ctime_ns, inode from entries where dir = ? and name = ?",
            split_path(path),
        ).fetchone()
        if row is None:
            return None
        return FOLDER if row[0] else _stat_data(row[1:])

    def folders_below(self, path: bytes) -> list[bytes]:
        """Return every folder with archived entries at or below ``path``."""
        if not path:
            rows = self._database.execute("select distinct dir from entries")
        else:
            rows = self._database.execute(
                "select distinct dir from entries where dir = ? or (dir > ? and dir < ?)",
                (path, path + b"/", path + b"0"),
            )
        return [row[0] for row in rows]

    def captured_tag(self, prefix: bytes) -> str:
        """Return the tag of the version up to which the entries below a submission's folder are complete.

        Empty if they never were.
        """
        row = self._database.execute("select tag from captured where prefix = ?", (prefix,)).fetchone()
        return "" if row is None else str(row[0])

    def captured_tags(self) -> dict[bytes, str]:
        """Return the tags of :meth:`captured_tag` by submission's folder."""
        return dict(self._database.execute("select prefix, tag from captured"))

    def distrust(self, prefix: bytes) -> None:
        """Let every file below ``prefix`` be read again, since the archived content is not known."""
        states: dict[bytes, State] = {}
        for folder in self.folders_below(prefix):
            for name, state in self.folder_entries(folder).items():
                if state != FOLDER:
                    states[folder + b"/" + name if folder else name] = StatData.unknown()
        self.record(states)
        with self._database:
            self._database.execute("delete from captured where prefix = ?", (prefix,))

    def record(
        self,
        states: Mapping[bytes, State],
        prefix: bytes = b"",
        previous_tag: str = "",
        tag: str = "",
        commit: str = "",
        point: JournalPoint | None = None,
    ) -> None:
        """Remember archived states, in a transaction; the state None forgets a path.

        ``tag`` and ``commit`` are those of the version below ``prefix`` that the states complete.  They are noted
        only if the entries were complete up to ``previous_tag``; otherwise entries are missing until
        :func:`archiver.intake.seed_snapshot.seed_snapshot` adds them.  ``point`` is the journal's newest event: a
        journal without this event is not the one that holds these files.
        """
        with self._database:
            if point is not None:
                write_point(self._database, point)
            if tag and self.captured_tag(prefix) == previous_tag:
                self._database.execute("insert or replace into captured values (?, ?, ?)", (prefix, tag, commit))
            self._database.executemany(
                "delete from entries where dir = ? and name = ?",
                (split_path(path) for path, state in states.items() if state is None),
            )
            self._database.executemany(
                "insert or replace into entries values (?, ?, ?, ?, ?, ?, ?)",
                (_entry_row(path, state) for path, state in states.items() if state is not None),
            )
            self._database.executemany(
                "delete from skipped where path = ? and source = 'read'", ((path,) for path in states)
            )

    # --- messages for status

    def note_scan(self, start: bytes, skipped: Iterable[SkippedPath], changed: Container[bytes]) -> None:
        """Replace the paths that the last scan below ``start`` skipped.

        A file that could not be read before, and is not in ``changed`` now, has gone.
        """
        at_or_below_start = "(? = x'' or path = ? or (path > ? and path < ?))"
        # The byte after a slash is "0": everything below a folder lies between the two.
        start_bounds = (start, start, start + b"/", start + b"0")
        with self._database:
            self._database.execute(
                f"delete from skipped where source = 'scan' and {at_or_below_start}", start_bounds
            )
            unreadable_rows = self._database.execute(
                f"select path from skipped where source = 'read' and {at_or_below_start}", start_bounds
            )
            self._database.executemany(
                "delete from skipped where path = ?",
                [row for row in unreadable_rows.fetchall() if row[0] not in changed],
            )
            self._add_skipped(skipped, "scan")

    def note_unreadable(self, skipped: Iterable[SkippedPath]) -> None:
        """Add files that could not be read, for another attempt at every scan."""
        with self._database:
            self._add_skipped(skipped, "read")

    def _add_skipped(self, skipped: Iterable[SkippedPath], source: str) -> None:
        self._database.executemany(
            "insert or replace into skipped values (?, ?, ?, ?)",
            ((item.path, item.code, item.value, source) for item in skipped),
        )

    def skipped(self) -> list[SkippedPath]:
        """Return every path that is not archived, with the reason."""
        rows = self._database.execute("select path, template, value from skipped order by path")
        return [SkippedPath(path, code_of_stored(stored_reason), value) for path, stored_reason, value in rows]

    def note_pending(self, pending: Iterable[tuple[SkippedPath, str]]) -> None:
        """Replace the list of paths still to be archived, each with the time since when."""
        with self._database:
            self._database.execute("delete from pending")
            self._database.executemany(
                "insert into pending values (?, ?, ?, ?)",
                ((item.path, pending_since, item.code, item.value) for item, pending_since in pending),
            )

    def pending(self) -> list[tuple[SkippedPath, str]]:
        """Return the paths still to be archived, each with the time since when."""
        rows = self._database.execute("select path, template, value, since from pending order by path")
        return [
            (SkippedPath(path, code_of_stored(stored_reason), value), pending_since)
            for path, stored_reason, value, pending_since in rows
        ]

    def set_meta(self, key: str, value: str) -> None:
        """Keep a text under ``key``, in place of any other."""
        with self._database:
            self._database.execute("insert or replace into meta values (?, ?)", (key, value))

    def meta(self, key: str) -> str:
        """Return the text under ``key``; empty without one."""
        row = self._database.execute("select value from meta where key = ?", (key,)).fetchone()
        return "" if row is None else str(row[0])


def open_snapshot(archive: Archive, lock_timeout: float) -> Snapshot:
    """Open the archive's ``state.db`` for writing; a database of another history is set aside.

    Files archived only by a lost history must not count as archived: the folder is read in full again.

    Raises Busy and StorageError as :meth:`Archive.writing` does, JournalDamaged for a damaged journal; nothing is
    set aside then.
    """
    path = archive.root / "state.db"
    snapshot = Snapshot(path)
    if not is_foreign(archive, snapshot):
        return snapshot
    snapshot.close()
    with archive.writing(lock_timeout):
        set_aside.set_aside(archive.root, path.name)
    return Snapshot(path)


def is_foreign(archive: Archive, snapshot: Snapshot) -> bool:
    """Return True if the entries belong to another history than the journal's.

    Raises JournalDamaged if the journal cannot answer that.
    """
    if (damage := archive.journal_damage()) is not None:
        raise damage
    point = snapshot.point
    return point is not None and not archive.has_event(point)


def _stat_data(row: tuple[int | bytes, ...]) -> StatData:
    # A scan makes one for each of a million files, and hardly one has numbers that need it.
    if bytes in map(type, row):
        row = tuple(map(read_integer, row))
    return tuple.__new__(StatData, row)


def _entry_row(path: bytes, state: StatData | Literal["folder"]) -> tuple[object, ...]:
    if isinstance(state, StatData):
        return (*split_path(path), 0, *map(stored_integer, state))
    return (*split_path(path), 1, 0, 0, 0, 0)
