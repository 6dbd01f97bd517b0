"""Events of the watched folder: captures, a changed path, a lost folder, a deaf watch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from archiver.store.events.attached_files import CHANGES_FILE, AttachedFile
from archiver.store.events.event_details import EventDetails, checked, noted
from archiver.store.events.event_kinds import Action
from archiver.store.events.value_kinds import INTEGER, TEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionCaptured(EventDetails):
    """Written with every version of a submission, in one transaction with the refs of commit and tag."""

    action: ClassVar = Action.CAPTURE
    about: ClassVar = "tag of the version, `<filing>/<submission>/v<N>`"
    attached: ClassVar = (AttachedFile(CHANGES_FILE, "what the version changed, one JSON object a line"),)
    filing: str = field(metadata=checked(TEXT, "folder of the filing; empty at the top of the watched folder"))
    submission: str = field(metadata=checked(TEXT, "folder of the submission; empty for the filing's own"))
    version: int = field(metadata=checked(INTEGER, "number of the version, from 1"))
    files: int = field(metadata=checked(INTEGER, "how many materials the version holds"))
    bytes: int = field(metadata=checked(INTEGER, "size of all its materials"))
    added: int = field(metadata=checked(INTEGER, "how many materials are new"))
    modified: int = field(metadata=checked(INTEGER, "how many materials have other content"))
    deleted: int = field(metadata=checked(INTEGER, "how many materials are gone"))


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchPathChanged(EventDetails):
    """Written when the daemon has taken another watched folder from the configuration."""

    action: ClassVar = Action.WATCH_PATH
    about: ClassVar = "`watch`"
    old_path: str = field(metadata=noted(TEXT, "path of the folder before", name="from"))
    new_path: str = field(metadata=checked(TEXT, "path of the folder from now on", name="to"))


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedFolderLost(EventDetails):
    """Written when the watched folder is missing; the daemon waits for its return."""

    action: ClassVar = Action.WATCH_LOST
    about: ClassVar = "`watch`"
    path: str = field(metadata=noted(TEXT, "path of the folder"))


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchWentDeaf(EventDetails):
    """Written when changes stop raising events; the daemon scans the folder and renews the watch."""

    action: ClassVar = Action.WATCH_DEAF
    about: ClassVar = "`watch`"
    path: str | None = field(
        default=None, metadata=noted(TEXT, "a change that a scan found without its event", optional=True)
    )
    missed: int | None = field(
        default=None, metadata=noted(INTEGER, "how many changes the scan found so", optional=True)
    )
