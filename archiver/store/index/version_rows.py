"""Build versions from rows of ``index.db``, with their submissions, holds, ends and dates."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from archiver.model import Hold, Submission, SubmissionRecord, Version
from archiver.store.events.actions import Action
from archiver.store.events.filing_events import VersionSubmitted


def anchor(event: str) -> str:
    """Return SQL for an event's compliance clock, or the time of the first token after it if that is later."""
    token = f"select time from tokens where tokens.seq > {event}.seq order by tokens.seq limit 1"
    return f"max({event}.clock, coalesce(({token}), ''))"


# Numbered submissions share one folder: the next one supersedes the last version of the one before.
_VERSIONS = f"""
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
    """Return the versions that ``where`` selects, with ``holds`` in force; always three queries."""
    rows = database.execute(f"{_VERSIONS} where {where} {order}", values).fetchall()
    handed_in: dict[int, list[SubmissionRecord]] = defaultdict(list)
    for version, details, *fields in database.execute(
        "select h.version, (select details from life where life.seq = h.seq), "
        f'h.tag, h."on", h.kind, h.number, h."by", h.receipt, h.at, {anchor("h")} '
        "from submitted h join versions v on v.id = h.version join submissions s on s.id = v.submission "
        f"where {where} order by h.at",
        values,
    ):
        fields.append(VersionSubmitted.from_details(json.loads(details)).reason)
        handed_in[version].append(SubmissionRecord(*fields))
    ended: dict[str, list[str]] = defaultdict(list)
    for filing, moment in database.execute(f"select filing, {anchor('ended')} from ended order by seq"):
        ended[filing].append(moment)
    held: dict[str, list[Hold]] = defaultdict(list)
    for hold in holds:
        held[hold.object].append(hold)
    return [_version(row, handed_in, held, ended) for row in rows]


def _version(
    row: tuple[Any, ...],
    handed_in: Mapping[int, Sequence[SubmissionRecord]],
    held: Mapping[str, Sequence[Hold]],
    ended: Mapping[str, Sequence[str]],
) -> Version:
    identity, filing, name, filing_folder, folder, *rest = row
    number, commit, captured_at, clock, files, size, added, modified, deleted = rest[:9]
    superseded, live, disposed = rest[9:]
    objects = (filing, f"{filing}/{name}", f"{filing}/{name}/v{number}")
    holds = [hold for each in objects for hold in held.get(each, ())]
    return Version(
        Submission(filing, name, filing_folder, folder),
        number,
        commit,
        captured_at,
        clock,
        files,
        size,
        added,
        modified,
        deleted,
        tuple(handed_in.get(identity, ())),
        tuple(sorted(holds, key=lambda hold: (hold.placed, hold.name))),
        superseded,
        tuple(ended.get(filing, ())),
        bool(live),
        disposed,
    )
