"""Keep ``state.db``: the state of each path of the watched folder when it was last archived.

If the database is lost, every file is read again, and no other harm is done.  The daemon also stores information
for ``archiver status`` there: pending paths, and skipped paths, each with the reason.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from archiver.errors import LazyMessage
from archiver.intake.path_reasons import reason_code, reason_message
from archiver.model import JournalPoint
from archiver.store.content.source import StatData
from archiver.store.names import name_as_text
from archiver.store.sqlite import (
    file_identity,
    from_stored_integer,
    open_or_recreate,
    open_read_only_or_empty,
    read_journal_point,
    to_stored_integer,
    write_journal_point,
)

#: The state of an empty folder, whose size and times are not compared.
FOLDER: Literal["folder"] = "folder"
#: The state of a path: the StatData of a file, FOLDER for an empty folder, or None if neither is there.
State = StatData | Literal["folder"] | None
#: The state in the form of the database: FOLDER, or the columns of StatData.  A column is bytes if the number is
#: too large for SQLite; see :func:`to_stored_integer`.
StoredState = tuple[int | bytes, int | bytes, int | bytes, int | bytes] | Literal["folder"]

#: Raised with every change of the schema.
_SCHEMA_VERSION = 3
# The columns ``template`` hold the code of a reason.  Earlier releases kept sentences there, hence the name.
_SCHEMA = """
create table entries (dir blob, name blob, folder integer, size integer, mtime_ns integer,
    ctime_ns integer, inode integer, primary key (dir, name)) without rowid;
