"""Select what a disposal deletes and what it keeps, with the reasons.  Only reads the index."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from archiver.model import Submission, Version
from archiver.retention.policy import Decision, Policy, decide
from archiver.store.index import overview
from archiver.store.index.queries import Index
from archiver.store.journal import canonical_json


class VersionDecision(NamedTuple):
    """A version, and the decision on how long it is kept."""

    version: Version
    decision: Decision


class _ContentDivision(NamedTuple):
    """The content objects of disposable versions and of the others.  An object may be in both parts."""

    candidate_sizes: dict[str, int]  # SHA-256 -> bytes, of each object in a disposable version
    needed_objects: set[str]  # SHA-256 of each object in a version that is not disposable


@dataclass(frozen=True, slots=True)
class DisposalSelection:
    """The versions and content objects that a disposal deletes, and the versions that it keeps."""

    disposable: tuple[VersionDecision, ...]
    retained: tuple[VersionDecision, ...]
    #: SHA-256 -> bytes, of each object to delete.
    object_sizes: Mapping[str, int]
    #: The number of objects of disposable versions that are kept, because another version needs them.
    shared_count: int

    @property
    def sha256(self) -> str:
        """The digest of the versions and objects to delete.

        People approve the digest.  A plan whose selection has another digest by now is refused.
        """
        return hashlib.sha256(canonical_json(self._deleted_content())).hexdigest()

    def _deleted_content(self) -> dict[str, Any]:
        """Return the part of the plan that says what is deleted: ``versions`` (tags) and ``objects``, sorted.

        Each object is a list of its SHA-256 and its size in bytes.
        """
        return {
            "versions": sorted(version.tag for version, _ in self.disposable),
            "objects": [[sha256, size] for sha256, size in sorted(self.object_sizes.items())],
        }

    def plan_document(self) -> bytes:
        """Return the plan as canonical JSON, to be attached to the event that journals it."""
        return canonical_json(
            {
                **self._deleted_content(),
                "decisions": [
                    _describe_decision(version, decision)
                    for version, decision in (*self.disposable, *self.retained)
                ],
                "shared_objects": self.shared_count,
            }
        )


def select_disposable(
    index: Index, versions: Iterable[Version], policy: Policy, now: datetime
) -> DisposalSelection:
    """Divide ``versions`` into disposable and retained ones at ``now`` by the compliance clock.

    Versions without files, and versions disposed of before, are in neither part.  An object of a disposable
    version is only selected if no other version of the archive needs it.
    """
    disposable: list[VersionDecision] = []
    retained: list[VersionDecision] = []
    for version in versions:
        if version.disposed is None and version.files:
            decision = decide(version, policy, now)
            part = disposable if decision.disposable else retained
            part.append(VersionDecision(version, decision))
    content = _divide_content(index, [version for version, _ in disposable])
    object_sizes = {
        sha256: size for sha256, size in content.candidate_sizes.items() if sha256 not in content.needed_objects
    }
    shared_count = len(content.candidate_sizes) - len(object_sizes)
    return DisposalSelection(tuple(disposable), tuple(retained), object_sizes, shared_count)


def needed_content(index: Index) -> set[str]:
    """Return the SHA-256 of all content in versions that were not disposed of."""
    return _divide_content(index, []).needed_objects


def _divide_content(index: Index, disposable_versions: Iterable[Version]) -> _ContentDivision:
    """Divide the content of the archive between the disposable versions and all other versions.

    Versions disposed of before need no content.
    """
    disposable_ids = {(version.submission, version.number) for version in disposable_versions}
    disposable_numbers: dict[Submission, list[int]] = defaultdict(list)
    retained_numbers: dict[Submission, list[int]] = defaultdict(list)
    # The index returns the newest version first; _has_number_between() needs ascending numbers.
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
    return _ContentDivision(candidate_sizes, needed_objects)


def _has_number_between(sorted_numbers: list[int], first: int, end: int | None) -> bool:
    """Return True if any of the ascending numbers is at least ``first`` and less than ``end`` (None: no limit)."""
    position = bisect_left(sorted_numbers, first)
    return position < len(sorted_numbers) and (end is None or sorted_numbers[position] < end)


def _describe_decision(version: Version, decision: Decision) -> dict[str, Any]:
    """Return the entry of the plan for one version; times are ISO 8601."""
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
