"""What people do with an archive every day, and what its clocks do."""

from __future__ import annotations

import os
from datetime import date, timedelta
from functools import partial

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from archiver.evidence.checkpoint import make_checkpoint
from archiver.filings.end_of_filing import end_filing
from archiver.model import Actor
from archiver.retention import holds
from archiver.store.events.evidence_events import ClockTicked
from archiver.store.events.retention_events import HoldPlaced
from archiver.store.writing.drafts import Draft
from tests.model import acts, expectations
from tests.model.corrections import is_sheet_contradictory
from tests.model.expectations import ARCHIVE, Expectation, ExpectedEvent
from tests.model.machine import CAPTURING, USERS, ArchiveMachine, crashes
from tests.model.program import Crash
from tests.model.submitted_versions import number_of_day

FILES = ("a", "b.txt", "材料 1", "d/c")
CONTENTS = st.sampled_from([b"", b"1", b"shared", b"22"]) | st.binary(min_size=1, max_size=9)
HOLDS = ("诉讼", "audit")
users = st.sampled_from(USERS)
#: More than three years: what was captured, superseded and ended before may be disposed of.
LONG_ENOUGH = timedelta(days=3 * 366 + 2)
_SPANS = [
    *(timedelta(seconds=1), timedelta(minutes=7), timedelta(days=1, seconds=1), timedelta(days=8)),
    *(timedelta(days=400), LONG_ENOUGH, 2 * LONG_ENOUGH),
]
spans = st.sampled_from(_SPANS)
wall_errors = st.sampled_from([-span for span in _SPANS] + [10 * LONG_ENOUGH, -10 * LONG_ENOUGH, *_SPANS])
numbers = st.integers(0, 4)


