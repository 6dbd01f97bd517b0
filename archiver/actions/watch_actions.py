"""Accept another folder at the path, or the loss of everything known."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from typing import Annotated, Any

from archiver.actions.context import ActionContext
from archiver.actions.registry import action
from archiver.actions.request_fields import Argument, Request
from archiver.errors import LazyMessage, StorageError
from archiver.intake.absence.deletion_check import ALL_FILES_GONE
from archiver.intake.absence.deletion_gate import read_absence
from archiver.intake.folder.access import FolderAccess, open_access
from archiver.intake.folder.known_files import count_present_files, sample_archived_paths
from archiver.intake.folder.presence import FolderPresence
from archiver.intake.path_reasons import NOT_MOUNTED_FOLDER
from archiver.intake.snapshot_opening import open_snapshot_read_only
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.events.capture_events import WatchedFolderAccepted
from archiver.store.writing.drafts import Draft


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptFolder(Request):
    """A request to accept the present folder at ``watch.path``."""

    reason: Annotated[str, Argument("reason")]
    reported_by: Annotated[str | None, Argument("by")] = None


def _find_unnoticed_absence(access: FolderAccess, archive: Archive) -> LazyMessage | None:
    """Return the problem if no archived file is in the folder; no scan may have noticed yet.  None otherwise."""
    present_files = count_present_files(access, list(sample_archived_paths(archive.index)))
    return ALL_FILES_GONE if present_files.sampled_count and not present_files.present_count else None


@action("watch-accept")
def accept_folder(context: ActionContext, request: AcceptFolder) -> dict[str, Any]:
    """Journal a person's acceptance of the folder at ``watch.path`` and of the files missing from the folder.

    Returns ``accepted``, the code of the absence that ends, or None if nothing was missing.

    Raises UsageError for a blank reason, and StorageError if there is no folder to accept.  Nothing is journalled
    then.
    """
    names.check_reason(request.reason)
    archive, config = context.archive, context.config
    with (
        closing(open_access(config.watch, archive.root)) as access,
        closing(open_snapshot_read_only(archive)) as snapshot,
    ):
        presence = FolderPresence(os.fsencode(config.watch), access, snapshot, archive)
        folder_check = presence.check()
        if folder_check.identity is None:
            raise StorageError(
                "The watched folder {path} cannot be accepted: {reason}. Nothing was recorded. Mount the folder, "
                "then run this again.",
                path=config.watch,
                reason=folder_check.explanation,
            )
        accepted_problem = (
            folder_check.absence
            or read_absence(snapshot)
            or (NOT_MOUNTED_FOLDER if access.vanished_mounts else None)
            or _find_unnoticed_absence(access, archive)
        )
    accepted_code = accepted_problem.code if accepted_problem else None
    details = WatchedFolderAccepted(
        **folder_check.identity.to_details(),
        reason=request.reason,
        reported_by=request.reported_by,
        accepted=accepted_code,
    )
    with archive.writing(context.lock_timeout) as writer:
        writer.append(Draft("watch", details))
    return {"accepted": accepted_code}
