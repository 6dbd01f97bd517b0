"""Declare the settings of single filings: the tables ``[filings.NAME]`` of ``archiver.toml``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from archiver.config import value_types as types
from archiver.config.schema import setting
from archiver.errors import LazyMessage

#: The type of a size limit.  2^53 is the largest integer that every reader of TOML and JSON keeps exactly.
BYTE_COUNT = types.whole_number(1, 1 << 53, LazyMessage("must be a whole number of bytes, at least 1"))


@dataclass(frozen=True, slots=True)
class FilingSettings:
    """Settings of a single filing. Some fields are named more precisely than their keys in the file."""

    #: None: ``Config.min_version_interval_minutes`` applies.
    min_version_interval_minutes: float | None = setting(
        "min_version_interval_minutes",
        types.number(0),
        default=None,
        summary=LazyMessage("Like watch.min_version_interval_minutes, for this filing."),
        example=30,
    )
    #: None: ``Config.filing_quota_bytes`` applies.
    quota_bytes: int | None = setting(
        "quota_bytes",
        BYTE_COUNT,
        default=None,
        summary=LazyMessage("Like watch.filing_quota_bytes, for this filing."),
        example=500_000_000_000,
    )
    profiles: tuple[str, ...] = setting(
        "profiles",
        types.PROFILE_NAMES,
        default=(),
        summary=LazyMessage("Retention profiles for this filing, in addition to retention.profiles."),
        example=["cn-archive-10"],
    )
    #: Name of the submission's folder -> names of its retention profiles.
    submissions: Mapping[str, tuple[str, ...]] = setting(
        "submissions",
        types.lists_by_key(types.PROFILE_NAMES),
        default={},
        summary=LazyMessage("Retention profiles for single submission folders, by name."),
        example={"2026-03-首次备案": ["cn-archive-30"]},
    )
    release_sources: tuple[str, ...] = setting(
        "signals",
        types.FILE_NAMES,
        default=(),
        summary=LazyMessage(
            "Files, or repositories prefixed with git:, whose releases are changes of the algorithm."
        ),
        example=["/srv/models/VERSION", "git:/srv/code/recommender.git"],
    )
    display_pages: tuple[str, ...] = setting(
        "pages",
        types.TEXTS,
        default=(),
        summary=LazyMessage("Addresses of the company's own pages that must display the filing number."),
        example=["https://www.example.com/about"],
    )
