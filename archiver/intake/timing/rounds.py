"""Divide groups into rounds: the groups of a round are read and archived together.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from archiver.intake.group_reader import GroupToRead
from archiver.store.content.source import StatData
from archiver.store.writing.writer import MAX_BATCH_VERSIONS

#: A round ends before the group that would exceed one of these limits.  Longer rounds save hardly any syncs, and
#: each group of a round waits until the last file of the round is read.
_MAX_ROUND_FILES = 2_000
_MAX_ROUND_BYTES = 64 << 20


def form_rounds(groups: Iterable[GroupToRead]) -> Iterator[list[GroupToRead]]:
    """Yield ``groups`` in rounds, in the same order.

    A group over the limits is a round by itself, so that no small group waits until gigabytes are read.
    """
    round_groups: list[GroupToRead] = []
    file_count = byte_count = 0
    for group in groups:
        sizes = [state.size for state in group.states.values() if isinstance(state, StatData)]
        if round_groups and (
            len(round_groups) == MAX_BATCH_VERSIONS
            or file_count + len(sizes) > _MAX_ROUND_FILES
            or byte_count + sum(sizes) > _MAX_ROUND_BYTES
        ):
            yield round_groups
            round_groups, file_count, byte_count = [], 0, 0
        round_groups.append(group)
        file_count += len(sizes)
        byte_count += sum(sizes)
    if round_groups:
        yield round_groups
