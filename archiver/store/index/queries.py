"""Query ``index.db``, which has the content of the journal in tables.

Every row is derived: the file can be rebuilt from the git repository alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from archiver.model import (
    Hold,
    JournalPoint,
    LifeEvent,
    Material,
    Promises,
    Submission,
    Version,
)
from archiver.naming.ref_names import RefName
from archiver.store import names
from archiver.store.clock_lag import ClockLag
from archiver.store.events.chains import ChainHead
from archiver.store.index.correction_rows import select_records
from archiver.store.index.disposal_state import Approval, Disposal
from archiver.store.index.index_connection import IndexConnection
from archiver.store.index.index_schema import COMPARABLE_RECORDS_QUERIES
from archiver.store.index.promise_rows import AcceptedPromise, combine_promises, select_promises
from archiver.store.index.version_rows import build_material, find_submission_row, proven_time_sql, select_versions
from archiver.store.index.watched_folder_values import WatchedFolderRecord, read_watched_folder
from archiver.store.sqlite import read_journal_point

if TYPE_CHECKING:
    from archiver.store.events.archive_events import ReplicaCreated

#: The columns of the table ``holds``, in the order of the fields of :class:`archiver.model.Hold`.
_HOLD_COLUMNS = 'name, object, reason, "by", user, placed, lifted, lift_reason'


class EventTime(NamedTuple):
    """An event of the journal, with an associated time."""

    seq: int  # the number of the event
    time: str


class StatedFormat(NamedTuple):
    """The newest statement of an archive's format."""

    number: int
    writing_features: Sequence[str]  # without one of them, a program only reads the archive
    reading_features: Sequence[str]  # without one of them, a program does not open the archive
    release: str  # the oldest release with all features


