"""``state.db``: what the watched folder looked like when it was last archived.

It may be lost at the price of reading every file again.  It is also where the
daemon leaves word for ``status``: what is pending, what was skipped and why.
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

#: In place of a signature: an empty folder.
FOLDER: Literal["folder"] = "folder"
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
    """A path with the reason why it is not archived: a code of ``path_reasons`` and the value in its sentence."""

    path: bytes
    code: str
    value: str = ""

    @property
    def reason(self) -> LazyMessage:
        """The reason, for a message; its ``str`` is English."""
        return reason_message(self.code, self.value)


def split(path: bytes) -> tuple[bytes, bytes]:
    """Folder and name of a relative path."""
    folder, _, name = path.rpartition(b"/")
    return folder, name


class Snapshot:
    """One open ``state.db``."""

    def __init__(self, path: Path, read_only: bool = False) -> None:
        """Open or make it; a damaged one is thrown away, which costs a full scan.

        ``read_only`` writes nothing, and shows an empty one where there is none.
        """
        self._path = path
        self._db = open_or_empty(path, _SCHEMA) if read_only else open_or_recreate(path, _SCHEMA, _SCHEMA_VERSION)
        self._identity = file_identity(path)

    @property
    def point(self) -> JournalPoint | None:
        """The journal event up to which the entries can be believed; None while there are none."""
        return read_point(self._db)

    @property
    def is_replaced(self) -> bool:
        """Whether another process has set the file aside that is open here."""
        return file_identity(self._path) != self._identity

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def folder(self, path: bytes) -> dict[bytes, State]:
        """The archived entries directly in one folder."""
        rows = self._db.execute(
            "select name, folder, size, mtime_ns, ctime_ns, inode from entries where dir = ?", (path,)
        )
        return {row[0]: FOLDER if row[1] else _signature(row[2:]) for row in rows}

    def get(self, path: bytes) -> State:
        """The archived state of one path."""
        row = self._db.execute(
            "select folder, size, mtime_ns, ctime_ns, inode from entries where dir = ? and name = ?",
            split(path),
        ).fetchone()
        if row is None:
            return None
        return FOLDER if row[0] else _signature(row[1:])

    def folders_below(self, path: bytes) -> list[bytes]:
        """Every folder at or below ``path`` that has archived entries."""
        if not path:
            rows = self._db.execute("select distinct dir from entries")
        else:
            rows = self._db.execute(
                "select distinct dir from entries where dir = ? or (dir > ? and dir < ?)",
                (path, path + b"/", path + b"0"),
            )
        return [row[0] for row in rows]

    def captured(self, prefix: bytes) -> str:
        """Up to which version (its tag) the entries below a submission's folder are complete; or empty."""
        row = self._db.execute("select tag from captured where prefix = ?", (prefix,)).fetchone()
        return "" if row is None else str(row[0])

    def captured_tags(self) -> dict[bytes, str]:
        """The same of every submission's folder."""
        return dict(self._db.execute("select prefix, tag from captured"))

    def distrust(self, prefix: bytes) -> None:
        """Let every file below ``prefix`` be read again: what the archive holds of it is not known."""
        states: dict[bytes, State] = {}
        for folder in self.folders_below(prefix):
            for name, state in self.folder(folder).items():
                if state != FOLDER:
                    states[folder + b"/" + name if folder else name] = StatData.unknown()
        self.record(states)
        with self._db:
            self._db.execute("delete from captured where prefix = ?", (prefix,))

    def record(
        self,
        states: Mapping[bytes, State],
        prefix: bytes = b"",
        before: str = "",
        tag: str = "",
        commit: str = "",
        point: JournalPoint | None = None,
    ) -> None:
        """Remember the archived states; None forgets a path.

        ``tag``: the version below ``prefix`` that this completes (its ``commit``), if the entries
        were complete up to ``before``; if not, they stay so until :func:`seed`.
        ``point``: the journal's newest event: a journal without it is not the one that holds these files.
        """
        with self._db:
            if point is not None:
                write_point(self._db, point)
            if tag and self.captured(prefix) == before:
                self._db.execute("insert or replace into captured values (?, ?, ?)", (prefix, tag, commit))
            self._db.executemany(
                "delete from entries where dir = ? and name = ?",
                (split(path) for path, state in states.items() if state is None),
            )
            self._db.executemany(
                "insert or replace into entries values (?, ?, ?, ?, ?, ?, ?)",
                (_row(path, state) for path, state in states.items() if state is not None),
            )
            self._db.executemany(
                "delete from skipped where path = ? and source = 'read'", ((path,) for path in states)
            )

    # --- word for status

    def note_scan(self, start: bytes, skipped: Iterable[SkippedPath], changed: Container[bytes]) -> None:
        """Replace what the last scan below ``start`` skipped.

        A file that could not be read before, and is not in ``changed`` now, has gone.
        """
        place = "(? = x'' or path = ? or (path > ? and path < ?))"
        values = (start, start, start + b"/", start + b"0")
        with self._db:
            self._db.execute(f"delete from skipped where source = 'scan' and {place}", values)
            unread = self._db.execute(f"select path from skipped where source = 'read' and {place}", values)
            self._db.executemany(
                "delete from skipped where path = ?", [row for row in unread.fetchall() if row[0] not in changed]
            )
            self._note(skipped, "scan")

    def note_unreadable(self, skipped: Iterable[SkippedPath]) -> None:
        """Add files that could not be read; they are tried again at every scan."""
        with self._db:
            self._note(skipped, "read")

    def _note(self, skipped: Iterable[SkippedPath], source: str) -> None:
        self._db.executemany(
            "insert or replace into skipped values (?, ?, ?, ?)",
            ((item.path, item.code, item.value, source) for item in skipped),
        )

    def skipped(self) -> list[SkippedPath]:
        """Everything that is not archived, and why."""
        rows = self._db.execute("select path, template, value from skipped order by path")
        return [SkippedPath(path, code_of_stored(word), value) for path, word, value in rows]

    def note_pending(self, pending: Iterable[tuple[SkippedPath, str]]) -> None:
        """Replace the list of what is still to be archived; with the time since when."""
        with self._db:
            self._db.execute("delete from pending")
            self._db.executemany(
                "insert into pending values (?, ?, ?, ?)",
                ((item.path, since, item.code, item.value) for item, since in pending),
            )

    def pending(self) -> list[tuple[SkippedPath, str]]:
        """What is still to be archived."""
        rows = self._db.execute("select path, template, value, since from pending order by path")
        return [(SkippedPath(path, code_of_stored(word), value), since) for path, word, value, since in rows]

    def set_meta(self, key: str, value: str) -> None:
        """Leave a word under ``key``."""
        with self._db:
            self._db.execute("insert or replace into meta values (?, ?)", (key, value))

    def meta(self, key: str) -> str:
        """The word under ``key``, or an empty one."""
        row = self._db.execute("select value from meta where key = ?", (key,)).fetchone()
        return "" if row is None else str(row[0])


