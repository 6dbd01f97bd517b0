"""Build versions from rows of ``index.db``, with submissions, holds, and all dates that retention needs."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from archiver.model import Hold, Submission, SubmissionRecord, Version
from archiver.store.events.event_kinds import Action
from archiver.store.events.filing_events import VersionSubmitted


def anchor(event: str) -> str:
    """Return SQL for the time from which a period runs: the event's compliance clock, or a later proven time.

    The proven time is that of the first time-stamp token after the event.
    """
    token = f"select time from tokens where tokens.seq > {event}.seq order by tokens.seq limit 1"
    return f"max({event}.clock, coalesce(({token}), ''))"


# Numbered submissions share one folder: the next one supersedes the last version of the one before.
_SELECT_VERSIONS = f"""
select v.id, s.filing, s.name, s.filing_folder, s.folder, v.number, v."commit", v.captured_at,
       {anchor("v")}, v.files, v.bytes, v.added, v.modified, v.deleted,
       coalesce(
           (select {anchor("n")} from versions n where n.submission = v.submission and n.number = v.number + 1),
           (select {anchor("n")} from versions n join submissions t on t.id = n.submission
            where s.folder = x'' and t.folder = x'' and t.filing = s.filing and n.number = 1
              and s.name glob '[0-9]*' and t.name glob '[0-9]*'
              and cast(t.name as integer) = cast(s.name as integer) + 1)),
       not exists (select 1 from ended where ended.filing = s.filing and ended.seq > coalesce(
           (select max(h.seq) from life h where h.filing = s.filing and h.action = '{Action.SUBMIT}'), 0)),
       (select disposal from disposed where disposed.version = v.tag)
from versions v join submissions s on s.id = v.submission
"""


def versions_of(
    database: sqlite3.Connection, where: str, values: Sequence[str], order: str, holds: Iterable[Hold]
) -> list[Version]:
    """Return the versions that ``where`` selects, with the ``holds`` in force.

    Three queries, however many versions there are: one for each version would take minutes in a large archive.
    """
    rows = database.execute(f"{_SELECT_VERSIONS} where {where} {order}", values).fetchall()
    submitted_by_row: dict[int, list[SubmissionRecord]] = defaultdict(list)
    for version_row, details, *fields in database.execute(
        "select h.version, (select details from life where life.seq = h.seq), "
        f'h.tag, h."on", h.kind, h.number, h."by", h.receipt, h.at, {anchor("h")} '
        "from submitted h join versions v on v.id = h.version join submissions s on s.id = v.submission "
        f"where {where} order by h.at",
        values,
    ):
        fields.append(VersionSubmitted.from_details(json.loads(details)).reason)
        submitted_by_row[version_row].append(SubmissionRecord(*fields))
    end_times_by_filing: dict[str, list[str]] = defaultdict(list)
    for filing, ended_at in database.execute(f"select filing, {anchor('ended')} from ended order by seq"):
        end_times_by_filing[filing].append(ended_at)
    holds_by_object: dict[str, list[Hold]] = defaultdict(list)
    for hold in holds:
        holds_by_object[hold.object].append(hold)
    return [_build_version(row, submitted_by_row, holds_by_object, end_times_by_filing) for row in rows]


def _build_version(
    row: tuple[Any, ...],
    submitted_by_row: Mapping[int, Sequence[SubmissionRecord]],
    holds_by_object: Mapping[str, Sequence[Hold]],
    end_times_by_filing: Mapping[str, Sequence[str]],
) -> Version:
    row_id, filing, submission_name, filing_folder, folder, *columns = row
    number, commit, captured_at, clock, file_count, byte_count = columns[:6]
    added_count, modified_count, deleted_count, superseded_at, is_live, disposal = columns[6:]
    object_names = (filing, f"{filing}/{submission_name}", f"{filing}/{submission_name}/v{number}")
    holds = [hold for object_name in object_names for hold in holds_by_object.get(object_name, ())]
    return Version(
        Submission(filing, submission_name, filing_folder, folder),
        number,
        commit,
        captured_at,
        clock,
        file_count,
        byte_count,
        added_count,
        modified_count,
        deleted_count,
        tuple(submitted_by_row.get(row_id, ())),
        tuple(sorted(holds, key=lambda hold: (hold.placed, hold.name))),
        superseded_at,
        tuple(end_times_by_filing.get(filing, ())),
        bool(is_live),
        disposal,
    )
