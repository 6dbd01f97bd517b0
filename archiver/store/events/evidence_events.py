"""Events of proof and of use: checkpoints, time, restores, exports, drills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from archiver.store.events.attached_files import TOKEN_FILE, AttachedFile
from archiver.store.events.event_details import EventDetails, checked, noted
from archiver.store.events.event_kinds import Action
from archiver.store.events.value_kinds import FLAG, INTEGER, TEXT, TEXTS, TIME, nullable


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSigned(EventDetails):
    """Written when a signed tag covers every ref: daily where anything has happened, and on command."""

    action: ClassVar = Action.CHECKPOINT
    about: ClassVar = "signed tag, `_checkpoints/<seq>`, on the journal's commit before"
    refs: int = field(metadata=noted(INTEGER, "how many refs it covers"))
    refs_sha256: str | None = field(
        metadata=noted(TEXT, "SHA-256 of the lines `<oid> <ref>` of every ref, in the order of their names")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TimestampReceived(EventDetails):
    """Written when the time-stamp authority vouched for an event; the compliance clock catches up."""

    action: ClassVar = Action.TIMESTAMP
    about: ClassVar = "`clock`"
    attached: ClassVar = (AttachedFile(TOKEN_FILE, "the authority's answer (RFC 3161)"),)
    seq: int | None = field(metadata=noted(INTEGER, "number of the event that the token is over"))
    event_sha256: str = field(metadata=noted(TEXT, "SHA-256 of that event's `event.json`"))
    time: str = field(metadata=checked(TIME, "time of the token: the event was there before it"))
    authority: str = field(metadata=noted(TEXT, "URL of the authority"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockTicked(EventDetails):
    """Written at least daily and after each start of the machine, to keep the compliance clock going."""

    action: ClassVar = Action.TICK
    about: ClassVar = "`clock`"


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionsRestored(EventDetails):
    """Written when somebody restored versions."""

    action: ClassVar = Action.RESTORE
    about: ClassVar = "tags of the versions, cut after 500 characters"
    target: str = field(metadata=noted(TEXT, "folder that they were restored to"))
    versions: Sequence[str] = field(metadata=noted(TEXTS, "tags of the versions"))
    files: int = field(metadata=noted(INTEGER, "how many files they hold"))
    bytes_written: int = field(metadata=noted(INTEGER, "size of the files that were written"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageExported(EventDetails):
    """Written when somebody wrote an inspection package."""

    action: ClassVar = Action.EXPORT
    about: ClassVar = "`audit`"
    target: str = field(metadata=noted(TEXT, "folder or zip file of the package"))
    recipient: str | None = field(metadata=noted(nullable(TEXT), "person or office it is for"))
    reason: str | None = field(metadata=noted(nullable(TEXT), "reason, as a person gave it"))
    filings: Sequence[str] = field(metadata=noted(TEXTS, "chosen filings; none: all"))
    submissions: Sequence[str] = field(metadata=noted(TEXTS, "chosen submissions; none: all"))
    kinds: Sequence[str] = field(metadata=noted(TEXTS, "chosen kinds of submissions; none: all"))
    since: str = field(metadata=noted(TEXT, "capture time of the oldest version, empty: any"))
    until: str = field(metadata=noted(TEXT, "capture time of the newest version, empty: any"))
    without: Sequence[str] = field(metadata=noted(TEXTS, "patterns of materials whose content was left out"))
    sensitive: Sequence[str] = field(metadata=noted(TEXTS, "patterns of the settings, left out likewise"))
    expand: bool = field(metadata=noted(FLAG, "whether every version has all of its files"))
    versions: int = field(metadata=noted(INTEGER, "how many versions it holds"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentProtected(EventDetails):
    """Written when root set or cleared the immutable flag of the content objects."""

    action: ClassVar = Action.PROTECT
    about: ClassVar = "`content`"
    is_immutable: bool = field(metadata=noted(FLAG, "whether the flag was set", name="on"))
    objects: int = field(metadata=noted(INTEGER, "how many content objects there are"))
    changed: int = field(metadata=noted(INTEGER, "how many of them were changed"))


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillCompleted(EventDetails):
    """Written when a sample of the archive was restored to a scratch folder and compared."""

    action: ClassVar = Action.DRILL
    about: ClassVar = "`restore`"
    versions: Sequence[str] = field(metadata=noted(TEXTS, "tags of the versions in the sample"))
    files: int = field(metadata=noted(INTEGER, "how many materials were compared"))
    bytes: int = field(metadata=noted(INTEGER, "size of these materials"))
    problems: Sequence[str] = field(metadata=noted(TEXTS, "materials that came back otherwise, at most 100"))