create table captured (prefix blob primary key, tag text not null, "commit" text not null) without rowid;
create table skipped (path blob primary key, template text, value text, source text) without rowid;
create table pending (path blob primary key, since text, template text, value text) without rowid;
create table meta (key text primary key, value text) without rowid;
"""


class SkippedPath(NamedTuple):
    """A path that is not archived, or not yet, with the reason."""

    path: bytes  # relative to the watched folder
    code: str  # of a reason in :mod:`archiver.intake.path_reasons`
    value: str = ""  # for the field ``{value}`` of the reason

    @property
    def reason(self) -> LazyMessage:
        """Return the reason as a sentence for people."""
        return reason_message(self.code, self.value)

    def as_json(self) -> dict[str, str]:
        """Return the path and the reason in the form of ``status --json``."""
        return {"path": name_as_text(self.path), "reason": str(self.reason), "code": self.code}


class PendingEntry(NamedTuple):
    """A path still to be archived, as listed in ``state.db``."""

    skipped_path: SkippedPath  # with the reason why the path is not archived yet
    since: str  # the time (RFC 3339) of the oldest change that is not archived


def split_path(path: bytes) -> tuple[bytes, bytes]:
    """Return the folder and the name of a relative path; the folder is empty for a path without a slash."""
    folder, _, name = path.rpartition(b"/")
    return folder, name


class Snapshot:
    """An open ``state.db``, for the opening thread alone; the owner closes it with :meth:`close`.

    Paths are relative to the watched folder.  Every method but :meth:`close` may raise sqlite3.Error.
    """

    def __init__(self, path: Path, read_only: bool = False) -> None:
        """Open or create the database; a damaged file is replaced, and filled again by a full scan.

        With ``read_only`` nothing is written, and a missing or damaged file looks like an empty database.

        Raises sqlite3.DatabaseError for any other problem.
        """
        self._path = path
        self._database = (
            open_read_only_or_empty(path, _SCHEMA, _SCHEMA_VERSION)
            if read_only
            else open_or_recreate(path, _SCHEMA, _SCHEMA_VERSION)
        )
        self._file_identity = file_identity(path)

    @property
    def journal_point(self) -> JournalPoint | None:
        """Return the journal's newest event as of the last recording of entries; None if nothing was recorded.

        The entries are valid only for a journal that contains this event.
        """
        return read_journal_point(self._database)

    @property
    def is_file_replaced(self) -> bool:
        """Return True if another process has moved or replaced the file since it was opened here."""
        return file_identity(self._path) != self._file_identity

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def folder_entries(self, folder: bytes) -> dict[bytes, State]:
        """Return the archived state of each name directly in a folder, by name."""
        return {name: decode_stored_state(stored) for name, stored in self.stored_states(folder).items()}

    def stored_states(self, folder: bytes) -> dict[bytes, StoredState]:
        """Return the archived state of each name directly in a folder, by name, in the form of the database.

        This saves time when a scan compares a million files.  A file is unchanged if its StatData equals the
        stored state or, because a number may be stored as bytes, the result of :func:`decode_stored_state`.
        """
        rows = self._database.execute(
            "select name, folder, size, mtime_ns, ctime_ns, inode from entries where dir = ?", (folder,)
        )
        return {
            name: FOLDER if is_folder else (size, mtime, ctime, inode)
            for name, is_folder, size, mtime, ctime, inode in rows
        }

    def archived_state(self, path: bytes) -> State:
        """Return the archived state of a path; None if neither a file nor an empty folder is archived there."""
        entry_row = self._database.execute(
            "select folder, size, mtime_ns, ctime_ns, inode from entries where dir = ? and name = ?",
            split_path(path),
        ).fetchone()
        if entry_row is None:
            return None
        return FOLDER if entry_row[0] else _stat_data(entry_row[1:])

    def folders_below(self, top_folder: bytes) -> list[bytes]:
        """Return every folder at or below ``top_folder`` with archived entries directly in it, in any order."""
        condition, values = _at_or_below("dir", top_folder)
        rows = self._database.execute(f"select distinct dir from entries where {condition}", values)
        return [folder_row[0] for folder_row in rows]

    def has_entries_below(self, folder: bytes) -> bool:
        """Return True if anything at or below ``folder``, which is not empty, is archived."""
        condition, values = _at_or_below("dir", folder)
        rows = self._database.execute(f"select 1 from entries where {condition} limit 1", values)
        return rows.fetchone() is not None

    def file_entries(self, top_folder: bytes = b"") -> Iterator[tuple[bytes, StatData]]:
        """Yield the path and the archived state of every file below ``top_folder``, in any order."""
        condition, values = _at_or_below("dir", top_folder)
        rows = self._database.execute(
            "select dir, name, size, mtime_ns, ctime_ns, inode from entries "
            f"where folder is not 1 and {condition}",
            values,
        )
        for folder, name, *stat_columns in rows:
            yield (folder + b"/" + name if folder else name), _stat_data(stat_columns)

    def captured_tag(self, prefix: bytes) -> str:
        """Return the tag of a submission's newest version whose paths all have entries; empty if there is none.

        ``prefix`` is the path of the submission's folder.
        """
        tag_row = self._database.execute("select tag from captured where prefix = ?", (prefix,)).fetchone()
        return "" if tag_row is None else str(tag_row[0])

    def captured_tags(self) -> dict[bytes, str]:
        """Return every :meth:`captured_tag`, by the path of the submission's folder."""
        return dict(self._database.execute("select prefix, tag from captured"))

    def mark_contents_unknown(self, prefix: bytes) -> None:
        """Make the next scan read every file below ``prefix`` again, because the archived content is unknown."""
        self.record({path: StatData.unknown() for path, _ in self.file_entries(prefix)})
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
        """Record the archived state of paths, in one transaction; the state None removes a path.

        If the states are those of a whole new version, ``tag`` and ``commit`` are its tag and commit, and
        ``prefix`` is the path of its submission's folder; otherwise all three are empty.  The tag becomes the
        :meth:`captured_tag` only if that is ``previous_tag`` now.  If it is not, entries of an earlier version are
        missing, and :func:`archiver.intake.seed_snapshot.seed_snapshot` adds them later.

        ``point`` is the journal's newest event, and replaces :attr:`journal_point`; None keeps it.
        """
        with self._database:
            if point is not None:
                write_journal_point(self._database, point)
            if tag and self.captured_tag(prefix) == previous_tag:
                self._database.execute(
                    'insert or replace into captured (prefix, tag, "commit") values (?, ?, ?)',
                    (prefix, tag, commit),
                )
            self._database.executemany(
                "delete from entries where dir = ? and name = ?",
                (split_path(path) for path, state in states.items() if state is None),
            )
            self._database.executemany(
                "insert or replace into entries (dir, name, folder, size, mtime_ns, ctime_ns, inode) "
                "values (?, ?, ?, ?, ?, ?, ?)",
                (_entry_row(path, state) for path, state in states.items() if state is not None),
            )
            self._database.executemany(
                "delete from skipped where path = ? and (source <> 'scan' or template like 'standin.%')",
                ((path,) for path in states),
            )

    def bind(self, point: JournalPoint) -> None:
        """Delete all rows, and record ``point``, the journal's newest event, as the :attr:`journal_point`.

        This is for a database without a :attr:`journal_point`, whose rows may belong to another archive.
        """
        with self._database:
            for table in ("entries", "captured", "skipped", "pending", "meta"):
                self._database.execute(f"delete from {table}")
            write_journal_point(self._database, point)

    # --- messages for status

    def note_scan(
        self, start_folder: bytes, skipped: Iterable[SkippedPath], changed_paths: Container[bytes]
    ) -> None:
        """Replace the skipped paths at or below ``start_folder`` by those of a scan.

        ``changed_paths`` are the paths that the scan found to differ from the archive.  A file that could not be
        read earlier and is not among them was deleted, and is removed from the skipped paths too.
        """
        condition, values = _at_or_below("path", start_folder)
        rows = self._database.execute(
            f"select source, path, template, value from skipped where {condition}", values
        ).fetchall()
        recorded_paths = {SkippedPath(path, code, value) for source, path, code, value in rows if source == "scan"}
        deleted_files = [path for source, path, _, _ in rows if source == "read" and path not in changed_paths]
        unreadable_files = {path for source, path, _, _ in rows if source == "read" and path in changed_paths}
        # Each path has one reason, so a stand-in that cannot be read is listed as unreadable.
        present_paths = {skip for skip in skipped if skip.path not in unreadable_files}
        if recorded_paths == present_paths and not deleted_files:  # So that the disk of an idle archive can sleep.
            return
        outdated_paths = [skipped_path.path for skipped_path in recorded_paths - present_paths] + deleted_files
        with self._database:
            self._database.executemany("delete from skipped where path = ?", ((path,) for path in outdated_paths))
            self._add_skipped(present_paths, "scan")

    def note_unreadable(self, skipped: Iterable[SkippedPath]) -> None:
        """Add unreadable files to the skipped paths, until they are captured or deleted."""
        with self._database:
            self._add_skipped(skipped, "read")

    def note_captured(self, notes: Iterable[SkippedPath], stand_ins: Iterable[SkippedPath]) -> None:
        """Add notes about captured files, until they are captured again or deleted, and stand-ins among them."""
        with self._database:
            self._add_skipped(notes, "note")
            self._add_skipped(stand_ins, "scan")

    def _add_skipped(self, skipped_paths: Iterable[SkippedPath], source: str) -> None:
        """Add paths; ``source`` is "scan" for what a scan finds, "read" if reading failed, "note" for a note.

        The caller commits.
        """
        self._database.executemany(
            "insert or replace into skipped (path, template, value, source) values (?, ?, ?, ?)",
            ((skipped_path.path, skipped_path.code, skipped_path.value, source) for skipped_path in skipped_paths),
        )

    def skipped(self) -> list[SkippedPath]:
        """Return the skipped paths with their reasons, sorted by path."""
        return self._select_skipped("source <> 'note' and template not like 'standin.%'")

    def stand_ins(self) -> list[SkippedPath]:
        """Return the captured files that stand for a document, as the last scans found them, sorted by path."""
        return self._select_skipped("source = 'scan' and template like 'standin.%'")

    def notes(self) -> list[SkippedPath]:
        """Return the notes about captured files, sorted by path."""
        return self._select_skipped("source = 'note'")

    def _select_skipped(self, condition: str) -> list[SkippedPath]:
        """Return the rows of the table ``skipped`` that fulfil an SQL condition, sorted by path."""
        rows = self._database.execute(f"select path, template, value from skipped where {condition} order by path")
        return [SkippedPath(path, reason_code(stored_reason), value) for path, stored_reason, value in rows]

    def replace_pending_entries(self, entries: Iterable[tuple[SkippedPath, str]]) -> None:
        """Replace the list of pending paths; a tuple of ``entries`` has the fields of a :class:`PendingEntry`."""
        with self._database:
            self._database.execute("delete from pending")
            self._database.executemany(
                "insert into pending (path, since, template, value) values (?, ?, ?, ?)",
                (
                    (skipped_path.path, since, skipped_path.code, skipped_path.value)
                    for skipped_path, since in entries
                ),
            )

    def pending_entries(self) -> list[PendingEntry]:
        """Return the list of pending paths, sorted by path."""
        rows = self._database.execute("select path, template, value, since from pending order by path")
        return [
            PendingEntry(SkippedPath(path, reason_code(stored_reason), value), since)
            for path, stored_reason, value, since in rows
        ]

    def set_meta(self, key: str, value: str) -> None:
        """Store a text under ``key``, replacing any earlier text; the same text again writes nothing."""
        if self.meta(key) != value:
            with self._database:
                self._database.execute("insert or replace into meta (key, value) values (?, ?)", (key, value))

    def meta(self, key: str) -> str:
        """Return the text under ``key``; empty if there is none."""
        meta_row = self._database.execute("select value from meta where key = ?", (key,)).fetchone()
        return "" if meta_row is None else str(meta_row[0])


