"""The machines: all rules, on a new archive, and on one of an earlier release."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import initialize

from tests.model import starting_points
from tests.model.correction_rules import CorrectionRules
from tests.model.machine import crashes
from tests.model.mishap_rules import MishapRules
from tests.model.package_rules import PackageRules
from tests.model.program import Crash
from tests.model.restriction_rules import RestrictionRules
from tests.model.retention_setting_rules import RetentionSettingRules
from tests.model.world import World


class AllRules(CorrectionRules, RestrictionRules, RetentionSettingRules, MishapRules, PackageRules):
    """The rules of every machine; a new module of rules is added here."""


class NewArchive(AllRules):
    """A new archive."""


class GoldenArchive(AllRules):
    """The archive of an earlier release, of format 1 until it is upgraded."""

    submissions = starting_points.GOLDEN_SUBMISSIONS
    has_old_settings = True

    def begin(self) -> World:
        return starting_points.begin_golden()

    @initialize(is_upgraded=st.sampled_from([True, True, False]), crash=crashes())
    def begin_with_upgrade(self, is_upgraded: bool, crash: Crash | None) -> None:
        """In most runs; in the others an upgrade may come later."""
        if is_upgraded:
            self.upgrade(crash=crash)
