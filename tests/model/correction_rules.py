"""Records that were wrong, and their corrections."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from archiver.model import Actor
from tests.model import acts
from tests.model.corrections import VALID_NUMBER, expect_correction, find_record, values_of
from tests.model.everyday_rules import EverydayRules, numbers, users
from tests.model.machine import OWNER, crashes
from tests.model.program import Crash

#: Values as typed, by the name of the field; a number stands for a day, so many days from today.
_VALUES: dict[str, tuple[str | int, ...]] = {
    "on": (-2, -3, -400, -2000, 2, "2026-02-30"),
    "received": (-5, -2000),
    "by": ("王敏", "李娜", ""),
    "reason": ("停止服务", "笔误", ""),
    "responsible": ("李娜", "陈杰", "王敏", ""),
    "kind": ("change", "first", "inquiry", "other words"),
    "material": ("yes", "no", "perhaps"),
    "number": (VALID_NUMBER, VALID_NUMBER, "", "12"),
    "owner": ("法务", ""),
    "status": ("returned", "filed", "x"),
    # A record has no such field that can be corrected.
    "version": ("1",),
    "nothing": ("",),
}
_REASON = "笔误"


class CorrectionRules(EverydayRules):
    """Corrections of records, and void records."""

    def _event_number(self, choice: int, kind: str) -> int:
        """Return the number of a record, of a correction, of any event, or of one that does not exist."""
        records = list(self.state.correctable.values())
        numbers = [record.seq for record in records]
        if kind == "correction":
            numbers = [each.seq for record in records for each in record.corrections] or numbers
        if kind == "event" or not numbers:
            numbers = list(range(-1, self.state.seq + 2))
        return numbers[-1 - choice % len(numbers)]

    def _typed_value(self, seq: int, field_choice: int, value_choice: int) -> tuple[str, str]:
        """Return the name of a field, mostly one that the record has, and a value."""
        record = find_record(self.state, seq)
        names = [name for name in _VALUES if record is not None and name in values_of(record)] * 4 + [*_VALUES]
        name = names[field_choice % len(names)]
        value = _VALUES[name][value_choice % len(_VALUES[name])]
        if isinstance(value, int):
            value = (self.world.clocks.wall + timedelta(days=value)).date().isoformat()
        return name, value

    @rule(
        choice=st.integers(0, 9),
        kind=st.sampled_from(["record", "record", "record", "correction", "event"]),
        typed=st.lists(st.tuples(st.integers(0, 39), st.integers(0, 11)), min_size=1, max_size=2),
        reason=st.sampled_from([_REASON, _REASON, "typing error", " "]),
        user=users,
        crash=crashes(),
    )
    def correct(
        self, choice: int, kind: str, typed: list[tuple[int, int]], reason: str, user: Actor, crash: Crash | None
    ) -> None:
        seq = self._event_number(choice, kind)
        self._correct(seq, dict(self._typed_value(seq, *each) for each in typed), reason, user=user, crash=crash)

    @precondition(lambda self: self.state.correctable)
    @rule(choice=st.integers(0, 9), values=st.permutations(["王敏", "李娜", ""]), crash=crashes())
    def correct_again(self, choice: int, values: list[str], crash: Crash | None) -> None:
        """Corrects a field twice; the second time, the person names the first correction."""
        seq = self._event_number(choice, "record")
        for value in values[:2]:
            self._correct(seq, {"by": value}, _REASON, crash=crash)
            seq = self._event_number(0, "correction")

    @rule(
        choice=st.integers(0, 9),
        kind=st.sampled_from(["record", "record", "correction", "event"]),
        user=users,
        crash=crashes(),
    )
    def void(self, choice: int, kind: str, user: Actor, crash: Crash | None) -> None:
        self._correct(self._event_number(choice, kind), {}, "不曾发生", user=user, crash=crash)

    @rule(number=numbers, crash=crashes())
    def end_by_mistake(self, number: int, crash: Crash | None) -> None:
        """Ends a filing, and voids that: the filing is live as before, and a period counts from the end."""
        self.end(number=number, crash=None)
        self._correct(self._event_number(0, "record"), {}, "另一备案", crash=crash)

    def _correct(
        self, seq: int, typed_values: dict[str, str], reason: str, *, user: Actor = OWNER, crash: Crash | None
    ) -> None:
        expectation = expect_correction(self.world, seq, typed_values, reason)
        self.perform(acts.correct(self.config, seq, typed_values, reason), expectation, user=user, crash=crash)
