"""Events of the watched folder: captures, a changed path, a missing folder, a watch that reports nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from archiver.store.events.attached_files import CHANGES_FILE, AttachedFile
from archiver.store.events.event_details import EventDetails, checked_member, noted_member
from archiver.store.events.event_kinds import Action
from archiver.store.events.value_kinds import INTEGER, TEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionCaptured(EventDetails):
    """Written with every version of a submission, in one transaction with the version's branch and tag."""

    action: ClassVar = Action.CAPTURE
    object_meaning: ClassVar = "tag of the version, `<filing>/<submission>/v<N>`"
    attached_files: ClassVar = (
        AttachedFile(CHANGES_FILE, "the changes of the version, one JSON object per line"),
    )
    filing: str = field(
        metadata=checked_member(TEXT, "folder of the filing; empty at the top of the watched folder")
    )
    submission: str = field(
        metadata=checked_member(TEXT, "folder of the submission; empty for files directly in the filing's folder")
    )
    version: int = field(metadata=checked_member(INTEGER, "number of the version, from 1"))
    files: int = field(metadata=checked_member(INTEGER, "number of materials in the version"))
    bytes: int = field(metadata=checked_member(INTEGER, "total size of these materials in bytes"))
    added: int = field(metadata=checked_member(INTEGER, "number of new materials"))
    modified: int = field(metadata=checked_member(INTEGER, "number of materials with changed content"))
    deleted: int = field(metadata=checked_member(INTEGER, "number of deleted materials"))


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchPathChanged(EventDetails):
    """Written when the archive switches to another watched folder, which the configuration names."""

    action: ClassVar = Action.WATCH_PATH
    object_meaning: ClassVar = "`watch`"
    old_path: str = field(metadata=noted_member(TEXT, "path of the previous folder", name="from"))
    new_path: str = field(metadata=checked_member(TEXT, "path of the new folder", name="to"))


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedFolderLost(EventDetails):
    """Written when the watched folder is missing; the daemon waits for its return."""

    action: ClassVar = Action.WATCH_LOST
    object_meaning: ClassVar = "`watch`"
    path: str = field(metadata=noted_member(TEXT, "path of the folder"))


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchStalled(EventDetails):
    """Written when the kernel stops reporting changes; the daemon scans the folder and renews the watch."""

    action: ClassVar = Action.WATCH_DEAF
    object_meaning: ClassVar = "`watch`"
    path: str | None = field(
        default=None, metadata=noted_member(TEXT, "path of a change that only a scan found", optional=True)
    )
    missed: int | None = field(
        default=None, metadata=noted_member(INTEGER, "number of changes that only the scan found", optional=True)
    )