class Index(IndexConnection):
    """An open ``index.db`` that answers queries.

    All times are RFC 3339 in UTC.
    """

    @property
    def head_commit(self) -> str | None:
        """The journal commit of the newest event in the index; None for an empty index."""
        return self._read_meta("head")

    @property
    def journal_point(self) -> JournalPoint | None:
        """The newest event in the index, in the form to look it up in a journal; None for an empty index."""
        return read_journal_point(self._db)

    @property
    def archive_id(self) -> str:
        """The identity of the archive: the first 16 digits of the SHA-256 of its first event.

        Empty for an empty index.
        """
        return self._read_meta("archive") or ""

    @property
    def first_event_digest(self) -> str | None:
        """The SHA-256 of the first event, which created the archive; None for an empty index."""
        return self._read_meta("first")

    @property
    def format_number(self) -> int:
        """The number of the archive's format; 1 if no event states one."""
        return int(self._read_meta("format") or 1)

    def stated_format(self) -> StatedFormat | None:
        """Return the newest statement of the archive's format; None in format 1."""
        stated_json = self._read_meta("stated_format")
        return None if stated_json is None else StatedFormat(*json.loads(stated_json))

    def chains(self) -> dict[str, tuple[ChainHead, str | None]]:
        """Return the newest event of each chain of events, and the chain's filing, by the name of the chain.

        The filing is None for a chain that belongs to no filing, and for a chain whose events are all unreadable.
        """
        chain_rows = self._db.execute("select chain, count, digest, filing from chains")
        return {
            chain: (ChainHead(chain, count, digest), filing_name)
            for chain, count, digest, filing_name in chain_rows
        }

    def clock_lag(self) -> ClockLag:
        """Return how far the compliance clock was behind the wall clock at the newest event, and why.

        The compliance clock (:mod:`archiver.clock`) decides retention, and nobody can set it forward.
        """
        lag_json = self._read_meta("lag")
        return ClockLag() if lag_json is None else ClockLag(**json.loads(lag_json))

    @property
    def key_commit(self) -> str:
        """The journal commit of the event that introduced the signing key in force; empty for an empty index."""
        return self._read_meta("key") or ""

    def current_replica(self) -> ReplicaCreated | None:
        """Return the address and settings of the replica that was created last; None if none was created."""
        details_json = self._read_meta("replica")
        if details_json is None:
            return None
        from archiver.store.events.archive_events import ReplicaCreated

        return ReplicaCreated.from_details(json.loads(details_json))

    @property
    def created_at(self) -> str:
        """The time at which the archive was created; empty for an empty index."""
        return self._read_meta("made") or ""

    @property
    def watch_path(self) -> bytes | None:
        """The path of the watched folder, as journalled last; None if no event names one."""
        # An archive that was created without a watched folder has an empty path here.
        return names.name_from_text(self._read_meta("watch") or "") or None

    @property
    def watched_folder(self) -> WatchedFolderRecord:
        """The journal's record of the watched folder."""
        return read_watched_folder(self._db)

    @property
    def layout(self) -> str:
        """The folder layout of the archive, such as ``{filing}/{submission}``; empty for an empty index."""
        return self._read_meta("layout") or ""

    def retention_promises(self) -> Promises:
        """Return the strictest retention that was ever promised, because a promise is never shortened."""
        return combine_promises(self.accepted_promises(), self.unread_events())

    def accepted_promises(self) -> list[AcceptedPromise]:
        """Return each promise with the event that made it, sorted by kind and name."""
        return select_promises(self._db)

    def holds(self, include_lifted: bool = False) -> list[Hold]:
        """Return the legal holds in force, oldest first; with ``include_lifted``, the lifted ones as well."""
        condition = "1" if include_lifted else "lifted is null"
        hold_rows = self._db.execute(
            f"select {_HOLD_COLUMNS} from holds where {condition} order by placed, name, object"
        )
        return [Hold(name, RefName(held_object), *columns) for name, held_object, *columns in hold_rows]

    def comparable_records(self) -> list[tuple[str, str, str]]:
        """Return the rows of all COMPARABLE_RECORDS_QUERIES: action, object and time of each record, in no order.

        A database that was set aside is compared by these rows, to find records that the journal lacks.
        """
        return [row for query in COMPARABLE_RECORDS_QUERIES for row in self._db.execute(query)]

    def last_checkpoint(self) -> EventTime | None:
        """Return number and wall clock of the newest checkpoint's event; None before the first checkpoint."""
        seq_and_time = self._read_meta("checkpoint")
        if seq_and_time is None:
            return None
        seq, _, wall_time = seq_and_time.partition(" ")
        return EventTime(int(seq), wall_time)

    def last_drill_time(self) -> str | None:
        """Return the time of the last restore drill; None before the first drill."""
        return self._read_meta("drill")

    def last_token(self) -> EventTime | None:
        """Return the event number and the proven time of the newest timestamp token; None without any token."""
        token_row = self._db.execute("select seq, time from tokens order by seq desc limit 1").fetchone()
        return None if token_row is None else EventTime(int(token_row[0]), str(token_row[1]))

    def last_timestamped_seq(self) -> int:
        """Return the number of the newest event that a timestamp token covers; 0 without any token.

        The event that records a token is newer, and events may lie between the two.
        """
        return int(self._db.execute("select coalesce(max(covered_seq), 0) from tokens").fetchone()[0])

    def disposals(self, disposal_name: str | None = None) -> list[Disposal]:
        """Return the disposal plans, newest first; with ``disposal_name``, at most the plan with this name."""
        disposal_rows = self._db.execute(
            'select id, seq, "commit", at, uid, user, plan_sha256, cooling_off_days, filing, act, '
            "begun, certified, certified_commit from disposals where ? in (id, '') order by seq desc",
            (disposal_name or "",),
        ).fetchall()
        # The field ``approvals`` of Disposal comes after the first ten columns.
        return [
            Disposal(*row[:10], self._select_approvals(row[0]), *row[10:])  # type: ignore[call-arg]
            for row in disposal_rows
        ]

    def _select_approvals(self, disposal_name: str) -> tuple[Approval, ...]:
        """Return the approvals of a disposal plan, oldest first."""
        approval_rows = self._db.execute(
            f"select uid, user, reason, at, {proven_time_sql('approvals')} from approvals "
            "where disposal = ? order by seq",
            (disposal_name,),
        )
        return tuple(Approval(*row) for row in approval_rows)

    def submissions(self) -> list[Submission]:
        """Return all submissions, sorted by filing and name."""
        submission_rows = self._db.execute(
            "select filing, name, filing_folder, folder from submissions order by filing, name"
        )
        return [Submission(*submission_row) for submission_row in submission_rows]

    def versions(self, filing_name: str | None = None, submission_name: str | None = None) -> list[Version]:
        """Return the versions of the submissions with the given names, newest first.

        None selects every name. ``submission_name`` is the part of the submission's name after the filing and the
        slash; without a ``filing_name``, all submissions with that name are selected, whatever their filing.
        """
        conditions, sql_parameters = ["1"], []
        for column, selected_name in (("s.filing", filing_name), ("s.name", submission_name)):
            if selected_name is not None:
                conditions.append(f"{column} = ?")
                sql_parameters.append(selected_name)
        return self._select_versions(" and ".join(conditions), sql_parameters, "order by v.seq desc")

    def find_version(self, tag: str) -> Version | None:
        """Return the version that ``tag`` names; None if there is no such version.

        ``tag`` is the tag of the version, or the signed tag of the version's submission to the regulator.
        """
        condition = "v.tag = ? or v.id = (select version from submitted where tag = ?)"
        return next(iter(self._select_versions(condition, [tag, tag])), None)

    def newest_version(self, submission: Submission) -> Version | None:
        """Return the newest version of ``submission``; None if no version of it was captured."""
        condition = (
            "v.id = (select v.id from versions v join submissions s on s.id = v.submission "
            "where s.filing = ? and s.name = ? order by v.number desc limit 1)"
        )
        return next(iter(self._select_versions(condition, [submission.filing, submission.name])), None)

    def version_count(self) -> int:
        """Return the number of versions of all submissions."""
        return int(self._db.execute("select count(*) from versions").fetchone()[0])

    def first_capture_time(self) -> str | None:
        """Return the time of the first capture; None before the first capture."""
        oldest_row = self._db.execute("select min(captured_at) from versions").fetchone()
        return None if oldest_row[0] is None else str(oldest_row[0])

    def new_content_bytes(self, since: str = "") -> int:
        """Return the size in bytes of the content that captures at ``since`` or later added to the archive.

        Content that several files share counts once. ``since`` is a wall time (RFC 3339); empty for all captures.
        """
        query = "select coalesce(sum(stored), 0) from versions where captured_at >= ?"
        return int(self._db.execute(query, (since,)).fetchone()[0])

    def branch_heads(self) -> dict[str, str]:
        """Return the commit that each submission's branch must point to, by the full name of the branch.

        That is the commit of the submission's newest version.
        """
        newest_version_rows = self._db.execute(
            'select s.filing, s.name, v."commit" from versions v join submissions s on s.id = v.submission '
            "where v.number = (select max(n.number) from versions n where n.submission = v.submission)"
        )
        return {Submission(filing, name).branch: commit for filing, name, commit in newest_version_rows}

    def all_tags(self) -> list[RefName]:
        """Return the tags of all versions and the signed tags of all submissions to the regulator, sorted."""
        tag_rows = self._db.execute("select tag from versions union select tag from submitted order by 1")
        return [RefName(tag_row[0]) for tag_row in tag_rows]

    def _select_versions(
        self, condition: str, sql_parameters: Sequence[str], order_clause: str = ""
    ) -> list[Version]:
        """Call :func:`select_versions` with all holds in force."""
        return select_versions(self._db, condition, sql_parameters, order_clause, self.holds())

    def materials(self, submission: Submission, version_number: int | None = None) -> Iterator[Material]:
        """Yield the materials of a version of ``submission``, in the order of their paths.

        If ``version_number`` is None, the version is the newest one. Yields nothing for an unknown submission.
        """
        submission_id = find_submission_row(self._db, submission.filing, submission.name)
        if version_number is None:
            material_rows = self._db.execute(
                "select path, sha256, size, mtime_ns, health from materials "
                "where submission = ? and until is null order by path",
                (submission_id,),
            )
        else:
            material_rows = self._db.execute(
                "select path, sha256, size, mtime_ns, health from materials where submission = ? "
                "and first <= ? and (until is null or until > ?) order by path",
                (submission_id, version_number, version_number),
            )
        for row in material_rows:
            yield build_material(row)

    def life_events(self, filing_name: str | None = None, recorded_until: str = "") -> list[LifeEvent]:
        """Return the events in the life of a filing, such as submissions and notices, oldest first.

        All corrections are applied, and void events are included. If ``filing_name`` is None, the events of all
        filings are returned. ``recorded_until`` is a wall time (RFC 3339): events and corrections of a later time
        are left out. If empty, there is no limit.
        """
        return select_records(self._db, filing_name, recorded_until)

    def versions_with_content(self, sha256: str) -> list[Version]:
        """Return the versions with a material whose content has this SHA-256, in no particular order."""
        condition = (
            "v.id in (select w.id from materials m join versions w on w.submission = m.submission "
            "where m.sha256 = ? and m.first <= w.number and (m.until is null or m.until > w.number))"
        )
        return self._select_versions(condition, [sha256])

    def newest_materials_at(self, submission: Submission, paths: Iterable[bytes]) -> dict[bytes, Material]:
        """Return the materials that the newest version of ``submission`` has at ``paths``, by path.

        Paths without a material are left out.
        """
        submission_id = find_submission_row(self._db, submission.filing, submission.name)
        if submission_id is None:
            return {}
        query = (
            "select path, sha256, size, mtime_ns, health from materials "
            "where submission = ? and path = ? and until is null"
        )
        # Without a transaction, each of perhaps 100,000 queries would take and release the file locks.
        self._db.execute("begin")
        try:
            rows_or_none = (self._db.execute(query, (submission_id, path)).fetchone() for path in paths)
            return {row[0]: build_material(row) for row in rows_or_none if row is not None}
        finally:
            self._db.rollback()
