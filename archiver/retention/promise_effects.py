"""Compute the effect of a waiting promise on the archived versions. Only reads the index.

A *waiting promise* is longer retention in the settings that no person has accepted yet. An *item* is one period,
time zone or rule of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from archiver.config.settings import Config
from archiver.model import Promises, Version
from archiver.profiles import BASIS, Profile
from archiver.retention.disposal_selection import measure_content
from archiver.retention.policy import RetentionPolicy, accepted_policy, decide_retention, scopes_of_submission
from archiver.retention.promises import RetentionItem, WaitingPromise
from archiver.store.index.promise_rows import PromiseKind
from archiver.store.index.queries import Index


class Extension(NamedTuple):
    """The versions that are retained longer because of an item."""

    versions: list[Version]
    #: The latest day through which the item retains any of them.  None if there are no such versions, or if the
    #: item states no date.
    retained_through: date | None


@dataclass(frozen=True, slots=True)
class PromiseEffect:
    """The versions archived now whose retention becomes binding when an item is accepted."""

    item: RetentionItem
    #: The number of versions that are retained longer than without the acceptance.
    version_count: int
    #: The total size of their contents in bytes; each content counts once.
    byte_count: int
    #: See :attr:`Extension.retained_through`.
    retained_through: date | None


def compute_effects(
    index: Index, waiting: WaitingPromise, config: Config, promises: Promises, now: datetime
) -> list[PromiseEffect]:
    """Return the effect of each item of ``waiting`` at ``now`` by the compliance clock, in the order of the items.

    ``waiting`` is the retention that ``config`` requires beyond ``promises``.  Versions without files, and those
    disposed of, have nothing to retain and are left out.
    """
    policy = accepted_policy(config, promises)
    versions = [version for version in index.versions() if version.files and version.disposed is None]
    extensions = [find_extended_versions(item, versions, policy, now) for item in waiting.items]
    byte_counts = measure_content(index, [extension.versions for extension in extensions])
    return [
        PromiseEffect(item, len(extension.versions), byte_count, extension.retained_through)
        for item, extension, byte_count in zip(waiting.items, extensions, byte_counts, strict=True)
    ]


def find_extended_versions(
    item: RetentionItem, versions: Iterable[Version], policy: RetentionPolicy, now: datetime
) -> Extension:
    """Return the versions that ``item`` retains longer than the accepted ``policy``, and through which day."""
    if item.kind is PromiseKind.WHILE_LIVE:
        return Extension([version for version in versions if version.live], None)
    extended_policy = _extend_policy(item, policy)
    extended_versions: list[Version] = []
    longest_end: datetime | None = None
    for version in versions:
        if item.kind is PromiseKind.PERIOD and item.name not in scopes_of_submission(version.submission):
            continue
        item_end = decide_retention(version, extended_policy, now).keep_until
        if item_end > decide_retention(version, policy, now).keep_until:
            extended_versions.append(version)
            longest_end = item_end if longest_end is None else max(longest_end, item_end)
    return Extension(extended_versions, None if longest_end is None else longest_end.date())


def _extend_policy(item: RetentionItem, policy: RetentionPolicy) -> RetentionPolicy:
    """Return ``policy`` with the time zone of ``item`` added, or with the period of ``item`` as the only period.

    The period then applies to every submission.  So the caller leaves out the versions outside of the item's
    scope.
    """
    if item.kind is PromiseKind.TIME_ZONE:
        return replace(policy, time_zones=(*policy.time_zones, ZoneInfo(item.name)))
    return replace(policy, profiles_by_scope={"": (Profile("years", item.years, BASIS),)})