class EverydayRules(ArchiveMachine):
    """Files, captures, submissions, records, holds, and the clock."""

    def submission(self, number: int) -> str:
        return self.submissions[number % len(self.submissions)]

    def filing(self, number: int) -> str:
        return self.submission(number).split("/")[0]

    @rule(number=numbers, name=st.sampled_from(FILES), data=CONTENTS)
    def write(self, number: int, name: str, data: bytes) -> None:
        if self.submission(number).endswith("/_common"):
            name = os.path.basename(name)
        self.write_file(self.submission(number), name, data)

    @rule(number=numbers, choice=st.integers(0, 9), keeps_folder=st.booleans())
    def remove(self, number: int, choice: int, keeps_folder: bool) -> None:
        folder = self.world.folder.get(self.submission(number), {})
        files = [name for name, data in folder.items() if data is not None]
        if files:
            self.remove_file(self.submission(number), files[choice % len(files)], keeps_folder=keeps_folder)

    @rule(
        files=st.lists(st.tuples(numbers, st.sampled_from(FILES[:3]), CONTENTS), max_size=4),
        crash=crashes(CAPTURING),
    )
    def capture_all(self, files: list[tuple[int, str, bytes]], crash: Crash | None) -> None:
        for number, name, data in files:
            self.write_file(self.submission(number), name, data)
        expectation = expectations.expect_capture(self.world, self.submissions)
        self.perform(acts.capture(self.config, self.submissions), expectation, crash=crash)

    @rule(number=numbers, crash=crashes(CAPTURING))
    def capture_one(self, number: int, crash: Crash | None) -> None:
        chosen = [self.submission(number)]
        self.perform(
            acts.capture(self.config, chosen), expectations.expect_capture(self.world, chosen), crash=crash
        )

    @rule(
        numbers=st.lists(numbers, min_size=1, max_size=3, unique=True),
        name=st.sampled_from(HOLDS),
        crash=crashes(CAPTURING),
    )
    def capture_with_events(self, numbers: list[int], name: str, crash: Crash | None) -> None:
        """Versions, a hold and a tick in one batch."""
        chosen = list(dict.fromkeys(map(self.submission, numbers)))
        filing = chosen[0].split("/")[0]
        drafts, extra = [Draft("clock", ClockTicked())], [ExpectedEvent("tick", "clock", ARCHIVE)]
        if (name, filing) not in self.state.holds:
            drafts.append(Draft(filing, HoldPlaced(name=name, reason="诉讼", reported_by=None)))
            extra.append(ExpectedEvent("hold", filing, filing, {"name": name}))
        versions = expectations.changed_versions(self.world, chosen)
        expectation = Expectation([expectations.Batch([*versions[:-1], *extra, *versions[-1:]])])
        self.perform(acts.capture(self.config, chosen, drafts), expectation, crash=crash)

    @property
    def day(self) -> date:
        return (self.world.clocks.wall - timedelta(days=2)).date()

    @rule(number=numbers, user=users, crash=crashes(CAPTURING))
    def submit_newest(self, number: int, user: Actor, crash: Crash | None) -> None:
        submission = self.submission(number)
        has_files = any(data is not None for data in self.world.folder.get(submission, {}).values())
        if self.state.newest(submission) is None or not has_files:
            return
        is_captured_now = bool(expectations.changed_versions(self.world, [submission]))
        chosen = number_of_day(self.world, submission, self.day, is_captured_now=is_captured_now)
        expectation = expectations.expect_submit(self.world, submission, chosen, None, captures_first=True)
        act = acts.submit(self.config, submission, None, self.day, None)
        self.perform(act, expectation, user=user, crash=crash)

    @precondition(lambda self: self.state.versions)
    @rule(choice=st.integers(0, 99), reason=st.sampled_from([None, "复印件"]), crash=crashes())
    def submit_version(self, choice: int, reason: str | None, crash: Crash | None) -> None:
        tags = [tag for tag in self.state.versions if self.state.versions[tag].submission in self.submissions]
        if not tags:
            return
        version = self.state.versions[tags[-1 - choice % len(tags)]]
        expectation = expectations.expect_submit(self.world, version.submission, version.number, reason)
        act = acts.submit(self.config, version.submission, version.number, self.day, reason)
        self.perform(act, expectation, crash=crash)

    @rule(number=numbers, responsible=st.sampled_from(["李娜", "王敏"]), user=users, crash=crashes())
    def record_sheet(self, number: int, responsible: str, user: Actor, crash: Crash | None) -> None:
        filing = self.filing(number)
        event = ExpectedEvent("filing-set", filing, filing, {"fields": {"responsible": responsible}})
        is_refused = is_sheet_contradictory(self.state, filing)
        expectation = Expectation(error="UsageError") if is_refused else expectations.one_event(event)
        self.perform(acts.record_sheet(filing, responsible, self.day), expectation, user=user, crash=crash)

    def _object(self, choice: int) -> str:
        """Return a filing, a submission, or a version."""
        objects = [*map(self.filing, range(5)), *self.submissions, *self.state.versions]
        return objects[-1 - choice % len(objects)]

    @rule(name=st.sampled_from(HOLDS), choice=st.integers(0, 99), user=users, crash=crashes())
    def place_hold(self, name: str, choice: int, user: Actor, crash: Crash | None) -> None:
        held = self._object(choice)
        expectation = expectations.expect_hold(self.world, name, held)
        act = partial(
            holds.place_hold, hold_name=name, held_object=held, reason="诉讼", reported_by=None, lock_timeout=0
        )
        self.perform(act, expectation, user=user, crash=crash)

    @rule(name=st.sampled_from(HOLDS), crash=crashes())
    def lift_holds(self, name: str, crash: Crash | None) -> None:
        expectation = expectations.expect_lift(self.world, name, None)
        self.perform(
            lambda archive: holds.lift_hold(archive, name, None, "结案", None, 0), expectation, crash=crash
        )

    @rule(number=numbers, crash=crashes())
    def end(self, number: int, crash: Crash | None) -> None:
        filing, day = self.filing(number), self.day
        event = ExpectedEvent("filing-end", filing, filing, {"on": day.isoformat()})
        self.perform(
            lambda archive: end_filing(archive, filing, day, "停止服务", None, 0),
            expectations.one_event(event),
            crash=crash,
        )

    @rule(crash=crashes())
    def checkpoint(self, crash: Crash | None) -> None:
        expectation = expectations.expect_checkpoint(self.world)
        self.perform(lambda archive: make_checkpoint(archive, 0), expectation, crash=crash)

    # --- the clock

    @rule(span=spans)
    def let_pass(self, span: timedelta) -> None:
        self.world.clocks.let_pass(span)

    @rule(span=wall_errors)
    def set_wall_clock(self, span: timedelta) -> None:
        self.world.clocks.set_wall_forward(span)

    @rule(time_off=spans, wall_error=st.just(timedelta(0)) | wall_errors)
    def reboot(self, time_off: timedelta, wall_error: timedelta) -> None:
        self.program.close()
        self.world.clocks.reboot(time_off, wall_error)

    @rule()
    def enter_or_leave_time_namespace(self) -> None:
        self.program.close()
        self.world.clocks.is_shifted = not self.world.clocks.is_shifted

    @rule(crash=crashes())
    def tick(self, crash: Crash | None) -> None:
        self.perform(acts.tick_if_due, expectations.expect_tick(self.world), crash=crash)
