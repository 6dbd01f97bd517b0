"""Longer retention in the settings: accepted, withdrawn, or waiting for either."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from archiver.actions.retention_actions import describe_waiting_retention
from archiver.model import Actor
from tests.model import acts
from tests.model.accepted_retention import (
    YEARS_WITHOUT_TYPING,
    Waiting,
    check_shown,
    expect_acceptance,
    waiting_retention,
)
from tests.model.commands import run_command
from tests.model.disposal_rules import DisposalRules
from tests.model.everyday_rules import numbers, users
from tests.model.machine import DISPOSING, OWNER, crashes
from tests.model.program import Crash
from tests.model.settings_file import DEFAULT_TIME_ZONE
from tests.model.world import COMMON

#: A period of decades ends all disposals in its scope, so only the last filing gets one.
DECADES = ("cn-archive-30", "cn-archive-permanent")
PROFILES = st.sampled_from(
    [*["sec-17a4"] * 3, *["cn-archive-10"] * 2, *["cn-archive-30"] * 2, "cn-archive-permanent"]
)


class RetentionSettingRules(DisposalRules):
    """Changed settings, and their acceptance."""

    def __init__(self) -> None:
        super().__init__()
        #: The digest by which a person accepts what that person was shown, and what it was.
        self.shown: tuple[str, Waiting] | None = None

    def _scope(self, number: int, level: int) -> str:
        """Return the scope of everything, of a filing, or of a submission."""
        submission = self.submission(number)
        return ["", self.filing(number), self.filing(number) if submission.endswith(COMMON) else submission][level]

    @rule(
        number=numbers,
        level=st.sampled_from([0, 1, 1, 2, 2]),
        profile=PROFILES,
        accepts=st.booleans(),
        crash=crashes(),
    )
    def configure_longer(self, number: int, level: int, profile: str, accepts: bool, crash: Crash | None) -> None:
        if profile in DECADES:
            number, level = len(self.submissions) - 1, max(level, 1)
        self.world.settings.profiles[self._scope(number, level)] = profile
        self.write_settings()
        if accepts:
            self.show_waiting()
            self.accept_shown(crash)

    @precondition(lambda self: self.world.settings.profiles)
    @rule(choice=st.integers(0, 9))
    def withdraw(self, choice: int) -> None:
        """What was not accepted ends; what was accepted does not."""
        scopes = list(self.world.settings.profiles)
        del self.world.settings.profiles[scopes[choice % len(scopes)]]
        self.write_settings()

    # Most acts happen at two in the morning (UTC), from when a day ends later in Berlin, and earlier in Kiritimati.
    @rule(zone=st.sampled_from([DEFAULT_TIME_ZONE, DEFAULT_TIME_ZONE, "Europe/Berlin", "Pacific/Kiritimati"]))
    def configure_time_zone(self, zone: str) -> None:
        self.world.settings.time_zone = zone
        self.write_settings()

    @rule()
    def show_waiting(self) -> None:
        description = describe_waiting_retention(self.program.open(), self.config)
        check_shown(self.world, description)
        waiting = waiting_retention(self.world)
        self.shown = None if waiting is None else (description["promise"], waiting)

    @precondition(lambda self: self.shown is not None)
    @rule(typed_years=st.sampled_from([None, None, 6, 10, 30, 10_000]), user=users, crash=crashes())
    def accept(self, typed_years: int | None, user: Actor, crash: Crash | None) -> None:
        """Accepts what was shown, perhaps a while ago."""
        promise_id, shown = self.shown or ("", None)
        expectation = expect_acceptance(self.world, shown, typed_years)
        self.perform(acts.accept(self.config, promise_id, typed_years), expectation, user=user, crash=crash)

    @rule(
        number=numbers,
        level=st.sampled_from([0, 1, 1, 2]),
        profile=st.none() | PROFILES,
        typed=st.sampled_from(["nothing", "longest", "longest", "another"]),
    )
    def accept_by_command(self, number: int, level: int, profile: str | None, typed: str) -> None:
        """Accepts what waits now, as a script does, without a terminal."""
        if profile is not None:
            self.configure_longer(number=number, level=level, profile=profile, accepts=False, crash=None)
        waiting = waiting_retention(self.world)
        longest = 0 if waiting is None else waiting.longest
        typed_years = {"nothing": None, "longest": longest, "another": longest + 1}[typed]
        expectation = expect_acceptance(self.world, waiting, typed_years)
        years = [] if typed_years is None else ["--years", str(typed_years)]
        exit_code = 2 if expectation.error == "UsageError" else 0
        if self.state.format > 1:
            # The command opens the archive itself.
            self.program.close()
            self.perform(
                lambda _: run_command(self.world.root, "retention", "accept", *years, exit_code=exit_code),
                expectation._replace(error=""),
            )

    @rule(number=numbers, profiles=st.tuples(PROFILES, PROFILES), crash=crashes())
    def accept_after_change(self, number: int, profiles: tuple[str, str], crash: Crash | None) -> None:
        """Accepts what was shown before the settings changed again."""
        self.configure_longer(number=number, level=2, profile=profiles[0], accepts=False, crash=None)
        self.show_waiting()
        self.configure_longer(number=number + 1, level=1, profile=profiles[1], accepts=False, crash=None)
        self.accept_shown(crash)

    @rule(number=numbers, ends_by=st.sampled_from(["acceptance", "withdrawal"]), crash=crashes(DISPOSING))
    def dispose_under_longer(self, number: int, ends_by: str, crash: Crash | None) -> None:
        """Tries to dispose of versions of a filing for which six years wait, and again when they wait no more."""
        scope = self.filing(number)
        earlier_profile = self.world.settings.profiles.get(scope)
        self.supersede(number)
        self.end_and_wait(number, years_pass=True)
        self.configure_longer(number=number, level=1, profile="sec-17a4", accepts=False, crash=None)
        self.dispose_of_disposable("", crash)
        if ends_by == "acceptance":
            self.show_waiting()
            self.accept_shown(crash)
        del self.world.settings.profiles[scope]
        if earlier_profile is not None:
            self.world.settings.profiles[scope] = earlier_profile
        self.write_settings()
        self.dispose_of_disposable("", crash)

    def accept_shown(self, crash: Crash | None) -> None:
        """Accept what was shown, and type the years if that is required."""
        if self.shown is not None:
            longest = self.shown[1].longest
            self.accept(typed_years=longest if longest > YEARS_WITHOUT_TYPING else None, user=OWNER, crash=crash)
