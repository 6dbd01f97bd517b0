"""Events of files that were captured by mistake: restrictions and their end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from archiver.store.events.event_details import EventDetails, checked_member, noted_member
from archiver.store.events.event_kinds import Action
from archiver.store.events.value_kinds import DIGEST, TEXT, nullable

_VERSION_TAG = "tag of a version that has the file"
_PATH = "path of the file, relative to the folder of the submission"
_DIGEST = "digest of the content"
_REASON = "reason, as a person gave it"
_REPORTED_BY = "person for whom it was done, in addition to the user named by the kernel"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRestricted(EventDetails):
    """Written when somebody restricts a file: its content at this path, in all versions of the filing.

    Until the restriction ends, only the archive owner can read the content; it is in no inspection package, and is
    not copied to the replica. Retention is unchanged.
    """

    action: ClassVar = Action.RESTRICT
    object_meaning: ClassVar = _VERSION_TAG
    path: str = field(metadata=checked_member(TEXT, _PATH))
    digest: str = field(metadata=checked_member(DIGEST, _DIGEST))
    reason: str = field(metadata=checked_member(TEXT, _REASON))
    reported_by: str | None = field(metadata=noted_member(nullable(TEXT), _REPORTED_BY, name="by"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RestrictionLifted(EventDetails):
    """Written when a restriction ends."""

    action: ClassVar = Action.UNRESTRICT
    object_meaning: ClassVar = _VERSION_TAG
    path: str = field(metadata=checked_member(TEXT, _PATH))
    digest: str = field(metadata=checked_member(DIGEST, _DIGEST))
    reason: str = field(metadata=checked_member(TEXT, _REASON))
    reported_by: str | None = field(metadata=noted_member(nullable(TEXT), _REPORTED_BY, name="by"))
