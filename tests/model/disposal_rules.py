"""Plans, approvals, and deletions."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from archiver.model import Actor
from tests.model import acts, expectations
from tests.model.everyday_rules import LONG_ENOUGH, EverydayRules, numbers, users
from tests.model.machine import DISPOSING, USERS, crashes
from tests.model.program import Crash
from tests.model.reference import ReferencePlan


class DisposalRules(EverydayRules):
    """Plans, approvals, deletions."""

    @rule(choices=st.lists(st.integers(0, 99), max_size=3), user=users, crash=crashes())
    def plan(self, choices: list[int], user: Actor, crash: Crash | None) -> None:
        tags = list(self.state.versions)
        chosen = list(dict.fromkeys(tags[choice % len(tags)] for choice in choices)) if tags else []
        expectation = expectations.expect_plan(self.world, chosen)
        self.perform(acts.plan(self.config, chosen), expectation, user=user, crash=crash)

    def _plan(self, choice: int) -> ReferencePlan:
        plans = list(self.state.plans.values())
        return plans[-1 - choice % len(plans)]

    @precondition(lambda self: self.state.plans)
    @rule(choice=st.integers(0, 3), user=users, crash=crashes())
    def approve(self, choice: int, user: Actor, crash: Crash | None) -> None:
        plan = self._plan(choice)
        expectation = expectations.expect_approval(self.world, plan, user.uid)
        self.perform(acts.approve(self.config, plan.identity), expectation, user=user, crash=crash)

    @precondition(lambda self: self.state.plans)
    @rule(choice=st.integers(0, 3), crash=crashes(DISPOSING))
    def dispose(self, choice: int, crash: Crash | None) -> None:
        plan = self._plan(choice)
        expectation = expectations.expect_disposal(self.world, plan)
        self.perform(acts.dispose(self.config, plan.identity), expectation, crash=crash)

    @rule(
        number=numbers,
        leaves_out=st.sampled_from(["", "", "", "approval", "cooling-off", "years"]),
        crash=crashes(DISPOSING),
    )
    def dispose_of_all(self, number: int, leaves_out: str, crash: Crash | None) -> None:
        """The whole way from two versions to the deletion of the first, perhaps without one of the conditions."""
        self.supersede(number)
        self.end_and_wait(number, years_pass=leaves_out != "years")
        self.dispose_of_disposable(leaves_out, crash)

    def supersede(self, number: int) -> None:
        """Capture a few versions of a submission."""
        for data in (b"1", b"shared", b"22"):
            self.write_file(self.submission(number), "a", data + str(self.act_count % 3).encode())
            self.capture_one(number=number, crash=None)

    def end_and_wait(self, number: int, *, years_pass: bool) -> None:
        self.end(number=number, crash=None)
        if years_pass:
            self.world.clocks.let_pass(LONG_ENOUGH)

    def dispose_of_disposable(self, leaves_out: str, crash: Crash | None) -> None:
        """Dispose of what may be deleted now, perhaps without one of the conditions."""
        self.plan(choices=[], user=USERS[1], crash=None)
        for plan in [plan for plan in self.state.plans.values() if not plan.approvals and not plan.is_begun]:
            if plan.planner != USERS[1].uid:
                continue
            for user in USERS[2:] if leaves_out != "approval" else USERS[2:3]:
                expectation = expectations.expect_approval(self.world, plan, user.uid)
                self.perform(acts.approve(self.config, plan.identity), expectation, user=user)
            if leaves_out != "cooling-off":
                self.world.clocks.let_pass(timedelta(days=8))
            expectation = expectations.expect_disposal(self.world, plan)
            self.perform(acts.dispose(self.config, plan.identity), expectation, crash=crash)
