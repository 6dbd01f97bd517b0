"""Build versions and materials from rows of ``index.db``, with all dates that retention needs."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from archiver.model import Hold, Material, Submission, SubmissionRecord, Version
from archiver.naming.ref_names import RefName
from archiver.store.events.event_kinds import Action
from archiver.store.index.correction_rows import fold_corrections, select_corrections
from archiver.store.sqlite import from_stored_integer


class _EndTime(NamedTuple):
    """The times at which the end of a filing was recorded (RFC 3339, UTC)."""

    proven_time: str  # the time from which periods run, see proven_time_sql()
    wall_time: str


def find_submission_row(database: sqlite3.Connection, filing_name: str, submission_name: str) -> int | None:
    """Return the row id of a submission; None if no version of the submission was captured."""
    id_row = database.execute(
        "select id from submissions where filing = ? and name = ?", (filing_name, submission_name)
    ).fetchone()
    return None if id_row is None else int(id_row[0])


def build_material(material_row: tuple[Any, ...]) -> Material:
    """Build a material from a row with the columns path, sha256, size, mtime_ns and health."""
    path, sha256, size, mtime_ns, health = material_row
    return Material(path, sha256, size, from_stored_integer(mtime_ns), health)


def proven_time_sql(table: str) -> str:
    """Return an SQL expression for the time from which a period after an event runs (RFC 3339, UTC).

    ``table`` is the name or alias of a table with the columns ``seq`` and ``clock`` of the event. The time is the
    compliance clock of the event, or the time of the first timestamp token after the event if that is later.
    """
    token_time = f"select time from tokens where tokens.seq > {table}.seq order by tokens.seq limit 1"
    return f"max({table}.clock, coalesce(({token_time}), ''))"


def _next_version_sql(column: str) -> str:
    """Return an SQL expression for a column of the version that supersedes ``v``; null for the newest version.

    The query must call versions ``v`` and their submissions ``s``; ``column`` calls the superseding version ``n``.
    That is the next version of the same submission. Numbered submissions of a filing share the filing's folder, so
    the last version of one number is superseded by the first version of the next number.
    """
    # The second query finds the next number: numbered submissions have an empty folder and a name of digits.
    return f"""coalesce(
           (select {column} from versions n where n.submission = v.submission and n.number = v.number + 1),
           (select {column} from versions n join submissions t on t.id = n.submission
            where s.folder = x'' and t.folder = x'' and t.filing = s.filing and n.number = 1
              and s.name glob '[0-9]*' and t.name glob '[0-9]*'
              and cast(t.name as integer) = cast(s.name as integer) + 1))"""


#: Selects versions. One of the expressions needs an explanation:
#: - ``not exists (...)`` is 1 if the filing is live: it has not ended since its last submission to the regulator.
#:   An end that is void does not count, while a submission that is void does: a correction shortens no retention.
_SELECT_VERSIONS = f"""
select v.id, s.filing, s.name, s.filing_folder, s.folder, v.number, v."commit", v.captured_at,
       {proven_time_sql("v")}, v.files, v.bytes, v.added, v.modified, v.deleted,
       {_next_version_sql(proven_time_sql("n"))}, {_next_version_sql("n.captured_at")},
       not exists (select 1 from ended where ended.filing = s.filing
           and ended.seq not in (select corrects from corrections where void) and ended.seq > coalesce(
           (select max(h.seq) from life h where h.filing = s.filing and h.action = '{Action.SUBMIT}'), 0)),
       (select disposal from disposed where disposed.version = v.tag)
