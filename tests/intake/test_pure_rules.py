"""The pure rules of intake: settling, layout, ignoring."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.config.settings import LAYOUT_FILING, LAYOUT_SUBMISSION
from archiver.intake.layout import Group, group_of_submission, locate_path
from archiver.intake.timing.settle import Settler
from archiver.store.content.source import StatData

QUIET, MAXIMUM = 5.0, 300.0


def state(number: int) -> StatData:
    return StatData(number, number, number, number)


@pytest.fixture
def settler() -> Settler:
    return Settler(QUIET, MAXIMUM)


def test_a_quiet_file_is_due_after_the_quiet_period(settler: Settler) -> None:
    settler.observe_change("g", b"a", state(1), 0)
    assert settler.due_groups(4.9) == []
    assert settler.due_groups(5) == [("g", {b"a": state(1)})]


def test_seeing_the_same_state_again_does_not_start_over(settler: Settler) -> None:
    for now in range(5):
        settler.observe_change("g", b"a", state(1), now)
    assert settler.due_groups(5) != []


def test_a_change_starts_the_quiet_period_over(settler: Settler) -> None:
    settler.observe_change("g", b"a", state(1), 0)
    settler.observe_change("g", b"a", state(2), 4)
    assert settler.due_groups(8.9) == []
    assert settler.due_groups(9) == [("g", {b"a": state(2)})]


def test_files_saved_together_become_due_together(settler: Settler) -> None:
    settler.observe_change("g", b"a", state(1), 0)
    settler.observe_change("g", b"b", state(1), 4)
    settler.observe_change("other", b"c", state(1), 0)
    assert settler.due_groups(5) == [("other", {b"c": state(1)})]
    assert dict(settler.due_groups(9))["g"] == {b"a": state(1), b"b": state(1)}


def test_one_file_that_never_ends_does_not_keep_back_its_neighbours(settler: Settler) -> None:
    settler.observe_change("g", b"quiet", state(1), 0)
    for now in range(299):
        settler.observe_change("g", b"grows", state(now), now)
        assert settler.due_groups(now) == []
    settler.observe_change("g", b"grows", state(1000), 300)
    assert dict(settler.due_groups(300))["g"] == {b"quiet": state(1), b"grows": state(1000)}
    settler.discard("g", [b"quiet"])
    settler.defer("g", b"grows", 300)
    settler.observe_change("g", b"late", state(1), 301)
    assert settler.due_groups(303) == []
    assert dict(settler.due_groups(306))["g"] == {b"late": state(1)}


def test_failures_are_retried_for_ever_with_growing_pauses(settler: Settler) -> None:
    now, pauses = 0.0, []
    settler.observe_change("g", b"a", state(1), now)
    now += QUIET
    for _ in range(20):
        assert settler.due_groups(now) != []
        settler.defer("g", b"a", now)
        start = now
        while not settler.due_groups(now):
            now += 1
        pauses.append(now - start)
    assert pauses == sorted(pauses)
    assert pauses[-1] == MAXIMUM


def test_a_path_that_failed_keeps_nobody_back(settler: Settler) -> None:
    settler.observe_change("g", b"bad", state(1), 0)
    assert settler.due_groups(5) == [("g", {b"bad": state(1)})]
    for _ in range(6):
        settler.defer("g", b"bad", 5)
    settler.observe_change("g", b"good", state(1), 6)
    assert settler.due_groups(10.9) == []
    assert settler.due_groups(11) == [("g", {b"good": state(1)})]


def test_closing_and_opening_again_starts_the_quiet_period_over(settler: Settler) -> None:
    settler.observe_change("g", b"a", state(1), 0)
    settler.observe_change("g", b"a", state(1), 4, has_event=True)
    assert settler.due_groups(5) == []
    assert settler.due_groups(9) == [("g", {b"a": state(1)})]


def test_a_file_held_open_is_tried_as_soon_as_something_happens_to_it(settler: Settler) -> None:
    settler.observe_change("g", b"a", state(1), 0)
    for _ in range(5):
        settler.defer("g", b"a", 10, obstacle="path.held-open")
    assert settler.due_groups(100) == []
    settler.observe_change("g", b"a", state(1), 100, has_event=True)
    assert settler.due_groups(105) == [("g", {b"a": state(1)})]


def test_a_file_that_changes_all_the_time_is_not_read_all_the_time(settler: Settler) -> None:
    settler.observe_change("g", b"a", state(0), 0)
    attempts = 0
    for now in range(1, 2000):
        settler.observe_change("g", b"a", state(now), now, has_event=True)
        if settler.due_groups(now):
            attempts += 1
            settler.defer("g", b"a", now, obstacle="path.still-changing")
    assert 5 <= attempts <= 20


def test_a_file_that_stays_refused_does_not_end_the_wait_for_the_others(settler: Settler) -> None:
    settler.observe_change("g", b"refused", state(0), 0)
    settler.defer("g", b"refused", 10, obstacle="path.refused-file")
    for now in range(1000, 1020):
        settler.observe_change("g", b"copied", state(now), now)
        assert settler.due_groups(now) == []
        assert settler.overdue_paths("g", now) == frozenset()
    assert settler.due_groups(1024) == [("g", {b"refused": state(0), b"copied": state(1019)})]


def test_a_change_does_not_hide_why_the_last_attempt_failed(settler: Settler) -> None:
    settler.observe_change("g", b"a", state(0), 0)
    settler.defer("g", b"a", 10, obstacle="path.held-open")
    settler.observe_change("g", b"a", state(1), 11)
    assert settler.obstacle("g", b"a") == "path.held-open"
    assert settler.due_groups(16) == [("g", {b"a": state(1)})]
    assert settler.obstacle("g", b"gone") == settler.obstacle("none", b"a") == ""


def test_a_longer_quiet_period_holds_for_what_is_pending(settler: Settler) -> None:
    settler.observe_change("g", b"a", state(0), 0)
    settler.set_quiet_periods(12)
    assert settler.due_groups(59) == []
    assert settler.due_groups(60) == [("g", {b"a": state(0)})]
    settler.set_quiet_periods(1)
    assert settler.quiet_seconds == 5


def test_gathered_saves_are_due_together(settler: Settler) -> None:
    settler.observe_change("g", b"a", state(1), 0)
    settler.gather("g", 1000)
    settler.observe_change("g", b"b", state(1), 500)
    assert settler.is_held_back("g", 999)
    assert settler.due_groups(999) == []
    assert settler.earliest_due_time() == 1000
    assert {path for _, path, _ in settler.held_back_paths(999)} == {b"a", b"b"}
    assert dict(settler.due_groups(1000))["g"] == {b"a": state(1), b"b": state(1)}


@given(
    st.lists(
        st.tuples(
            st.sampled_from("gh"),
            st.sampled_from([b"a", b"b"]),
            st.integers(0, 3),
            st.integers(0, 40),
            st.booleans(),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_nothing_becomes_due_before_the_moment_that_was_told(
    history: list[tuple[str, bytes, int, int, bool]],
) -> None:
    """Sleeping until ``earliest_due_time`` misses nothing."""
    settler = Settler(QUIET, MAXIMUM)
    now = 0.0
    for group, path, number, pause, fails in history:
        told = settler.earliest_due_time()
        for step in range(pause):
            if told is not None and now + step < told:
                assert settler.due_groups(now + step) == []
        now += pause
        settler.observe_change(group, path, state(number), now)
        for each, ready in settler.due_groups(now):
            if fails:
                for name in ready:
                    settler.defer(each, name, now)
            else:
                settler.discard(each, ready)


def test_what_is_archived_is_forgotten(settler: Settler) -> None:
    settler.observe_change("g", b"a", state(1), 0)
    settler.discard("g", [b"a"])
    assert settler.due_groups(1000) == []
    assert settler.pending_paths() == []


@given(
    st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.integers(0, 3), st.integers(0, 30)), max_size=40)
)
def test_nothing_is_due_before_it_was_quiet_and_nothing_waits_for_ever(
    history: list[tuple[bytes, int, int]],
) -> None:
    settler = Settler(QUIET, MAXIMUM)
    now = 0.0
    last: dict[bytes, tuple[int, float]] = {}
    first: dict[bytes, float] = {}
    for path, number, pause in history:
        now += pause
        if last.get(path, (None, 0.0))[0] != number:
            last[path] = (number, now)
        first.setdefault(path, now)
        settler.observe_change("g", path, state(number), now)
        for _, ready in settler.due_groups(now):
            for each in ready:
                assert now - last[each][1] >= QUIET or now - first[each] >= MAXIMUM
    if last:
        assert {path for _, ready in settler.due_groups(now + QUIET) for path in ready} == set(last)


NAMES = [b"f", b"s", b"x", "材料".encode(), b"_common", b"_unfiled", b"\xb2\xc4"]


@given(
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=5), st.sampled_from([LAYOUT_SUBMISSION, LAYOUT_FILING])
)
def test_every_file_has_exactly_one_place(parts: list[bytes], layout: str) -> None:
    path = b"/".join(parts)
    group, material = locate_path(path, layout)
    assert material
    prefix = group.prefix
    assert path == (prefix + b"/" + material if prefix else material)
    submission = group.submission()
    assert group_of_submission(submission) == group


@pytest.mark.parametrize(
    ("path", "layout", "submission", "material"),
    [
        (b"f/s/a/b", LAYOUT_SUBMISSION, "f/s", b"a/b"),
        (b"f/a", LAYOUT_SUBMISSION, "f/_common", b"a"),
        (b"a", LAYOUT_SUBMISSION, "_unfiled/_common", b"a"),
        (b"_common/s/a", LAYOUT_SUBMISSION, "%5Fcommon/s", b"a"),
        (b"f/_common/a", LAYOUT_SUBMISSION, "f/%5Fcommon", b"a"),
        (b"_unfiled/a", LAYOUT_SUBMISSION, "%5Funfiled/_common", b"a"),
        (b"f/s/a", LAYOUT_FILING, "f/01", b"s/a"),
        (b"f/a", LAYOUT_FILING, "f/01", b"a"),
        (b"a", LAYOUT_FILING, "_unfiled/_common", b"a"),
    ],
)
def test_where_paths_belong(path: bytes, layout: str, submission: str, material: bytes) -> None:
    group, name = locate_path(path, layout)
    assert (str(group.submission()), name) == (submission, material)


def test_folders_have_a_place_too() -> None:
    assert locate_path(b"f/s/empty", LAYOUT_SUBMISSION, is_folder=True) == (Group(b"f", b"s"), b"empty")
    assert locate_path(b"f/s", LAYOUT_SUBMISSION, is_folder=True) == (Group(b"f", b"s"), b"")
    assert locate_path(b"f", LAYOUT_SUBMISSION, is_folder=True) == (Group(b"f", b""), b"")
