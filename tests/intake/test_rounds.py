"""How groups form rounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from archiver.intake.group_reader import GroupToRead
from archiver.intake.layout import Group
from archiver.intake.timing import rounds
from archiver.store.content.source import StatData
from archiver.store.writing.writer import MAX_BATCH_VERSIONS

#: The sizes of the files of a group.
SIZES = st.lists(st.sampled_from([1, 1000, 30 << 20, 100 << 20]), max_size=4)


def group_of(number: int, sizes: list[int]) -> GroupToRead:
    states = {b"%d/%d" % (number, n): StatData(size, 0, 0, n) for n, size in enumerate(sizes)}
    return GroupToRead(Group(b"f", b"%d" % number), {**states, b"gone": None})


@given(st.lists(SIZES, max_size=150))
def test_rounds_are_bounded_and_keep_the_order(sizes_of_groups: list[list[int]]) -> None:
    groups = [group_of(number, sizes) for number, sizes in enumerate(sizes_of_groups)]
    formed = list(rounds.form_rounds(iter(groups)))
    assert [group for round_groups in formed for group in round_groups] == groups
    for round_groups in formed:
        sizes = [size for group in round_groups for size in sizes_of_groups[groups.index(group)]]
        assert 0 < len(round_groups) <= MAX_BATCH_VERSIONS
        assert len(round_groups) == 1 or sum(sizes) <= rounds._MAX_ROUND_BYTES
    for before, after in zip(formed, formed[1:], strict=False):
        total = sum(state.size for group in (*before, after[0]) for state in group.states.values() if state)
        assert len(before) == MAX_BATCH_VERSIONS or total > rounds._MAX_ROUND_BYTES, "no round ends early"


def test_many_files_end_a_round() -> None:
    groups = [group_of(number, [1] * 700) for number in range(5)]
    assert [len(round_groups) for round_groups in rounds.form_rounds(groups)] == [2, 2, 1]


def test_the_next_group_is_not_waited_for() -> None:
    """A group is looked at just before it is read: later ones may have changed by then."""
    taken: list[int] = []

    def groups():  # type: ignore[no-untyped-def]
        for number in range(3):
            taken.append(number)
            yield group_of(number, [100 << 20])

    formed = rounds.form_rounds(groups())
    next(formed)
    assert taken == [0, 1]