from versions v join submissions s on s.id = v.submission
"""


def select_versions(
    database: sqlite3.Connection,
    condition: str,
    sql_parameters: Sequence[str],
    order_clause: str,
    holds: Iterable[Hold],
) -> list[Version]:
    """Return the versions that the SQL ``condition`` selects, in the order of ``order_clause``.

    The condition has a placeholder for each of ``sql_parameters``, and can use the columns of versions (``v``) and
    submissions (``s``). ``holds`` are all holds in force; a version gets those on the version itself, on the
    submission and on the filing.

    The number of queries is three, however many versions are selected: queries for each single version would take
    minutes in a large archive.
    """
    query = f"{_SELECT_VERSIONS} where {condition} {order_clause}"
    version_rows = database.execute(query, sql_parameters).fetchall()
    submitted_by_row = _select_submission_records(database, condition, sql_parameters)
    end_times_by_filing: dict[str, list[_EndTime]] = defaultdict(list)
    for filing_name, *times in database.execute(
        f"select filing, {proven_time_sql('ended')}, (select at from life where life.seq = ended.seq) from ended "
        "order by seq"
    ):
        end_times_by_filing[filing_name].append(_EndTime(*times))
    holds_by_object: dict[str, list[Hold]] = defaultdict(list)
    for hold in holds:
        holds_by_object[hold.object].append(hold)
    return [_build_version(row, submitted_by_row, holds_by_object, end_times_by_filing) for row in version_rows]


def _select_submission_records(
    database: sqlite3.Connection, condition: str, sql_parameters: Sequence[str]
) -> Mapping[int, Sequence[SubmissionRecord]]:
    """Return the records of submissions to the regulator, oldest first, by the row id of the version.

    ``condition`` and ``sql_parameters`` select the versions, see :func:`select_versions`.
    """
    rows = database.execute(
        "select h.version, h.seq, (select details from life where life.seq = h.seq), "
        f"h.tag, h.at, {proven_time_sql('h')} "
        "from submitted h join versions v on v.id = h.version join submissions s on s.id = v.submission "
        f"where {condition} order by h.at",
        sql_parameters,
    ).fetchall()
    if not rows:
        return {}
    # Imported here, because most versions have no record, and commands start sooner without the classes.
    from archiver.store.events.filing_events import VersionSubmitted

    submitted_by_row: dict[int, list[SubmissionRecord]] = defaultdict(list)
    corrections_by_seq = select_corrections(database)
    for version_row_id, seq, details_json, tag, recorded_at, proven_time in rows:
        corrected = fold_corrections(json.loads(details_json), corrections_by_seq.get(seq, ()))
        details = VersionSubmitted.from_details(corrected.details)
        submitted_by_row[version_row_id].append(
            SubmissionRecord(
                tag=RefName(tag),
                on=details.submitted_on.isoformat(),
                kind=details.kind,
                number=details.number,
                by=details.reported_by,
                receipt=details.receipt,
                at=recorded_at,
                clock=proven_time,
                reason=details.reason,
                seq=seq,
                corrections=corrected.corrections,
                open_points=details.open_points or (),
            )
        )
    return submitted_by_row


def _build_version(
    version_row: tuple[Any, ...],
    submitted_by_row: Mapping[int, Sequence[SubmissionRecord]],
    holds_by_object: Mapping[str, Sequence[Hold]],
    end_times_by_filing: Mapping[str, Sequence[_EndTime]],
) -> Version:
    """Build a version from a row of ``_SELECT_VERSIONS``, with its holds sorted by time and name."""
    version_row_id, filing_name, submission_name, filing_folder, folder, *columns = version_row
    number, commit, captured_at, clock, file_count, byte_count = columns[:6]
    added_count, modified_count, deleted_count, superseded, superseded_wall, is_live, disposal_name = columns[6:]
    end_times = end_times_by_filing.get(filing_name, ())
    submission = Submission(filing_name, submission_name, filing_folder, folder)
    held_names = (filing_name, str(submission), submission.tag(number))
    holds = [hold for held_name in held_names for hold in holds_by_object.get(held_name, ())]
    return Version(
        submission=submission,
        number=number,
        commit=commit,
        captured_at=captured_at,
        clock=clock,
        files=file_count,
        bytes=byte_count,
        added=added_count,
        modified=modified_count,
        deleted=deleted_count,
        submitted=tuple(submitted_by_row.get(version_row_id, ())),
        holds=tuple(sorted(holds, key=lambda hold: (hold.placed, hold.name))),
        superseded=superseded,
        ended=tuple(end_time.proven_time for end_time in end_times),
        live=bool(is_live),
        disposed=disposal_name,
        superseded_wall=superseded_wall,
        ended_wall=tuple(end_time.wall_time for end_time in end_times),
    )