def open_snapshot(archive: Archive, wait_seconds: float) -> Snapshot:
    """Open the archive's ``state.db`` for writing; one of another history is set aside.

    What was archived by a history that was lost must not count as archived: the folder is read in full.
    Raises Busy and StorageError as :meth:`Archive.writing` does; of a damaged journal nothing is set aside.
    """
    path = archive.root / "state.db"
    snapshot = Snapshot(path)
    if not is_foreign(archive, snapshot):
        return snapshot
    snapshot.close()
    with archive.writing(wait_seconds):
        set_aside.set_aside(archive.root, path.name)
    return Snapshot(path)


def is_foreign(archive: Archive, snapshot: Snapshot) -> bool:
    """Whether the entries tell of a history that is not the journal's; raises JournalDamaged where none tells."""
    if (damage := archive.journal_damage()) is not None:
        raise damage
    point = snapshot.point
    return point is not None and not archive.has_event(point)


def _signature(row: tuple[int | bytes, ...]) -> StatData:
    # A scan makes one for each of a million files, and hardly one has numbers that need it.
    if bytes in map(type, row):
        row = tuple(map(read_integer, row))
    return tuple.__new__(StatData, row)


def _row(path: bytes, state: StatData | Literal["folder"]) -> tuple[object, ...]:
    if isinstance(state, StatData):
        return (*split(path), 0, *map(stored_integer, state))
    return (*split(path), 1, 0, 0, 0, 0)