def decode_stored_state(stored: StoredState) -> State:
    """Return the state for which :meth:`Snapshot.stored_states` returned ``stored``."""
    return FOLDER if stored == FOLDER else _stat_data(stored)


def _stat_data(stored_columns: Iterable[int | bytes]) -> StatData:
    """Return the StatData in the columns size, mtime_ns, ctime_ns and inode, in this order.

    A number that is too large for SQLite is stored as bytes; see :func:`to_stored_integer`.
    """
    return StatData(*map(from_stored_integer, stored_columns))


def _at_or_below(column: str, folder: bytes) -> tuple[str, tuple[bytes, ...]]:
    """Return an SQL condition for paths at or below ``folder``, and its values; an empty folder is above all."""
    if not folder:
        return "1", ()
    # The byte after a slash is "0", so every path below the folder is between the last two values.
    return f"({column} = ? or ({column} > ? and {column} < ?))", (folder, folder + b"/", folder + b"0")


def _entry_row(path: bytes, state: StatData | Literal["folder"]) -> tuple[object, ...]:
    """Return the row for a path in the table ``entries``, in the order of its columns."""
    folder, name = split_path(path)
    if isinstance(state, StatData):
        return (folder, name, 0, *map(to_stored_integer, state))
    # For an empty folder, the column ``folder`` is 1, and the columns of StatData mean nothing.
    return (folder, name, 1, 0, 0, 0, 0)
