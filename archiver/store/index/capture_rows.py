"""Turn the capture events of the journal into rows of ``index.db``."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from archiver.model import Change, Event, Op, Submission
from archiver.store import names
from archiver.store.events.capture_events import VersionCaptured
from archiver.store.index.large_losses import count_lost_files
from archiver.store.index.version_rows import find_submission_row
from archiver.store.sqlite import to_stored_integer

#: Inserts a version. SQLite assigns the row id. ``clock`` is the time of the compliance clock, ``seq`` the number
#: of the event, and ``stored`` the size in bytes of the content that no earlier version has.
_INSERT_VERSION = """
insert into versions (
    submission, number, tag, "commit", seq, captured_at, clock,
    files, bytes, added, modified, deleted, stored)
values (
    :submission, :number, :tag, :commit, :seq, :captured_at, :clock,
    :files, :bytes, :added, :modified, :deleted, :stored)
"""
#: Inserts a material of the newest version; ``until`` stays null while the newest version has the material.
_INSERT_MATERIAL = """
insert into materials (submission, path, sha256, size, mtime_ns, first, until, health)
values (?, ?, ?, ?, ?, ?, null, ?)
"""

#: Digests in one query; SQLite allowed at most 999 parameters before version 3.32.
_DIGESTS_PER_QUERY = 500


def apply_capture(database: sqlite3.Connection, event: Event, changes: Iterable[Change]) -> None:
    """Insert the version that a capture event records, its submission if that is new, and its changed materials.

    The caller owns the transaction. Raises ValueError or KeyError if the event is malformed, for example without
    the ref of the submission's branch, and sqlite3.IntegrityError if the version exists already.
    """
    details = VersionCaptured.from_details(event.details)
    # The tag of a version is FILING/SUBMISSION/vN.
    filing_name, submission_name, _ = event.object.rsplit("/", 2)
    submission = Submission(
        names.RefName(filing_name),
        names.RefName(submission_name),
        filing_folder=names.name_from_text(details.filing),
        folder=names.name_from_text(details.submission),
    )
    submission_id = _find_or_insert_submission(database, submission)
    change_list = list(changes)
    # Counted while ``materials`` still describes the earlier versions only.
    new_bytes = _count_new_bytes(database, change_list)
    _insert_version(database, event, details, submission_id, submission.branch, new_bytes)
    if lost_count := count_lost_files(database, submission_id, change_list):
        database.execute(
            "insert into losses (seq, clock, lost) values (?, ?, ?)", (event.seq, event.clock["time"], lost_count)
        )
    _apply_changes(database, submission_id, details.version, change_list)


def _insert_version(
    database: sqlite3.Connection,
    event: Event,
    details: VersionCaptured,
    submission_id: int,
    branch: str,
    new_bytes: int,
) -> None:
    """Insert the row of the version that ``event`` records, with ``details`` parsed from it.

    ``branch`` is the full name of the ref that points to the version's commit; raises KeyError if ``event`` lacks
    it. ``new_bytes`` is the size of the content that no earlier version has.
    """
    database.execute(
        _INSERT_VERSION,
        {
            "submission": submission_id,
            "number": details.version,
            "tag": event.object,
            "commit": event.refs[branch],
            "seq": event.seq,
            "captured_at": event.at,
            "clock": event.clock["time"],
            "files": details.files,
            "bytes": details.bytes,
            "added": details.added,
            "modified": details.modified,
            "deleted": details.deleted,
            "stored": new_bytes,
        },
    )


def _count_new_bytes(database: sqlite3.Connection, changes: Sequence[Change]) -> int:
    """Return the size in bytes of the content that no earlier version has; content in several files counts once.

    Call this before the changes are applied to the table ``materials``.
    """
    size_by_digest = {
        change.sha256: change.size for change in changes if change.sha256 and change.op in (Op.ADD, Op.MODIFY)
    }
    known_digests: set[str] = set()
    digests = list(size_by_digest)
    for start in range(0, len(digests), _DIGESTS_PER_QUERY):
        queried_digests = digests[start : start + _DIGESTS_PER_QUERY]
        placeholders = ",".join("?" * len(queried_digests))
        query = f"select distinct sha256 from materials where sha256 in ({placeholders})"
        rows = database.execute(query, queried_digests)
        known_digests.update(sha256 for (sha256,) in rows)
    return sum(size for sha256, size in size_by_digest.items() if sha256 not in known_digests)


def _find_or_insert_submission(database: sqlite3.Connection, submission: Submission) -> int:
    """Insert the submission and the name of its folder, unless already present; return the submission's row id."""
    database.execute(
        "insert or ignore into submissions (filing, name, filing_folder, folder) values (?, ?, ?, ?)",
        (submission.filing, submission.name, submission.filing_folder, submission.folder),
    )
    database.execute("insert or ignore into folders (name) values (?)", (submission.folder,))
    # The row exists now, so the alternative 0 is only for the type checker.
    return find_submission_row(database, submission.filing, submission.name) or 0


def _apply_changes(
    database: sqlite3.Connection, submission_id: int, version_number: int, changes: Sequence[Change]
) -> None:
    """End the rows of materials that a version removes or replaces, and insert a row for each new material.

    A row holds for an interval of versions (:mod:`archiver.store.index.index_schema`).
    """
    # End all old rows first: in a chain of renames, the new path of one file is the old path of another.
    ended_paths = [change.source for change in changes if change.source is not None]
    ended_paths += [change.path for change in changes if change.op in (Op.MODIFY, Op.DELETE, Op.RMDIR)]
    database.executemany(
        "update materials set until = ? where submission = ? and path = ? and until is null",
        ((version_number, submission_id, path) for path in ended_paths),
    )
    database.executemany(
        _INSERT_MATERIAL,
        (
            (
                submission_id,
                change.path,
                change.sha256,
                change.size,
                to_stored_integer(change.mtime_ns),
                version_number,
                change.health,
            )
            for change in changes
            if change.op not in (Op.DELETE, Op.RMDIR)
        ),
    )
    # The last component of a path is the name of the file. Folders are often looked up by name, and without the
    # table of their names, each lookup could read a million paths.
    folder_names = {name for change in changes if change.sha256 for name in change.path.split(b"/")[:-1]}
    database.executemany("insert or ignore into folders (name) values (?)", ((name,) for name in folder_names))
