"""Perform acts on the program, and compare what it has done with what the model expects."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from archiver.config.settings import Config
from archiver.model import Actor
from archiver.store import maintenance
from archiver.store.failpoints import Step
from tests.model import acts, starting_points
from tests.model.comparison import check_effect, check_expected, compare_all, compare_cheaply, names_of
from tests.model.expectations import ANY_ERROR, HOUSE, Batch, Expectation, ExpectedEvent
from tests.model.journal_rules import AbandonedHeads, check_event, check_head, check_signature
from tests.model.program import Act, Crash, CrashKind, Outcome, Program
from tests.model.raw_journal import ObjectReader, RawEvent, read_journal_ref, sha256_of
from tests.model.reference import ReferenceState
from tests.model.retention_rules import check_true_age, holds_on
from tests.model.world import World

OWNER = Actor(os.geteuid(), "archiver")
USERS = (OWNER, Actor(5001, "wang.min"), Actor(5002, "li.na"), Actor(5003, "chen.jie"))
#: The steps that every act with an event reaches; then what a capture, a disposal and maintenance reach besides.
WRITING = (
    *(Step.HEAD_SIGNED, Step.GIT_OBJECTS_WRITTEN, Step.GIT_OBJECTS_DURABLE, Step.REFS_MOVED, Step.REFS_DURABLE),
    Step.INDEX_UPDATED,
)
CAPTURING = (
    *(*WRITING, Step.CONTENT_STAGED, Step.CONTENT_SYNCED, Step.CONTENT_NAMED, Step.CONTENT_DURABLE),
    Step.SNAPSHOT_SAVED,
)
DISPOSING = (*WRITING, Step.CONTENT_DESTROYED)
MAINTAINING = (Step.OBJECTS_PACKED, Step.REFS_PACKED, Step.PACKS_MERGED)
#: Everything is compared after so many acts: `verify` reads the whole archive, which takes as long as a few acts.
_ACTS_BETWEEN_COMPARISONS = 30
_SETTINGS_REPLACED = ExpectedEvent("repository-settings", "archive.git", HOUSE)
_FOLDER_IDENTIFIED = ExpectedEvent("watch-folder", "watch", HOUSE)


@st.composite
def crashes(draw: st.DrawFn, steps: Sequence[Step] = WRITING, *, is_again: bool = False) -> Crash | None:
    """Draw a crash at one of ``steps`` or elsewhere, and no crash in three of five cases."""
    kind = draw(st.sampled_from([*[None] * 6, *CrashKind]))
    if kind is None:
        return None
    again = None if is_again else draw(crashes([*WRITING, *MAINTAINING], is_again=True))
    if kind is CrashKind.KILL_ANYWHERE:
        return Crash(kind, draw(st.integers(1, 80)), again=again)
    if kind is CrashKind.POWER_CUT:
        return Crash(kind, damage=draw(st.integers(0, 4**4 - 1)), again=again)
    return Crash(kind, draw(st.sampled_from([1, 1, 1, 1, 2])), draw(st.sampled_from(steps)), again=again)


class StepCounter:
    """How much the machines of this process have done, for the report of a long run."""

    steps = 0
    acts = 0
    crashes = 0
    disposals = 0
    runs = 0

    @classmethod
    def describe(cls) -> str:
        return (
            f"{cls.steps} steps in {cls.runs} runs so far: {cls.acts} acts, {cls.crashes} crashes, "
            f"{cls.disposals} disposals"
        )


class ArchiveMachine(RuleBasedStateMachine):
    """One archive, and the model of it; the rules are in the subclasses."""

    submissions: Sequence[str] = starting_points.NEW_SUBMISSIONS
    #: True if an earlier release made the repository, whose settings are replaced with the first event of format 2.
    has_old_settings = False

    def __init__(self) -> None:
        super().__init__()
        self.resources = ExitStack()
        self.world = self.begin()
        self.resources.enter_context(self.world.clocks.installed())
        # Otherwise no archive of a run has so many packs that they are merged.
        self.resources.enter_context(patch.object(maintenance, "_MANY_PACKS", 3))
        self.config: Config = self.world.settings.write(self.world.root)
        self.program = Program(self.world.archive)
        self.reader = ObjectReader(self.world.repository)
        self.act_count = 0
        self._next_comparison = _ACTS_BETWEEN_COMPARISONS
        #: True while an act is performed and compared, and after a failure of it.
        self.is_in_act = False
        StepCounter.runs += 1

    def begin(self) -> World:
        return starting_points.begin_new()

    def teardown(self) -> None:
        try:
            if not self.is_in_act:
                self.compare(also_rebuilt=True)
        finally:
            self.program.close()
            self.reader.close()
            self.resources.close()

    # --- acts

    @property
    def state(self) -> ReferenceState:
        return self.world.state

    def perform(
        self,
        act: Act,
        expectation: Expectation,
        *,
        user: Actor = OWNER,
        crash: Crash | None = None,
        is_for_any_format: bool = False,
        is_repair: bool = False,
    ) -> Outcome:
        """Perform an act, and compare what it did with ``expectation``.

        An archive of format 1 refuses all acts but those ``is_for_any_format``.  After a crash, the next writer
        recovers the archive, unless a crashed ``is_repair`` has to be repeated instead.
        """
        self.is_in_act = True
        self.act_count += 1
        StepCounter.acts += 1
        if self.state.format == 1 and not is_for_any_format:
            expectation = Expectation(error=ANY_ERROR)
            # A capture publishes its content objects first.
            self.world.has_leftovers = True
        abandoned, is_signed = self.world.heads_signed_in_vain(), self.world.is_key_usable()
        #: Signed by this act and by what recovers the archive, which may write an event that names them.
        new_abandoned: set[str] = set()
        outcome = self.program.perform(act, user, crash)
        if outcome.is_crashed:
            StepCounter.crashes += 1
            self.world.has_leftovers = self.world.may_have_open_content = True
            new_abandoned |= self.world.heads_signed_in_vain()
            if not is_repair:
                if crash is not None and crash.again is not None:
                    self.program.recover_and_crash(crash.again)
                    new_abandoned |= self.world.heads_signed_in_vain()
                self.program.recover()
        elif expectation.error != ANY_ERROR:
            assert outcome.error == expectation.error, f"{outcome} instead of {expectation}"
        is_unchanged = outcome.is_crashed and is_repair and self._is_journal_behind()
        events = [] if is_unchanged else self.reader.events_after(self.state.commit)
        written = {sha256_of(event.files["head.json"]) for event in events if "head.json" in event.files}
        heads = AbandonedHeads(abandoned - written, new_abandoned - written)
        self._take_in(events, expectation.batches, not outcome.is_crashed, is_signed, heads)
        if not (outcome.is_crashed and is_repair):
            compare_cheaply(self.world, self.program.open())
        self.is_in_act = False
        return outcome

    def _take_in(
        self,
        events: list[RawEvent],
        batches: Sequence[Batch],
        is_whole: bool,
        is_signed: bool,
        abandoned: AbandonedHeads,
    ) -> None:
        """Check the new events against the expected batches, of which a crash may have left out the last ones."""
        rest = list(events)
        waiting = list(batches)
        while waiting or rest:
            if not rest and not is_whole:
                break
            unasked_event = self._find_unasked(rest[0]) if rest else None
            assert waiting or unasked_event, f"unexpected events: {names_of(rest)}"
            batch = Batch([unasked_event]) if unasked_event else waiting.pop(0)
            count = len(batch.events)
            assert len(rest) >= count, f"{names_of(events)} instead of {batches}"
            before, key = copy.copy(self.state), self.state.keys[-1]
            for expected, event in zip(batch.events, rest[:count], strict=True):
                check_event(self.state, event, self.world.clocks.read())
                check_expected(expected, event)
                self.world.elapsed_by_event[event.digest] = self.world.clocks.elapsed
                self.state.apply(event, self.world.clocks.elapsed)
                check_effect(expected, event, self.state, before)
                self._check_disposal(event)
                assert event is rest[count - 1] or "head.json" not in event.files, f"{event} has a signed head"
            newest = rest[count - 1]
            assert ("head.json" in newest.files) == (is_signed or batch.is_signed_by_new_key), f"{newest}: head"
            if "head.json" in newest.files:
                check_head(before, self.state, newest, abandoned)
                check_signature(newest, self.state.keys[-1] if batch.is_signed_by_new_key else key)
                abandoned = AbandonedHeads(set(), abandoned.recent)
            # The next writer installs a key that the journal names.
            is_signed |= batch.is_signed_by_new_key
            rest = rest[count:]

    def _find_unasked(self, event: RawEvent) -> ExpectedEvent | None:
        """Return what is expected of an event that the program writes on its own occasion, before what was asked."""
        if self.has_old_settings and event.action == _SETTINGS_REPLACED.action:
            return _SETTINGS_REPLACED
        is_new_folder = event.details != self.state.watched_folder
        return _FOLDER_IDENTIFIED if event.action == _FOLDER_IDENTIFIED.action and is_new_folder else None

    def _is_journal_behind(self) -> bool:
        """Return True if the journal's ref still names an event before the newest one, which is whole."""
        commit = read_journal_ref(self.world.repository)
        return commit != self.state.commit and commit in self.state.past_oids

    def _check_disposal(self, event: RawEvent) -> None:
        """Check by true time and by the holds that nothing is disposed of too early."""
        if event.action == "dispose-begin":
            StepCounter.disposals += 1
            for tag in event.details["versions"]:
                version = self.state.versions[tag]
                check_true_age(self.state, version, self.world.clocks.elapsed, self.world.terms)
                assert not holds_on(self.state, version), f"{tag} was disposed of under a hold"
        if event.action == "dispose-certify":
            plan = self.state.plans[event.object]
            for digest in plan.objects.keys() - set(event.details["kept"]):
                assert not self.world.has_content(digest), f"{digest} was certified and is there"

    # --- comparisons

    def check_invariants(self, *arguments: Any, **options: Any) -> None:
        """Compare everything now and then.  As an invariant, this would be printed after each step of a failure."""
        super().check_invariants(*arguments, **options)
        StepCounter.steps += 1
        if self.act_count >= self._next_comparison:
            self._next_comparison = self.act_count + _ACTS_BETWEEN_COMPARISONS
            self.compare(also_rebuilt=False)

    def compare(self, *, also_rebuilt: bool) -> None:
        """Compare everything, which takes long."""
        self.is_in_act = True
        acts.enforce_restrictions(self.program.open())
        self.world.may_have_open_content = False
        compare_all(self.world, self.program.open(), self.config, also_rebuilt=also_rebuilt)
        self.is_in_act = False

    def compare_soon(self) -> None:
        """Compare everything after this step, because what it did is rare and may have damaged anything."""
        self._next_comparison = self.act_count

    # --- for the rules

    def settle(self) -> None:
        """Let the next writer do what it does first: after an upgrade it journals the settings that it replaced."""
        self.perform(lambda archive: self.program.recover(), Expectation(), is_for_any_format=True)

    def reopen(self) -> None:
        """Open everything again, as after the archive's folder was replaced."""
        self.program.close()
        self.reader.close()
        self.reader = ObjectReader(self.world.repository)

    def write_settings(self) -> None:
        """Write the settings, as a person who has changed them."""
        self.config = self.world.settings.write(self.world.root)

    def write_file(self, submission: str, name: str, data: bytes) -> None:
        """Write a file of the watched folder, unless a folder is in the way."""
        target = self.world.folder_of(submission) / name
        files = self.world.folder.setdefault(submission, {})
        if target.is_dir() or any(parent.is_file() for parent in target.parents):
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        files[name] = data
        # The folder is not empty any more.
        files.pop(os.path.dirname(name), None)

    def remove_file(self, submission: str, name: str, *, keeps_folder: bool) -> None:
        files, folder = self.world.folder.get(submission, {}), self.world.folder_of(submission)
        if files.get(name) is None:
            return
        (folder / name).unlink()
        del files[name]
        inner = os.path.dirname(name)
        if inner and not any((folder / inner).iterdir()):
            if keeps_folder:
                files[inner] = None
            else:
                shutil.rmtree(folder / inner)
