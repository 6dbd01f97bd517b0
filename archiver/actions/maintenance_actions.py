"""Takes care of the archive itself: packing, replication, restore drills, notes in the journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from archiver import clock
from archiver.actions.context import ActionContext
from archiver.actions.registry import action, unknown_action
from archiver.actions.request_fields import Argument, Request, TextRule
from archiver.errors import UsageError
from archiver.restore import drill
from archiver.store import maintenance, names
from archiver.store.events import validation
from archiver.store.events.event_details import GivenDetails
from archiver.store.events.evidence_events import ContentProtected, PackageExported, VersionsRestored
from archiver.store.journal import canonical
from archiver.store.writer import Draft

#: A restore at a time may name thousands of versions.
_LARGEST_NOTE_BYTES = 1 << 20
_LONGEST_SUBJECT = 500
#: Fewer files than are in any archive prove nothing; more take longer than the daemon's callers wait.
_MOST_DRILL_FILES = 100_000
#: Commands that read the archive as anybody, and have the daemon journal that they did.
_NOTES = {str(details.action): details.action for details in (VersionsRestored, PackageExported, ContentProtected)}
#: Texts that a person typed, among the details of a note; the rest are names of folders and versions.
_TYPED_DETAILS = frozenset({"recipient", "reason"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PackRepository(Request):
    """A run of the repository's maintenance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReplica(Request):
    """A run of the replication to the bucket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearseRestore(Request):
    """A restore of a random sample to a scratch folder."""

    file_count: Annotated[int, Argument("files")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordNote(Request):
    """An act outside the archive, by a caller without the right to write the journal."""

    #: The event's action: ``restore``, ``export`` or ``protect``.
    action: Annotated[str, Argument("what", TextRule.LOOKED_UP)]
    #: The event's object.
    about: Annotated[str, Argument("about", TextRule.LOOKED_UP)]
    details: Annotated[Mapping[str, Any], Argument("details")]


@action("drill")
def rehearse_restore(context: ActionContext, request: RehearseRestore) -> dict[str, Any]:
    """Restore a random sample to a scratch folder, compare every byte, and journal the result.

    Raises StorageError if a file of the sample does not come back as it was archived.
    """
    file_count = min(max(request.file_count, 1), _MOST_DRILL_FILES)
    result = drill.run_drill(context.archive, file_count, context.lock_timeout)
    return {
        "versions": sorted(result.version_tags),
        "files": result.file_count,
        "bytes": result.byte_count,
    }


@action("maintain")
def pack_repository(context: ActionContext, _: PackRepository) -> dict[str, Any]:
    """Move loose objects into packs and merge small packs; return how many of each.

    Raises StorageError if git cannot write; nothing is removed before its copy is on disk.
    """
    result = maintenance.maintain(context.archive, context.lock_timeout)
    return {"objects": result.objects, "packs": result.packs}


@action("replica-sync")
def sync_replica(context: ActionContext, _: SyncReplica) -> dict[str, Any]:
    """Upload missing objects, renew locks, delete disposed content, and return the counts.

    Raises ConfigError without a bucket in the settings, StorageError if the bucket fails; what was sent until
    then stays recorded.
    """
    # Imported here: boto3 takes longer to load than any other action to run.
    from archiver.replica import connect

    archive = context.archive
    with connect.open_replica(archive, context.config) as replica:
        policy = context.disposal_rules.policy
        result = connect.sync_replica(
            archive, replica, policy, context.lock_timeout, progress=context.report_progress
        )
    return {
        "done": result.describe(),
        "sent": result.sent_count,
        "bytes": result.sent_bytes,
        "holds": result.changed_holds,
        "deleted": result.deleted_count,
        "extended": [{"object": key, "until": clock.stamp(until)} for key, until in sorted(result.extended_locks)],
        "locked": [
            {"sha256": sha256, "until": clock.stamp(until)} for sha256, until in sorted(result.still_locked)
        ],
        "missing": result.missing_content,
    }


@action("note")
def record_note(context: ActionContext, request: RecordNote) -> dict[str, Any]:
    """Journal an act outside the archive on behalf of the caller, and return the event's number.

    Raises UsageError for any other action than a note's, and for details that could not be read back, hold
    control characters, or are too long.
    """
    if request.action not in _NOTES:
        raise unknown_action(request.action)
    validation.check_values(request.details)
    details = dict(request.details)
    for key in _TYPED_DETAILS & details.keys():
        if isinstance(details[key], str):
            details[key] = names.typed(details[key], key)
    if len(canonical(details)) > _LARGEST_NOTE_BYTES:
        raise UsageError(
            "A note for the journal is longer than {longest} bytes. Nothing was changed.",
            longest=_LARGEST_NOTE_BYTES,
        )
    with context.archive.writing(context.lock_timeout) as writer:
        note = GivenDetails(_NOTES[request.action], details)
        return {"seq": writer.append(Draft(request.about[:_LONGEST_SUBJECT], note)).seq}
