"""Select what a disposal deletes, and what stays and why.  Reads only; the policy decides."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from archiver.model import Submission, Version
from archiver.retention.policy import Decision, Policy, decide
from archiver.store.index import overview
from archiver.store.index.queries import Index
from archiver.store.journal import canonical


@dataclass(frozen=True, slots=True)
class DisposalSelection:
    """Versions to delete and versions to keep, each with a decision, and the content objects to delete."""

    disposable: tuple[tuple[Version, Decision], ...]
    retained: tuple[tuple[Version, Decision], ...]
    #: SHA-256 -> bytes, of each object to delete.
    object_sizes: Mapping[str, int]
    #: Objects of disposable versions that are kept, because another version needs them.
    shared_count: int

    @property
    def sha256(self) -> str:
        """The digest of the versions and objects to delete: people approve the digest, and nothing else is run."""
        return hashlib.sha256(canonical(self._deleted_content())).hexdigest()

    def _deleted_content(self) -> dict[str, Any]:
        return {
            "versions": sorted(version.tag for version, _ in self.disposable),
            "objects": [[sha256, size] for sha256, size in sorted(self.object_sizes.items())],
        }

    def plan_document(self) -> bytes:
        """Return the plan as JSON, to be attached to the event."""
        return canonical(
            {
                **self._deleted_content(),
                "decisions": [_describe_decision(*pair) for pair in (*self.disposable, *self.retained)],
                "shared_objects": self.shared_count,
            }
        )


def select_disposable(
    index: Index, versions: Iterable[Version], policy: Policy, now: datetime
) -> DisposalSelection:
    """Divide ``versions`` into disposable and retained ones at ``now`` by the compliance clock.

    Versions disposed of before and empty versions are in neither part.
    """
    disposable: list[tuple[Version, Decision]] = []
    retained: list[tuple[Version, Decision]] = []
    for version in versions:
        if version.disposed is None and version.files:
            decision = decide(version, policy, now)
            (disposable if decision.disposable else retained).append((version, decision))
    candidate_sizes, needed_objects = _divide_content(index, [version for version, _ in disposable])
    object_sizes = {sha256: size for sha256, size in candidate_sizes.items() if sha256 not in needed_objects}
    shared_count = len(candidate_sizes) - len(object_sizes)
    return DisposalSelection(tuple(disposable), tuple(retained), object_sizes, shared_count)


def needed_content(index: Index) -> set[str]:
    """Return the SHA-256 of all content in versions still retained."""
    return _divide_content(index, [])[1]


def _divide_content(index: Index, disposable: Iterable[Version]) -> tuple[dict[str, int], set[str]]:
    """Return the objects of the disposable versions by size, and all objects needed by other versions.

    An object may be in both: two versions can share content.
    """
    disposable_ids = {(version.submission, version.number) for version in disposable}
    disposable_numbers: dict[Submission, list[int]] = defaultdict(list)
    retained_numbers: dict[Submission, list[int]] = defaultdict(list)
    # From the oldest on, so that the numbers of a submission are in order.
    for version in reversed(index.versions()):
        if (version.submission, version.number) in disposable_ids:
            disposable_numbers[version.submission].append(version.number)
        elif version.disposed is None:
            retained_numbers[version.submission].append(version.number)
    candidate_sizes: dict[str, int] = {}
    needed_objects: set[str] = set()
    for submission, sha256, size, first_number, end_number in overview.content_intervals(index):
        if _has_number_between(disposable_numbers[submission], first_number, end_number):
            candidate_sizes[sha256] = size
        if _has_number_between(retained_numbers[submission], first_number, end_number):
            needed_objects.add(sha256)
    return candidate_sizes, needed_objects


def _has_number_between(sorted_numbers: list[int], first: int, end: int | None) -> bool:
    """Return True if a number is at least ``first`` and less than ``end``; None: without an end."""
    position = bisect_left(sorted_numbers, first)
    return position < len(sorted_numbers) and (end is None or sorted_numbers[position] < end)


def _describe_decision(version: Version, decision: Decision) -> dict[str, Any]:
    return {
        "tag": version.tag,
        "goes": decision.disposable,
        "keep_until": decision.keep_until.isoformat(),
        "open": [str(condition) for condition in decision.open],
        "reasons": [
            {
                "rule": reason.rule,
                "anchor": reason.anchor,
                "keep_until": reason.keep_until.isoformat(),
                "profile": reason.profile,
                "basis": str(reason.basis),
            }
            for reason in decision.reasons
        ],
    }
