"""Read and write the corrections of records in ``index.db``.

A *record* is an event in the life of a filing. The table ``life`` has each record as it was journalled, and the
table ``corrections`` has the corrections to apply when the record is read.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from archiver.model import Correction, Event, FieldChange, LifeEvent
from archiver.naming.ref_names import RefName
from archiver.store.events.corrections import RecordCorrected, correct_details, mark_ref_name, read_member


class _CorrectionRow(NamedTuple):
    """A row of the table ``corrections``."""

    seq: int
    at: str
    user: str
    by: str | None
    reason: str
    is_void: int
    fields_json: str


def apply_correction(database: sqlite3.Connection, event: Event) -> None:
    """Insert the correction that ``event`` makes.

    Raises ValueError if the corrected event is not a record of the same filing and of the stated kind, or if the
    record is void already.
    """
    details = RecordCorrected.from_details(event.details)
    record_row = database.execute(
        "select action, filing from life where seq = ?", (details.corrected_seq,)
    ).fetchone()
    if record_row != (details.corrected_action, event.object):
        raise ValueError("it corrects no such event of the filing")
    void_rows = database.execute("select 1 from corrections where corrects = ? and void", (details.corrected_seq,))
    if void_rows.fetchone() is not None:
        raise ValueError("it corrects an event that is void")
    database.execute(
        'insert into corrections (seq, at, user, filing, corrects, fields, void, reason, "by") '
        "values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            event.seq,
            event.at,
            event.actor["user"] or str(event.actor["uid"]),
            event.object,
            details.corrected_seq,
            json.dumps(details.new_values),
            details.is_void,
            details.reason,
            details.reported_by,
        ),
    )


class CorrectedDetails(NamedTuple):
    """The details of a record after all corrections, and the corrections."""

    details: dict[str, Any]
    corrections: tuple[Correction, ...]  # oldest first


def select_records(
    database: sqlite3.Connection, filing_name: str | None = None, recorded_until: str = ""
) -> list[LifeEvent]:
    """Return the records of a filing with all corrections applied, oldest first; void records are included.

    If ``filing_name`` is None, return the records of all filings. ``recorded_until`` is a wall time (RFC 3339):
    records and corrections of a later time are left out. If empty, there is no limit.
    """
    record_rows = database.execute(
        "select seq, at, user, action, filing, details from life "
        "where (?1 is null or filing = ?1) and (?2 = '' or at <= ?2) order by seq",
        (filing_name, recorded_until),
    ).fetchall()
    corrections_by_seq = select_corrections(database, recorded_until)
    return [
        LifeEvent(
            seq,
            at,
            user,
            action,
            RefName(filing),
            *fold_corrections(json.loads(details_json), corrections_by_seq.get(seq, ())),
        )
        for seq, at, user, action, filing, details_json in record_rows
    ]


def select_corrections(database: sqlite3.Connection, recorded_until: str = "") -> dict[int, list[_CorrectionRow]]:
    """Return the corrections of each record, oldest first, by the event number of the corrected record.

    ``recorded_until`` is a wall time (RFC 3339): later corrections are left out. If empty, there is no limit.
    """
    corrections_by_seq: dict[int, list[_CorrectionRow]] = defaultdict(list)
    for corrected_seq, *columns in database.execute(
        'select corrects, seq, at, user, "by", reason, void, fields from corrections '
        "where ?1 = '' or at <= ?1 order by seq",
        (recorded_until,),
    ):
        corrections_by_seq[corrected_seq].append(_CorrectionRow(*columns))
    return corrections_by_seq


def fold_corrections(details: Mapping[str, Any], correction_rows: Sequence[_CorrectionRow]) -> CorrectedDetails:
    """Apply the corrections of a record to its journalled ``details``; return the result and the corrections.

    ``correction_rows`` are ordered from the oldest, so that the newest correction of a member takes effect.
    """
    corrected_details, corrections = dict(details), []
    for row in correction_rows:
        new_values = json.loads(row.fields_json)
        changes = tuple(
            FieldChange(name, read_member(corrected_details, name), mark_ref_name(name, new_value))
            for name, new_value in new_values.items()
        )
        corrections.append(Correction(row.seq, row.at, row.user, row.by, row.reason, bool(row.is_void), changes))
        corrected_details = correct_details(corrected_details, new_values)
    return CorrectedDetails(corrected_details, tuple(corrections))
