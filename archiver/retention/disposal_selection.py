"""What a disposal would take, and what it would leave and why.  Reads; decides nothing on its own."""

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
    """Versions that go and stay, with the decision for each, and the content objects that go (size by SHA-256).

    ``shared``: how many objects of the versions that go stay, because a version that stays needs them.
    """

    going: tuple[tuple[Version, Decision], ...]
    staying: tuple[tuple[Version, Decision], ...]
    objects: Mapping[str, int]
    shared: int

    @property
    def sha256(self) -> str:
        """The digest of exactly what goes: what was approved is what is run."""
        return hashlib.sha256(canonical(self._what_goes())).hexdigest()

    def _what_goes(self) -> dict[str, Any]:
        return {
            "versions": sorted(version.tag for version, _ in self.going),
            "objects": [[sha256, size] for sha256, size in sorted(self.objects.items())],
        }

    def document(self) -> bytes:
        """The plan as it is attached to its event."""
        return canonical(
            {
                **self._what_goes(),
                "decisions": [_described(*pair) for pair in (*self.going, *self.staying)],
                "shared_objects": self.shared,
            }
        )


def select(index: Index, versions: Iterable[Version], policy: Policy, now: datetime) -> DisposalSelection:
    """Of ``versions``, those that may go at the compliance clock's ``now``, and their content."""
    going: list[tuple[Version, Decision]] = []
    staying: list[tuple[Version, Decision]] = []
    for version in versions:
        if version.disposed is None and version.files:
            decision = decide(version, policy, now)
            (going if decision.disposable else staying).append((version, decision))
    leaving, needed = _content(index, [version for version, _ in going])
    objects = {sha256: size for sha256, size in leaving.items() if sha256 not in needed}
    return DisposalSelection(tuple(going), tuple(staying), objects, len(leaving) - len(objects))


def needed_content(index: Index) -> set[str]:
    """The SHA-256 of all content that a version needs which is not disposed of."""
    return _content(index, [])[1]


def _content(index: Index, going: Iterable[Version]) -> tuple[dict[str, int], set[str]]:
    """The content of the versions that go, and all that a version which stays needs."""
    leaves = {(version.submission, version.number) for version in going}
    gone: dict[Submission, list[int]] = defaultdict(list)
    kept: dict[Submission, list[int]] = defaultdict(list)
    for version in reversed(index.versions()):
        if (version.submission, version.number) in leaves:
            gone[version.submission].append(version.number)
        elif version.disposed is None:
            kept[version.submission].append(version.number)
    leaving: dict[str, int] = {}
    needed: set[str] = set()
    for submission, sha256, size, first, until in overview.content_intervals(index):
        if _any_between(gone[submission], first, until):
            leaving[sha256] = size
        if _any_between(kept[submission], first, until):
            needed.add(sha256)
    return leaving, needed


def _any_between(numbers: list[int], first: int, until: int | None) -> bool:
    """Whether one of the numbers, in order, is at least ``first`` and, if that is given, under ``until``."""
    place = bisect_left(numbers, first)
    return place < len(numbers) and (until is None or numbers[place] < until)


def _described(version: Version, decision: Decision) -> dict[str, Any]:
    return {
        "tag": version.tag,
        "goes": decision.disposable,
        "keep_until": decision.keep_until.isoformat(),
        "open": [str(each) for each in decision.open],
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
