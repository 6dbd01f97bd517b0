"""Select the versions and the content to dispose of or to keep, with the reasons.  Only reads the index."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from archiver.model import Submission, Version
from archiver.retention.policy import RetentionDecision, RetentionPolicy, decide_retention
from archiver.store.events.canonical_json import encode_canonical
from archiver.store.index import overview
from archiver.store.index.queries import Index


class VersionDecision(NamedTuple):
    """A version, and the decision on how long to keep it."""

    version: Version
    decision: RetentionDecision


class _ContentDivision(NamedTuple):
    """The content objects of disposable and of all other versions.  An object may be in both parts."""

    candidate_sizes: dict[str, int]  # SHA-256 -> bytes, of each object in a disposable version
    needed_objects: set[str]  # SHA-256 of each object in a version that is not disposable


@dataclass(frozen=True, slots=True)
class DisposalSelection:
    """The versions and content objects deleted by a disposal, and the versions kept."""

    disposable_decisions: tuple[VersionDecision, ...]
    retained_decisions: tuple[VersionDecision, ...]
    #: SHA-256 -> bytes, of each object to delete.
    object_sizes: Mapping[str, int]
    #: The number of objects in disposable versions that are kept, because another version needs them.
    shared_count: int

    @property
    def plan_sha256(self) -> str:
        """The digest of the versions and objects to delete, in hex.

        People approve this digest.  A plan is refused if a new selection from its versions has another digest.
        """
        return hashlib.sha256(encode_canonical(self._describe_deletions())).hexdigest()

    def _describe_deletions(self) -> dict[str, Any]:
        """Return the part of the plan that states the deletions: ``versions`` (tags) and ``objects``, both sorted.

        Each object is a list of its SHA-256 and its size in bytes.
        """
        return {
            "versions": sorted(version.tag for version, _ in self.disposable_decisions),
            "objects": [[sha256, size] for sha256, size in sorted(self.object_sizes.items())],
        }

    @property
    def filing_names(self) -> list[str]:
        """The names, as in refs, of the filings with versions to delete, sorted."""
        return sorted({version.submission.filing for version, _ in self.disposable_decisions})

    def part_of_filing(self, index: Index, filing_name: str) -> DisposalSelection:
        """Return the part of this selection for one filing.

        An object in versions of two filings is in both parts: the disposal that comes last deletes it.
        """
        disposable_decisions = _decisions_of_filing(self.disposable_decisions, filing_name)
        candidate_sizes = _divide_content(index, [version for version, _ in disposable_decisions]).candidate_sizes
        object_sizes = {sha256: size for sha256, size in candidate_sizes.items() if sha256 in self.object_sizes}
        return DisposalSelection(
            disposable_decisions=disposable_decisions,
            retained_decisions=_decisions_of_filing(self.retained_decisions, filing_name),
            object_sizes=object_sizes,
            shared_count=len(candidate_sizes) - len(object_sizes),
        )

    def encode_plan(self) -> bytes:
        """Return the plan as canonical JSON, to be attached to the plan's journal event."""
        return encode_canonical(
            {
                **self._describe_deletions(),
                "decisions": [
                    _describe_decision(version, decision)
                    for version, decision in (*self.disposable_decisions, *self.retained_decisions)
                ],
                "shared_objects": self.shared_count,
            }
        )


def select_disposable(
    index: Index, versions: Iterable[Version], policy: RetentionPolicy, now: datetime
) -> DisposalSelection:
    """Divide ``versions`` into disposable and retained versions at ``now`` by the compliance clock.

    Versions without files, and versions already disposed of, are in neither part.  An object of a disposable
    version is selected only if no other version in the archive needs the object.
    """
    disposable_decisions: list[VersionDecision] = []
    retained_decisions: list[VersionDecision] = []
    for version in versions:
        if version.disposed is None and version.files:
            decision = decide_retention(version, policy, now)
            matching_decisions = disposable_decisions if decision.is_disposable else retained_decisions
            matching_decisions.append(VersionDecision(version, decision))
    content_division = _divide_content(index, [version for version, _ in disposable_decisions])
    object_sizes = {
        sha256: size
        for sha256, size in content_division.candidate_sizes.items()
        if sha256 not in content_division.needed_objects
    }
    return DisposalSelection(
        disposable_decisions=tuple(disposable_decisions),
        retained_decisions=tuple(retained_decisions),
        object_sizes=object_sizes,
        shared_count=len(content_division.candidate_sizes) - len(object_sizes),
    )


def _decisions_of_filing(decisions: Iterable[VersionDecision], filing_name: str) -> tuple[VersionDecision, ...]:
    """Return those of ``decisions`` that are about versions of a filing, in the same order."""
    return tuple(decision for decision in decisions if decision.version.submission.filing == filing_name)


def find_needed_objects(index: Index) -> set[str]:
    """Return the SHA-256 of every content object in any version that was not disposed of."""
    return _divide_content(index, []).needed_objects


def measure_content(index: Index, version_groups: Sequence[Iterable[Version]]) -> list[int]:
    """Return the size in bytes of the content in each group of versions, in the order of the groups.

    A content object counts once in a group, even if several versions or paths of the group have it.
    """
    numbers_by_group: list[dict[Submission, list[int]]] = []
    for versions in version_groups:
        unsorted_numbers: dict[Submission, list[int]] = defaultdict(list)
        for version in versions:
            unsorted_numbers[version.submission].append(version.number)
        numbers_by_group.append({submission: sorted(numbers) for submission, numbers in unsorted_numbers.items()})
    sizes_by_group: list[dict[str, int]] = [{} for _ in numbers_by_group]
    for submission, sha256, size, first_number, end_number in overview.content_intervals(index):
        for numbers_by_submission, sizes in zip(numbers_by_group, sizes_by_group, strict=True):
            if _has_number_between(numbers_by_submission.get(submission, []), first_number, end_number):
                sizes[sha256] = size
    return [sum(sizes.values()) for sizes in sizes_by_group]


def _divide_content(index: Index, disposable_versions: Iterable[Version]) -> _ContentDivision:
    """Divide the content of the archive between ``disposable_versions`` and all other versions.

    Versions already disposed of need no content.  An object that is in versions of both kinds is in both parts.
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


def _has_number_between(sorted_numbers: list[int], first_number: int, end_number: int | None) -> bool:
    """Return True if any of the ascending numbers is at least ``first_number`` and less than ``end_number``.

    If ``end_number`` is None, there is no upper limit.
    """
    candidate_index = bisect_left(sorted_numbers, first_number)
    return candidate_index < len(sorted_numbers) and (
        end_number is None or sorted_numbers[candidate_index] < end_number
    )


def _describe_decision(version: Version, decision: RetentionDecision) -> dict[str, Any]:
    """Return the entry of the plan for one version; times are ISO 8601."""
    return {
        "tag": version.tag,
        "goes": decision.is_disposable,
        "keep_until": decision.keep_until.isoformat(),
        "open": [str(condition) for condition in decision.open_conditions],
        "reasons": [
            {
                "rule": reason.rule,
                "anchor": reason.counted_from,
                "keep_until": reason.keep_until.isoformat(),
                "profile": reason.profile,
                "basis": str(reason.basis),
            }
            for reason in decision.reasons
        ],
    }
