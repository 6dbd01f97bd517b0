"""Events of proof and of use: checkpoints, timestamps, restores, exports, drills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from archiver.store.events.attached_files import TOKEN_FILE, AttachedFile
from archiver.store.events.event_details import (
    MAX_LISTING_LENGTH,
    EventDetails,
    act_member,
    checked_member,
    filing_member,
    noted_member,
)
from archiver.store.events.event_kinds import Action
from archiver.store.events.value_kinds import FLAG, INTEGER, TEXT, TEXTS, TIME, nullable


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSigned(EventDetails):
    """Written daily if anything was journalled, and on request.

    A witness line names the signed head of this event. In format 1, it has a signed tag that covers every ref.
    """

    action: ClassVar = Action.CHECKPOINT
    object_meaning: ClassVar = (
        "`journal`; in format 1 the signed tag, `_checkpoints/<seq>`, on the preceding commit of the journal"
    )
    refs: int | None = field(
        default=None,
        metadata=noted_member(INTEGER, "only in format 1: number of refs that it covers", optional=True),
    )
    refs_sha256: str | None = field(
        default=None,
        metadata=noted_member(
            TEXT,
            "only in format 1: SHA-256 of the lines `<oid> <ref>` of every ref, in the byte order of the names",
            optional=True,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TimestampReceived(EventDetails):
    """Written when a timestamp token proves that an event existed; the compliance clock catches up with it."""

    action: ClassVar = Action.TIMESTAMP
    object_meaning: ClassVar = "`clock`"
    attached_files: ClassVar = (AttachedFile(TOKEN_FILE, "the authority's answer (RFC 3161)"),)
    seq: int | None = field(metadata=noted_member(INTEGER, "number of the event that the token covers"))
    event_sha256: str | None = field(
        default=None,
        metadata=noted_member(TEXT, "only in format 1: SHA-256 of that event's `event.json`", optional=True),
    )
    head: str | None = field(
        default=None,
        metadata=noted_member(TEXT, "`sha256:` and the SHA-256 of the signed head with that event", optional=True),
    )
    time: str = field(metadata=checked_member(TIME, "time in the token: the event existed before it"))
    authority: str = field(metadata=noted_member(TEXT, "URL of the authority"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockTicked(EventDetails):
    """Written at least daily and after each start of the machine, to advance the compliance clock."""

    action: ClassVar = Action.TICK
    object_meaning: ClassVar = "`clock`"


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionsRestored(EventDetails):
    """Written when somebody restored versions."""

    action: ClassVar = Action.RESTORE
    max_details_length: ClassVar = MAX_LISTING_LENGTH
    object_meaning: ClassVar = "tags of the versions, cut after 500 characters"
    target: str = field(metadata=noted_member(TEXT, "folder to which they were restored"))
    versions: Sequence[str] = field(metadata=noted_member(TEXTS, "tags of the versions"))
    files: int = field(metadata=noted_member(INTEGER, "number of files in these versions"))
    bytes_written: int = field(metadata=noted_member(INTEGER, "total size of the written files in bytes"))
    restricted: Sequence[str] | None = field(
        default=None,
        metadata=noted_member(TEXTS, "paths in that folder of the files that are restricted", optional=True),
    )
    filing: str | None = filing_member()
    act: str | None = act_member()


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageExported(EventDetails):
    """Written when somebody exported an inspection package."""

    action: ClassVar = Action.EXPORT
    object_meaning: ClassVar = "`audit`"
    target: str = field(metadata=noted_member(TEXT, "folder or zip file of the package"))
    recipient: str | None = field(
        metadata=noted_member(nullable(TEXT), "person or office that receives it", typed=True)
    )
    reason: str | None = field(metadata=noted_member(nullable(TEXT), "reason, as a person gave it", typed=True))
    filings: Sequence[str] = field(metadata=noted_member(TEXTS, "selected filings, empty for all"))
    submissions: Sequence[str] = field(metadata=noted_member(TEXTS, "selected submissions, empty for all"))
    kinds: Sequence[str] = field(metadata=noted_member(TEXTS, "selected kinds of submissions, empty for all"))
    since: str = field(metadata=noted_member(TEXT, "earliest capture time of a version, empty without a limit"))
    until: str = field(metadata=noted_member(TEXT, "latest capture time of a version, empty without a limit"))
    without: Sequence[str] = field(
        metadata=noted_member(TEXTS, "patterns of materials whose content was left out")
    )
    sensitive: Sequence[str] = field(
        metadata=noted_member(
            TEXTS, "patterns of sensitive materials from the settings, whose content was left out too"
        )
    )
    expand: bool = field(metadata=noted_member(FLAG, "whether every version in the package has all of its files"))
    versions: int = field(metadata=noted_member(INTEGER, "number of versions in the package"))
    filing: str | None = filing_member()
    act: str | None = act_member()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentProtected(EventDetails):
    """Written when root set or cleared the immutable flag of the content objects."""

    action: ClassVar = Action.PROTECT
    object_meaning: ClassVar = "`content`"
    is_immutable: bool = field(metadata=noted_member(FLAG, "whether the flag was set", name="on"))
    objects: int = field(metadata=noted_member(INTEGER, "number of content objects"))
    changed: int = field(metadata=noted_member(INTEGER, "number of objects that were changed"))


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillCompleted(EventDetails):
    """Written when a sample of the archive was restored to a scratch folder and compared."""

    action: ClassVar = Action.DRILL
    object_meaning: ClassVar = "`restore`"
    versions: Sequence[str] = field(metadata=noted_member(TEXTS, "tags of the versions in the sample"))
    files: int = field(metadata=noted_member(INTEGER, "number of compared materials"))
    bytes: int = field(metadata=noted_member(INTEGER, "total size of these materials in bytes"))
    problems: Sequence[str] = field(
        metadata=noted_member(TEXTS, "materials that differed after the restore, at most 100")
    )
