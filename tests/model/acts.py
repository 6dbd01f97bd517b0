"""The acts of the program that the machine performs, as functions of an open archive."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from archiver import clock
from archiver.actions.context import ActionContext
from archiver.actions.correction_actions import CorrectRecord, correct_record
from archiver.actions.disposal_actions import (
    ApproveDisposal,
    PlanDisposal,
    RunDisposal,
    approve_disposal,
    plan_disposal,
    run_disposal,
)
from archiver.actions.maintenance_actions import PackRepository, pack_repository
from archiver.actions.restriction_actions import RestrictFiles, UnrestrictFiles, restrict_files, unrestrict_files
from archiver.actions.retention_actions import AcceptRetention, accept_retention
from archiver.actions.submission_actions import SubmitVersion, submit_version
from archiver.config.settings import Config
from archiver.daemon.daily_events import journal_clock_daily
from archiver.errors import ArchiverError
from archiver.filings.records import RecordContext, update_sheet
from archiver.intake.affected_groups import groups_of
from archiver.intake.capture import Capturer
from archiver.intake.exclusion.ignore_rules import IgnoreRules
from archiver.intake.folder.access import open_access
from archiver.intake.group_reader import GroupToRead, ReadingJob
from archiver.intake.layout import Group
from archiver.intake.scan import Scanner
from archiver.intake.seed_snapshot import seed_snapshot
from archiver.intake.snapshot import State
from archiver.intake.snapshot_opening import open_snapshot
from archiver.intake.version_drafting import VersionDrafter
from archiver.naming.ref_names import COMMON
from archiver.retention import file_restriction
from archiver.store.archive import Archive
from archiver.store.content.source import StatData
from archiver.store.events.evidence_events import ClockTicked
from archiver.store.repair import accepted_loss
from archiver.store.writing.drafts import Draft, VersionDraft
from tests.model.program import Act

#: More than the time in which two changes may have the same ctime, see the module ``spool``.
_TICK_SECONDS = 0.03


def capture(config: Config, submissions: Sequence[str], drafts: Sequence[Draft] = ()) -> Act:
    """Capture what has changed in these submissions, in one batch, as the daemon does with what has settled.

    With ``drafts``, the batch has these events as well, before the last version.
    """

    def act(archive: Archive) -> None:
        access = open_access(config.watch, archive.root)
        snapshot = open_snapshot(archive, 0)
        capturer = Capturer(archive, snapshot, access, config, threading.Event())
        try:
            seed_snapshot(snapshot, archive.index)
            scan_result = Scanner(access, IgnoreRules.with_litter(config.ignore)).scan(snapshot)
            states_by_group: dict[Group, dict[bytes, State]] = {}
            for path, state in scan_result.changed.items():
                for group in groups_of(path, snapshot.archived_state(path), state, config.layout):
                    states_by_group.setdefault(group, {})[path] = state
            groups = [group for group in map(_group, submissions) if group in states_by_group]
            _wait_for_clock_tick(scan_result.changed.values())
            jobs = capturer.stage([GroupToRead(group, states_by_group[group]) for group in groups])
            if drafts:
                _write_mixed_batch(archive, config, jobs, drafts)
                return
            for outcome in capturer.finish_all(jobs, 0):
                if isinstance(outcome, ArchiverError):
                    raise outcome
                assert [*outcome.unstable, *outcome.held, *outcome.unreadable] == []
        finally:
            capturer.close()
            snapshot.close()
            access.close()

    return act


def _wait_for_clock_tick(states: Iterable[State]) -> None:
    """Wait until no file changed in the present tick of the kernel's clock: it would have to be read again.

    Until then a submission would be refused, which no person is quick enough to see.
    """
    newest_ns = max((state.ctime_ns for state in states if isinstance(state, StatData)), default=0)
    age_seconds = (clock.wall_time_ns() - newest_ns) / 1e9
    if 0 <= age_seconds < _TICK_SECONDS:
        time.sleep(_TICK_SECONDS - age_seconds)


def _group(submission: str) -> Group:
    filing, name = submission.encode().split(b"/")
    return Group(filing, b"" if name == COMMON.encode() else name)


def _write_mixed_batch(
    archive: Archive, config: Config, jobs: Sequence[ReadingJob], events: Sequence[Draft]
) -> None:
    """Write the versions and other events in one batch; ``state.db`` does not learn of it."""
    read_jobs = [(job, job.result()) for job in jobs]
    with archive.writing(0) as writer:
        drafter = VersionDrafter(archive, config.layout)
        versions: list[VersionDraft] = []
        for job, read in read_jobs:
            settled: dict[bytes, State] = {path: copy.stat_data for path, copy in read.staged.items()}
            settled |= {path: state for path, state in job.states.items() if not isinstance(state, StatData)}
            draft, _ = drafter.make_draft(job.group, settled, read.staged)
            versions += [draft] if draft is not None else []
        writer.write_batch([*versions[:-1], *events, *versions[-1:]])


def append(draft: Draft) -> Act:
    def act(archive: Archive) -> None:
        with archive.writing(0) as writer:
            writer.append(draft)

    return act


def submit(config: Config, submission: str, number: int | None, day: date, reason: str | None) -> Act:
    request = SubmitVersion(
        submission_name=submission, version_number=number, submitted_on=day, exception_reason=reason
    )
    return lambda archive: submit_version(ActionContext(archive, config, 0), request)


def record_sheet(filing: str, responsible: str, today: date) -> Act:
    return lambda archive: update_sheet(RecordContext(archive, 0, today), filing, {"responsible": responsible})


tick = append(Draft("clock", ClockTicked()))


def tick_if_due(archive: Archive) -> None:
    def journal_event(draft: Draft) -> None:
        append(draft)(archive)

    journal_clock_daily(archive, journal_event)


def accept(config: Config, promise_id: str, typed_years: int | None) -> Act:
    """Accept the longer retention of the settings, of which a person was shown the part that waited."""
    request = AcceptRetention(promise_id=promise_id, typed_years=typed_years)
    return lambda archive: accept_retention(ActionContext(archive, config, 0), request)


def restrict(config: Config, files: Sequence[str], reason: str, described: list[dict[str, Any]]) -> Act:
    """Restrict files, and add to ``described`` what the program says of each."""

    def act(archive: Archive) -> None:
        request = RestrictFiles(files=tuple(files), reason=reason)
        described.extend(restrict_files(ActionContext(archive, config, 0), request)["files"])

    return act


def unrestrict(config: Config, files: Sequence[str]) -> Act:
    request = UnrestrictFiles(files=tuple(files), reason="检查")
    return lambda archive: unrestrict_files(ActionContext(archive, config, 0), request)


def correct(config: Config, seq: int, typed_values: Mapping[str, str], reason: str) -> Act:
    """Correct a record; void it without values."""
    request = CorrectRecord(seq=seq, typed_values=typed_values, is_void=not typed_values, reason=reason)
    return lambda archive: correct_record(ActionContext(archive, config, 0), request)


def maintain(config: Config) -> Act:
    return lambda archive: pack_repository(ActionContext(archive, config, 0), PackRepository())


def enforce_restrictions(archive: Archive) -> None:
    """Do what the service does at its start: what only the owner may read is closed again."""
    assert file_restriction.enforce_restrictions(archive) == []


def plan(config: Config, tags: Sequence[str]) -> Act:
    return lambda archive: plan_disposal(ActionContext(archive, config, 0), PlanDisposal(tags=tuple(tags)))


def approve(config: Config, plan_id: str) -> Act:
    request = ApproveDisposal(plan_id=plan_id, reason="期满")
    return lambda archive: approve_disposal(ActionContext(archive, config, 0), request)


def dispose(config: Config, plan_id: str) -> Act:
    return lambda archive: run_disposal(ActionContext(archive, config, 0), RunDisposal(plan_id=plan_id))


def reindex(archive: Archive) -> None:
    with archive.writing(0):
        archive.reindex()


def accept_loss(archive: Archive) -> None:
    """Accept what is lost, as the command does after its question."""
    accepted_loss.assess(archive)
    accepted_loss.accept(archive, 0)
