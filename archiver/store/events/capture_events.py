"""Events of the watched folder: captures, a changed path, a missing folder, a watch that reports nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from archiver.store.events.attached_files import CHANGES_FILE, AttachedFile
from archiver.store.events.event_details import EventDetails, checked_member, noted_member
from archiver.store.events.event_kinds import Action
from archiver.store.events.value_kinds import INTEGER, OBJECTS, TEXT


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
class FolderDetails(EventDetails):
    """The identity of a watched folder; all members are texts, and empty where the system does not say."""

    object_meaning: ClassVar = "`watch`"
    filesystem: str = field(metadata=noted_member(TEXT, "type of the folder's filesystem"))
    uuid: str = field(metadata=noted_member(TEXT, "UUID of the filesystem, where a reboot does not change it"))
    fsid: str = field(
        metadata=noted_member(TEXT, "`f_fsid` of the filesystem in hexadecimal, where a reboot does not change it")
    )
    source: str = field(metadata=noted_member(TEXT, "source of the mount, of a network filesystem"))
    root: str = field(metadata=noted_member(TEXT, "root of the folder's mount within the filesystem"))
    inode: str = field(metadata=noted_member(TEXT, "inode number of the folder, in decimal"))
    mounts: Sequence[Mapping[str, Any]] = field(
        metadata=noted_member(
            OBJECTS, "mounts below the folder: `path`, `filesystem`, `uuid`, `source` and `root`"
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedFolderIdentified(FolderDetails):
    """Written when the watched folder is scanned first, and when another folder with its files has replaced it."""

    action: ClassVar = Action.WATCH_FOLDER


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedFolderAccepted(FolderDetails):
    """Written when a person accepts another folder or missing files: the folder counts as it is from then on."""

    action: ClassVar = Action.WATCH_ACCEPT
    reason: str = field(metadata=checked_member(TEXT, "reason", typed=True))
    reported_by: str | None = field(
        default=None, metadata=noted_member(TEXT, "person who decided", name="by", optional=True, typed=True)
    )
    accepted: str | None = field(
        default=None, metadata=noted_member(TEXT, "code of the problem that the person accepts", optional=True)
    )


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
